#include "codegen/analysis/Operands.h"

namespace moec::codegen {

DType dtypeOf(mlir::Value value) { return ir::dtypeOf(mlir::cast<mlir::RankedTensorType>(value.getType()).getElementType()); }

mlir::Operation* yieldOf(ir::KernelOp kernel) { return kernel.getBody().front().getTerminator(); }

mlir::FailureOr<unsigned> inputOf(ir::KernelOp kernel, mlir::Value value, llvm::StringRef what) {
  if (auto argument = mlir::dyn_cast<mlir::BlockArgument>(value))
    return argument.getArgNumber();
  return kernel.emitOpError() << what << " is computed in the kernel by " << value.getDefiningOp()->getName() << ": it must be an argument";
}

mlir::Value exchangedFrom(mlir::Value value) {
  auto transpose = value.getDefiningOp<ir::TransposeOp>();
  if (!transpose)
    return {};
  llvm::ArrayRef<int64_t> permutation = transpose.getPermutation();
  auto rank = static_cast<int64_t>(permutation.size());
  for (int64_t i = 0; i < rank; ++i)
    if (permutation[i] != (i + 2 < rank ? i : 2 * rank - 3 - i))
      return {};
  return rank < 2 ? mlir::Value() : transpose.getX();
}

ir::SliceOp rowsSlice(mlir::Value value) {
  auto slice = value.getDefiningOp<ir::SliceOp>();
  return slice && slice.getAxis() == 0 && ir::sizesOf(value).size() == 2 ? slice : ir::SliceOp();
}

/// The panels of what moe.unpack makes plain; else the value.
static mlir::Value packedFrom(mlir::Value value) {
  auto unpack = value.getDefiningOp<ir::UnpackOp>();
  return unpack ? unpack.getPanels() : value;
}

mlir::FailureOr<ProductOperand> operandOf(ir::KernelOp kernel, mlir::Value b, bool mayBeExchanged) {
  ProductOperand operand;
  ir::Sizes sizes = ir::sizesOf(b); // (.., N, K)
  operand.batch.assign(sizes.begin(), sizes.end() - 2);
  operand.columns = sizes[sizes.size() - 2];
  operand.depth = sizes.back();
  if (auto dequantize = b.getDefiningOp<ir::DequantizeOp>()) {
    auto scales = inputOf(kernel, packedFrom(dequantize.getScales()), "the packed scales of b of the product");
    if (failed(scales))
      return mlir::failure();
    operand.scaled = ScaledGroups{*scales, static_cast<int64_t>(dequantize.getGroup())};
    b = dequantize.getCodes();
  } else if (auto cast = b.getDefiningOp<ir::CastOp>(); cast && dtypeOf(cast.getX()) == DType::BF16 && cast.getX().getDefiningOp<ir::UnpackOp>()) {
    b = cast.getX();
  }
  if (auto unpack = b.getDefiningOp<ir::UnpackOp>()) {
    b = unpack.getPanels();
    operand.nr = ir::sizesOf(b).back().constant();
    operand.inPairs = unpack.getPairs();
  } else if (mayBeExchanged) {
    if (mlir::Value x = exchangedFrom(b)) {
      b = x;
      operand.transposed = true;
    }
    if (ir::SliceOp rows = rowsSlice(b)) {
      operand.before = Size::parse(rows.getStart().str()) * ir::sizesOf(b).back();
      b = rows.getX();
    }
  }
  auto input = inputOf(kernel, b, "b of the product");
  if (failed(input))
    return mlir::failure();
  if (operand.scaled && !operand.nr)
    return kernel.emitOpError("takes plain codes of weights: they must be packed (moe.pack)");
  operand.input = *input;
  operand.dtype = dtypeOf(b);
  return operand;
}

bool isPackedOnce(ir::KernelOp kernel, const ProductOperand& b) {
  auto read = kernel.getInputs()[b.input].getDefiningOp<ir::ReadOp>();
  auto module = kernel->getParentOfType<mlir::ModuleOp>();
  return !b.nr && !b.transposed && read && module && ir::purposeOf(module) != Purpose::Training && module.lookupSymbol<ir::ParameterOp>(read.getState());
}

bool isPackedByCalls(ir::KernelOp kernel, const ProductOperand& b) {
  bool isKnown = !mlir::isa<mlir::BlockArgument>(kernel.getInputs()[b.input]);
  return b.transposed || (!b.nr && isKnown && !isPackedOnce(kernel, b));
}

bool makesPanels(ir::KernelOp kernel) {
  auto products = kernel.getBody().getOps<ir::MatmulOp>();
  if (products.empty())
    return false;
  mlir::ScopedDiagnosticHandler quiet(kernel.getContext(), [](mlir::Diagnostic&) { return mlir::success(); }); // the builder tells
  auto operand = operandOf(kernel, (*products.begin()).getB(), /*mayBeExchanged=*/true);
  return succeeded(operand) && isPackedByCalls(kernel, *operand);
}

mlir::FailureOr<Slice> sliceOf(ir::KernelOp kernel, mlir::Value value, llvm::StringRef what) {
  Slice slice{0, 0, ir::sizesOf(value).back()};
  if (auto op = value.getDefiningOp<ir::SliceOp>()) {
    value = op.getX();
    if (static_cast<int64_t>(op.getAxis()) != static_cast<int64_t>(ir::sizesOf(value).size()) - 1)
      return kernel.emitOpError() << what << " is a slice along another axis than the last";
    slice = {0, Size::parse(op.getStart().str()), ir::sizesOf(value).back()};
  }
  auto input = inputOf(kernel, value, what);
  if (failed(input))
    return mlir::failure();
  slice.input = *input;
  return slice;
}

std::vector<Size> broadcastStrides(const std::vector<Size>& operand, const std::vector<Size>& sizes) {
  std::vector<Size> strides(sizes.size(), Size(0));
  Size stride = 1;
  for (size_t i = 0; i < operand.size() && i < sizes.size(); ++i) {
    const Size& size = operand[operand.size() - 1 - i];
    if (!(size == Size(1)))
      strides[sizes.size() - 1 - i] = stride;
    stride = stride * size;
  }
  return strides;
}

} // namespace moec::codegen
