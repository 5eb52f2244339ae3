#pragma once
// Where the operands of a product lie among a kernel's arguments, for builders and for the cost model alike. Reads the dialect, builds nothing.

#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/ProductSchedule.h"

namespace moec::codegen::cpu {

/// b of a product: an argument, packed (through moe.unpack) or plain.
struct ProductOperand {
  unsigned input = 0;
  std::optional<int64_t> nr; // of the packed form
  std::vector<Size> batch;   // leading dimensions
  Size columns, depth;       // N, K

  Size panels(int64_t width) const { return Size::ceilDiv(columns, width); }
};

/// The place of a value among the kernel's inputs; a diagnostic says that `what` must be one.
mlir::FailureOr<unsigned> inputOf(ir::KernelOp kernel, mlir::Value value, llvm::StringRef what);
mlir::FailureOr<ProductOperand> operandOf(ir::KernelOp kernel, mlir::Value b);

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

mlir::Operation* yieldOf(ir::KernelOp kernel);

/// The kernel's schedule, when it is complete and legal and agrees with a packed b; else a diagnostic.
mlir::FailureOr<ProductSchedule> productScheduleOf(ir::KernelOp kernel, const CpuTarget& target, DType dtype, const ProductOperand& b);

} // namespace moec::codegen::cpu
