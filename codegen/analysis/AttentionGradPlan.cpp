#include "codegen/analysis/AttentionGradPlan.h"

namespace moec::codegen {

mlir::FailureOr<AttentionGradPlan> AttentionGradPlan::of(ir::KernelOp kernel) {
  auto op = onlyOp<ir::AttentionGradOp>(kernel);
  if (failed(op))
    return mlir::failure();
  auto dy = sliceOf(kernel, op->getDy(), "dy"), q = sliceOf(kernel, op->getQ(), "q"), k = sliceOf(kernel, op->getK(), "k"), v = sliceOf(kernel, op->getV(), "v");
  if (failed(dy) || failed(q) || failed(k) || failed(v))
    return mlir::failure();
  ir::Sizes sizes = ir::sizesOf(op->getQ());
  std::optional<int64_t> inner = sizes.back().constant();
  if (!inner)
    return kernel.emitOpError("attends to ") << ir::describe(sizes) << ": a constant width is needed";
  int64_t heads = op->getHeads(), keyHeads = op->getKvHeads() ? static_cast<int64_t>(*op->getKvHeads()) : heads;
  AttentionGradPlan plan{*op,      dtypeOf(op->getQ()), *dy,   *q,      *k, *v, sizes[0], sizes[1], ir::sizesOf(op->getK())[1], heads, *inner / heads,
                         op->getScale().convertToDouble(), op->getCausal(), keyHeads, {}, {}, {}, {}, {}};
  if (mlir::Value added = op->getBias()) {
    auto input = inputOf(kernel, added, "the bias of the scores");
    if (failed(input))
      return mlir::failure();
    plan.bias = AttentionBias{*input, ir::sizesOf(added)[0] == Size(1)};
  }
  for (auto [i, value] : llvm::enumerate(yieldOf(kernel)->getOperands())) {
    auto result = value.getDefiningOp() == *op ? mlir::cast<mlir::OpResult>(value) : mlir::OpResult();
    std::optional<unsigned>* places[] = {&plan.dq, &plan.dk, &plan.dv, &plan.dbias};
    if (!result || *places[result.getResultNumber()])
      return kernel.emitOpError("of kind \"attention_grad\" gives something else than the results of its moe.attention_grad, each once");
    *places[result.getResultNumber()] = static_cast<unsigned>(i);
  }
  return plan;
}

} // namespace moec::codegen
