#include "codegen/analysis/CachedPlans.h"

namespace moec::codegen {

mlir::FailureOr<CachedAttentionPlan> CachedAttentionPlan::of(ir::KernelOp kernel) {
  auto found = onlyOp<ir::CachedAttentionOp>(kernel);
  if (failed(found))
    return mlir::failure();
  ir::CachedAttentionOp op = *found;
  auto q = sliceOf(kernel, op.getQ(), "q"), k = sliceOf(kernel, op.getK(), "k"), v = sliceOf(kernel, op.getV(), "v");
  auto keys = inputOf(kernel, op.getKeys(), "the kept keys"), values = inputOf(kernel, op.getValues(), "the kept values"),
       position = inputOf(kernel, op.getPosition(), "the position");
  if (failed(q) || failed(k) || failed(v) || failed(keys) || failed(values) || failed(position))
    return mlir::failure();
  ir::Sizes sizes = ir::sizesOf(op.getQ()), kept = ir::sizesOf(op.getKeys());
  std::optional<int64_t> inner = sizes[2].constant(), context = kept[1].constant();
  if (!inner || !context)
    return kernel.emitOpError("attends to ") << ir::describe(kept) << ": a constant context is needed";
  std::optional<AttentionBias> bias;
  if (mlir::Value added = op.getBias()) {
    auto input = inputOf(kernel, added, "the bias of the scores");
    if (failed(input))
      return mlir::failure();
    bias = AttentionBias{*input, ir::sizesOf(added)[0] == Size(1)};
  }
  int64_t heads = static_cast<int64_t>(op.getHeads()), keyHeads = op.getKvHeads() ? static_cast<int64_t>(*op.getKvHeads()) : heads;
  return CachedAttentionPlan{
      dtypeOf(op.getQ()), *q,  *k, *v, *keys, *values, *position, sizes[0], sizes[1], *context, heads, *inner / heads, op.getScale().convertToDouble(),
      keyHeads,           bias};
}

mlir::FailureOr<AppendPlan> AppendPlan::of(ir::KernelOp kernel) {
  std::optional<AppendPlan> plan;
  for (mlir::Value value : kernel.getBody().front().getTerminator()->getOperands()) {
    auto op = value.getDefiningOp<ir::AppendOp>();
    if (!op)
      return kernel.emitOpError("appends, and gives something else too");
    auto rows = sliceOf(kernel, op.getRows(), "the new rows");
    auto position = inputOf(kernel, op.getPosition(), "the position");
    if (failed(rows) || failed(position))
      return mlir::failure();
    ir::Sizes cache = ir::sizesOf(op.getCache()), added = ir::sizesOf(op.getRows());
    std::optional<int64_t> context = cache[1].constant(), width = cache[2].constant();
    if (!context || !width)
      return kernel.emitOpError("appends to ") << ir::describe(cache) << ": a constant context and width are needed";
    if (!plan)
      plan = AppendPlan{dtypeOf(op.getCache()), {}, *position, cache[0], added[1], *context, *width};
    else if (plan->dtype != dtypeOf(op.getCache()) || plan->position != *position || plan->batch != cache[0] || plan->tokens != added[1] ||
             plan->context != *context || plan->width != *width)
      return kernel.emitOpError("appends to states of two kinds");
    plan->rows.push_back(*rows);
  }
  if (!plan)
    return kernel.emitOpError("appends nothing");
  return *plan;
}

} // namespace moec::codegen
