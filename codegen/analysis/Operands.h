#pragma once
// Where the operands of a kernel's main op lie among its arguments, and how they broadcast. For every backend: reads the dialect, builds nothing, knows
// no target and no schedule.

#include "codegen/KernelEmitter.h"

namespace moec::codegen {

DType dtypeOf(mlir::Value value);
/// What products of elements of a dtype are summed up in.
constexpr DType sumType(DType type) { return type == DType::BF16 ? DType::F32 : type; }
mlir::Operation* yieldOf(ir::KernelOp kernel);

/// The place of a value among the kernel's inputs; a diagnostic says that `what` must be one.
mlir::FailureOr<unsigned> inputOf(ir::KernelOp kernel, mlir::Value value, llvm::StringRef what);

/// Codes of weights have scales, an argument, packed alike: one for each `group` of the depth.
struct ScaledGroups {
  unsigned input = 0;
  int64_t size = 0;
};

/// b of a product: an argument, packed (through moe.unpack), plain, or with its last two dimensions exchanged (through moe.transpose). A plain matrix may be
/// rows of an argument (through moe.slice). A packed one may be converted: of bf16 where the product is f32, or of codes and scales.
struct ProductOperand {
  unsigned input = 0;
  DType dtype = DType::F32; // of the argument
  std::optional<ScaledGroups> scaled = {};
  std::optional<int64_t> nr; // of the packed form
  bool inPairs = false;      // the packed form is, of an even depth (moe.pack)
  bool transposed = false;   // the argument is (.., K, N)
  Size before = 0;           // elements of the argument that stand before b
  std::vector<Size> batch;   // leading dimensions
  Size columns, depth;       // N, K

  Size panels(int64_t width) const { return Size::ceilDiv(columns, width); }
};
/// Whether a plain b will be packed before calls (pack-weights): a parameter in a module whose calls leave parameters as they are.
bool isPackedOnce(ir::KernelOp kernel, const ProductOperand& b);
/// A diagnostic for a b that is exchanged, or rows of an argument, unless the kernel's kind takes one.
mlir::FailureOr<ProductOperand> operandOf(ir::KernelOp kernel, mlir::Value b, bool mayBeExchanged = false);
/// Whether panels of a plain b are made anew in every call: it is computed, or of a step of training, or lies exchanged. Of an argument of the function that is
/// not known, and no.
bool isPackedByCalls(ir::KernelOp kernel, const ProductOperand& b);
/// Whether it is so of the product of a kernel of kind `matmul` or `gate`.
bool makesPanels(ir::KernelOp kernel);
/// The slice that gives `value` as rows of a matrix, which lie behind each other; null where nothing of the kind does.
ir::SliceOp rowsSlice(mlir::Value value);
/// x where `value` is moe.transpose of the last two dimensions of x; else null.
mlir::Value exchangedFrom(mlir::Value value);

/// Columns [start, ..) of an argument (.., width): a value, or a moe.slice of one along its last axis.
struct Slice {
  unsigned input = 0;
  Size start, width;
};
mlir::FailureOr<Slice> sliceOf(ir::KernelOp kernel, mlir::Value value, llvm::StringRef what);

/// Strides in elements of a contiguous operand of sizes `operand`, aligned from the last dimension to `sizes`: 0 where it broadcasts.
std::vector<Size> broadcastStrides(const std::vector<Size>& operand, const std::vector<Size>& sizes);

/// The only op of its class in the kernel's body; a diagnostic when there is none or there are two.
template <class Op> mlir::FailureOr<Op> onlyOp(ir::KernelOp kernel) {
  Op found;
  for (mlir::Operation& op : kernel.getBody().front())
    if (auto one = mlir::dyn_cast<Op>(op)) {
      if (found)
        return kernel.emitOpError("holds two ") << Op::getOperationName() << ": its kind takes one";
      found = one;
    }
  if (!found)
    return kernel.emitOpError("of kind \"") << kernel.getKind() << "\" holds no " << Op::getOperationName();
  return found;
}

} // namespace moec::codegen
