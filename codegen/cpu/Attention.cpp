// moe.kernel of kind `attention`: softmax(scale q k^T + bias) v per head, both products by the micro-kernel.
//   stage 0, for each (batch, head of keys, panel of keys): keys as panels (panel, Dh, nr), their rows of v as panels (column panel, Nk, nr)
//   stage 1, for each (batch, head, block of queries): scores (queries, Nk) in scratch, their exponentials, times v, over their sums
#include "codegen/cpu/AttentionBlocks.h"
#include "codegen/cpu/Kernels.h"

namespace moec::codegen::cpu {
namespace {

void packStage(KernelBuilder& k, const AttentionPlan& plan, int64_t nr, unsigned keysBuffer, unsigned valuesBuffer) {
  HeadPanels panels(plan, nr);
  mlir::Type element = k.typeOf(plan.dtype);
  Size heads = plan.batch * Size(plan.keyHeads);
  k.stage(heads * panels.keyPanels, heads * plan.keys * Size(2 * plan.headDim), [&](Value item) {
    Value panel = k.rem(item, k.size(panels.keyPanels)), batchHead = k.div(item, k.size(panels.keyPanels));
    Value batch = k.div(batchHead, plan.keyHeads), head = k.rem(batchHead, plan.keyHeads);
    packKeys(k, plan, nr, headOf(k, plan, plan.k, plan.keys, batch, head), panel,
             k.at(k.workspace(keysBuffer), k.mul(batchHead, k.size(panels.keyElements)), element));
    packColumns(k, plan, nr, headOf(k, plan, plan.v, plan.keys, batch, head), panel,
                k.at(k.workspace(valuesBuffer), k.mul(batchHead, k.size(panels.columnElements)), element));
  });
}

void queryStage(KernelBuilder& k, const AttentionPlan& plan, const AttentionSchedule& schedule, unsigned keysBuffer, unsigned valuesBuffer) {
  int64_t nr = schedule.nr, lanes = k.lanes(plan.dtype);
  HeadPanels panels(plan, nr);
  mlir::Type element = k.typeOf(plan.dtype);
  DType computed = sumType(plan.dtype);
  RegisterBlock registers{computed, schedule.rows, nr / lanes};
  Size blocks = Size::ceilDiv(plan.queries, schedule.queries), heads = plan.batch * Size(plan.heads);
  Size stride = panels.keyPanels * Size(nr) + Size(64 / static_cast<int64_t>(byteSize(computed)));
  k.stage(heads * blocks, heads * plan.queries * plan.keys * Size(4 * plan.headDim), [&](Value item) {
    Value batchHead = k.div(item, k.size(blocks)), first = k.mul(k.rem(item, k.size(blocks)), schedule.queries);
    Value batch = k.div(batchHead, plan.heads), head = k.rem(batchHead, plan.heads);
    Value queries = k.size(plan.queries), keys = k.size(plan.keys), zero = k.index(0);
    Value keysOf = plan.sharing() == 1 ? batchHead : keyHeadOf(k, plan, batch, head);
    Value bias = biasOf(k, plan, head, first); // of the block's first query
    Value rows = k.min(k.index(schedule.queries), k.sub(queries, first));
    Value end = seenBy(k, plan, k.sub(k.add(first, rows), 1));

    Matrix scores{k.scratch(bytesOf(computed, Size(schedule.queries) * stride)), k.size(stride)};
    Matrix q = headOf(k, plan, plan.q, plan.queries, batch, head);
    q.base = k.at(q.base, k.mul(first, q.stride), plan.dtype);
    if (plan.dtype == DType::BF16) // widened once, not for each panel of keys
      q = copyRows(k, plan.dtype, rows, schedule.queries, Size(plan.headDim), [&](Value row) { return k.at(q.base, k.mul(row, q.stride), plan.dtype); });
    Value keyPanels = k.at(k.workspace(keysBuffer), k.mul(keysOf, k.size(panels.keyElements)), element);
    k.loop(zero, end, k.index(nr), [&](Value key) {
      Matrix panel{k.at(keyPanels, k.mul(key, plan.headDim), element), k.index(nr)};
      multiply(k, registers, rows, q, panel, k.index(plan.headDim), {k.at(scores.base, key, element), scores.stride}, false);
    });
    Value sums = k.scratch(bytesOf(computed, schedule.queries));
    k.loop(0, rows, 1, [&](Value row) {
      Value sum = softmaxRow(k, plan, k.at(scores.base, k.mul(row, scores.stride), element), seenBy(k, plan, k.add(first, row)), end,
                             bias ? k.at(bias, k.mul(row, keys), plan.dtype) : Value(), drawOf(k, plan, batchHead, k.add(first, row)))
                      .sum;
      k.store(sum, k.at(sums, row, element));
    });

    Matrix tile{k.scratch(bytesOf(computed, schedule.queries * nr)), k.index(nr)};
    Value values = k.at(k.workspace(valuesBuffer), k.mul(keysOf, k.size(panels.columnElements)), element);
    int64_t inner = plan.heads * plan.headDim;
    k.loop(0, k.index(panels.columnPanels), 1, [&](Value panel) {
      Value start = k.mul(panel, nr);
      Value columns = plan.headDim % nr == 0 ? k.index(nr) : k.min(k.index(nr), k.sub(k.index(plan.headDim), start));
      Matrix v{k.at(values, k.mul(start, keys), element), k.index(nr)};
      multiply(k, registers, rows, scores, v, end, tile, false);
      k.loop(0, rows, 1, [&](Value row) {
        Value sum = k.broadcast(k.load(element, k.at(sums, row, element)), lanes);
        Value place = k.add(k.mul(k.add(k.mul(batch, queries), k.add(first, row)), inner), k.mul(head, plan.headDim));
        k.vectorLoop(columns, lanes, [&](Value column, Value mask) {
          Value total = k.load(k.vectorOf(element, lanes), k.at(tile.base, k.add(k.mul(row, nr), column), element));
          Value to = k.at(k.output(0), k.add(place, k.add(column, start)), plan.dtype);
          k.storeElements(plan.dtype, k.div(total, sum), to, mask);
        });
      });
    });
  });
}

} // namespace

mlir::LogicalResult buildAttention(KernelBuilder& k, ir::KernelOp kernel) {
  auto plan = AttentionPlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  auto schedule = AttentionSchedule::from(kernel.getScheduleAttr());
  if (!schedule)
    return kernel.emitOpError("has no complete schedule: rows, nr and queries are needed");
  if (auto why = schedule->illegal(k.target(), plan->dtype))
    return kernel.emitOpError("has an illegal schedule: ") << *why;
  HeadPanels panels(*plan, schedule->nr);
  Size heads = plan->batch * Size(plan->keyHeads);
  unsigned keys = k.addWorkspace(bytesOf(sumType(plan->dtype), heads * panels.keyElements));
  unsigned values = k.addWorkspace(bytesOf(sumType(plan->dtype), heads * panels.columnElements));
  packStage(k, *plan, schedule->nr, keys, values);
  queryStage(k, *plan, *schedule, keys, values);
  return mlir::success();
}

mlir::DictionaryAttr scheduleAttention(ir::KernelOp kernel, const CpuTarget& target) {
  auto plan = AttentionPlan::of(kernel);
  if (failed(plan))
    return {};
  return chooseAttention(plan->dtype, plan->queries, plan->keys, plan->headDim, target).attr(kernel.getContext());
}

} // namespace moec::codegen::cpu
