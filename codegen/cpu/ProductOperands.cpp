#include "codegen/cpu/ProductOperands.h"

namespace moec::codegen::cpu {

mlir::FailureOr<unsigned> inputOf(ir::KernelOp kernel, mlir::Value value, llvm::StringRef what) {
  if (auto argument = mlir::dyn_cast<mlir::BlockArgument>(value))
    return argument.getArgNumber();
  return kernel.emitOpError() << what << " is computed in the kernel by " << value.getDefiningOp()->getName() << ": it must be an argument";
}

mlir::FailureOr<ProductOperand> operandOf(ir::KernelOp kernel, mlir::Value b) {
  ProductOperand operand;
  ir::Sizes sizes = ir::sizesOf(b); // (.., N, K)
  operand.batch.assign(sizes.begin(), sizes.end() - 2);
  operand.columns = sizes[sizes.size() - 2];
  operand.depth = sizes.back();
  if (auto unpack = b.getDefiningOp<ir::UnpackOp>()) {
    b = unpack.getPanels();
    operand.nr = ir::sizesOf(b).back().constant();
  }
  auto input = inputOf(kernel, b, "b of the product");
  if (failed(input))
    return mlir::failure();
  operand.input = *input;
  return operand;
}

mlir::Operation* yieldOf(ir::KernelOp kernel) { return kernel.getBody().front().getTerminator(); }

mlir::FailureOr<ProductSchedule> productScheduleOf(ir::KernelOp kernel, const CpuTarget& target, DType dtype, const ProductOperand& b) {
  if (dtype != DType::F32 && dtype != DType::F64)
    return kernel.emitOpError("multiplies matrices of ") << name(dtype) << ": the CPU's products are f32 and f64";
  auto schedule = ProductSchedule::from(kernel.getScheduleAttr());
  if (!schedule)
    return kernel.emitOpError("has no complete schedule: rows, nr, slice, row_block, panels and pack_rows are needed");
  if (auto why = schedule->illegal(target, dtype))
    return kernel.emitOpError("has an illegal schedule: ") << *why;
  if (b.nr && *b.nr != schedule->nr)
    return kernel.emitOpError("has panels of ") << *b.nr << " columns and a schedule for " << schedule->nr;
  return *schedule;
}

} // namespace moec::codegen::cpu
