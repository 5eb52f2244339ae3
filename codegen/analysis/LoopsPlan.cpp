#include "codegen/analysis/LoopsPlan.h"

namespace moec::codegen {

bool isOfElements(mlir::Operation* op) {
  return ir::isElementwise(op) || mlir::isa<ir::ReshapeOp, ir::TransposeOp, ir::SliceOp, ir::SliceAtOp, ir::ConcatOp, ir::BroadcastOp, ir::EmbeddingOp,
                                            ir::ReduceOp, ir::RandomOp, ir::ConstantOp, ir::SizeOp, ir::RelativeBiasOp, ir::RotaryOp>(op);
}

mlir::FailureOr<LoopsPlan> LoopsPlan::of(ir::KernelOp kernel) {
  mlir::OperandRange results = yieldOf(kernel)->getOperands();
  LoopsPlan plan{results.empty() ? ir::Sizes{} : ir::sizesOf(results.front())};
  for (mlir::Value result : results)
    if (!(ir::sizesOf(result) == plan.sizes))
      return kernel.emitError() << "internal: a kernel of loops gives results of two shapes, " << ir::describe(plan.sizes) << " and "
                                << ir::describe(ir::sizesOf(result));
  for (mlir::Operation& op : kernel.getBody().front().without_terminator())
    if (!isOfElements(&op))
      return kernel.emitError() << "internal: a kernel of loops cannot hold " << op.getName();
  return plan;
}

Size LoopsPlan::operations(ir::KernelOp kernel, llvm::function_ref<int64_t(mlir::Operation*)> costOf) {
  Size operations = 0;
  for (mlir::Operation& op : kernel.getBody().front().without_terminator())
    operations = operations + ir::product(ir::sizesOf(op.getResult(0))) * Size(costOf(&op));
  return operations;
}

} // namespace moec::codegen
