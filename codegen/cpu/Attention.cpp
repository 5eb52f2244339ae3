// moe.kernel of kind `attention`: softmax(scale q k^T + bias) v per head, both products by the micro-kernel.
//   stage 0, for each (batch, head of keys, panel of keys): keys as panels (panel, Dh, nr), their rows of v as panels (column panel, Nk, nr)
//   stage 1, for each (batch, head, block of queries): scores (queries, Nk) in scratch, their exponentials, times v, over their sums
#include "codegen/analysis/ProductPlans.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/Product.h"
#include "codegen/cpu/VectorMath.h"

namespace moec::codegen::cpu {
namespace {

/// Sizes of the packed forms of one head.
struct Panels {
  Size keyPanels, keyElements, valueElements;
  int64_t columnPanels;

  Panels(const AttentionPlan& plan, int64_t nr)
      : keyPanels(Size::ceilDiv(plan.keys, nr)), keyElements(keyPanels * Size(plan.headDim * nr)), valueElements(0),
        columnPanels((plan.headDim + nr - 1) / nr) {
    valueElements = plan.keys * Size(columnPanels * nr);
  }
};

// Rows of one head: (N, Dh) inside (B, N, width).
Matrix headOf(KernelBuilder& k, const AttentionPlan& plan, const Slice& slice, const Size& rows, Value batch, Value head) {
  Value start = k.add(k.mul(batch, k.size(rows * slice.width)), k.add(k.size(slice.start), k.mul(head, plan.headDim)));
  return {k.at(k.input(slice.input), start, plan.dtype), k.size(slice.width)};
}

void packStage(KernelBuilder& k, const AttentionPlan& plan, int64_t nr, unsigned keysBuffer, unsigned valuesBuffer) {
  Panels panels(plan, nr);
  mlir::Type element = k.typeOf(plan.dtype);
  int64_t lanes = k.lanes(plan.dtype);
  Size heads = plan.batch * Size(plan.keyHeads);
  k.stage(heads * panels.keyPanels, heads * plan.keys * Size(2 * plan.headDim), [&](Value item) {
    Value panel = k.rem(item, k.size(panels.keyPanels)), batchHead = k.div(item, k.size(panels.keyPanels));
    Value batch = k.div(batchHead, plan.keyHeads), head = k.rem(batchHead, plan.keyHeads);
    Value first = k.mul(panel, nr), keys = k.size(plan.keys);
    packPanel(k, plan.dtype, headOf(k, plan, plan.k, plan.keys, batch, head), first, keys, k.index(plan.headDim), nr,
              k.at(k.workspace(keysBuffer), k.mul(item, plan.headDim * nr), element));
    Matrix rows = headOf(k, plan, plan.v, plan.keys, batch, head);
    Value values = k.at(k.workspace(valuesBuffer), k.mul(batchHead, k.size(panels.valueElements)), element);
    k.loop(first, k.min(keys, k.add(first, nr)), k.index(1), [&](Value key) {
      Value from = k.at(rows.base, k.mul(key, rows.stride), plan.dtype);
      for (int64_t column = 0; column < panels.columnPanels * nr; column += lanes) {
        Value to = k.at(values, k.add(k.mul(k.add(k.size(plan.keys * Size(column / nr)), key), nr), column % nr), element);
        int64_t there = std::clamp<int64_t>(plan.headDim - column, 0, lanes);
        Value vector = k.zero(k.vectorOf(element, lanes));
        if (there > 0)
          vector = k.loadElements(plan.dtype, k.at(from, k.index(column), plan.dtype), lanes,
                                  there == lanes ? Value() : k.mask(k.index(there), lanes));
        k.store(vector, to);
      }
    });
  });
}

// The first `seen` of the scores as exp(scale s + bias - most), zeros up to `end`; the sum of the exponentials. At least one is seen. `bias`: of the
// row's keys, or null.
Value softmaxRow(KernelBuilder& k, const AttentionPlan& plan, Value scores, Value seen, Value end, Value bias) {
  mlir::Type element = k.typeOf(plan.dtype);
  int64_t lanes = k.lanes(plan.dtype);
  mlir::Type vector = k.vectorOf(element, lanes);
  Value lowest = k.real(vector, -std::numeric_limits<double>::infinity()), step = k.index(lanes), zero = k.index(0);
  // Rows are whole vectors: lanes behind `seen` are loaded, and left out.
  auto inside = [&](Value i) { return k.mask(k.sub(seen, i), lanes); };
  Value most = k.loop(zero, seen, step, {lowest}, [&](Value i, const Values& carried) {
    Value place = k.at(scores, i, element), s = k.mul(k.load(vector, place), k.real(vector, plan.scale));
    if (bias) {
      s = k.add(s, k.loadElements(plan.dtype, k.at(bias, i, plan.dtype), lanes, inside(i)));
      k.store(s, place);
    }
    return Values{k.max(carried[0], k.choose(inside(i), s, lowest))};
  })[0];
  most = k.broadcast(k.maxLanes(most), lanes);
  Value sum = k.loop(zero, end, step, {k.zero(vector)}, [&](Value i, const Values& carried) {
    Value place = k.at(scores, i, element);
    Value s = k.load(vector, place);
    if (!bias) // otherwise it has its scale
      s = k.mul(s, k.real(vector, plan.scale));
    Value power = k.choose(inside(i), exp(k, k.sub(s, most)), k.zero(vector));
    k.store(power, place);
    return Values{k.add(carried[0], power)};
  })[0];
  return k.sumLanes(sum);
}

void queryStage(KernelBuilder& k, const AttentionPlan& plan, const AttentionSchedule& schedule, unsigned keysBuffer,
                unsigned valuesBuffer) {
  int64_t nr = schedule.nr, lanes = k.lanes(plan.dtype);
  Panels panels(plan, nr);
  mlir::Type element = k.typeOf(plan.dtype);
  DType computed = sumType(plan.dtype);
  RegisterBlock registers{computed, schedule.rows, nr / lanes};
  Size blocks = Size::ceilDiv(plan.queries, schedule.queries), heads = plan.batch * Size(plan.heads);
  Size stride = panels.keyPanels * Size(nr) + Size(64 / static_cast<int64_t>(byteSize(computed)));
  k.stage(heads * blocks, heads * plan.queries * plan.keys * Size(4 * plan.headDim), [&](Value item) {
    Value batchHead = k.div(item, k.size(blocks)), first = k.mul(k.rem(item, k.size(blocks)), schedule.queries);
    Value batch = k.div(batchHead, plan.heads), head = k.rem(batchHead, plan.heads);
    Value queries = k.size(plan.queries), keys = k.size(plan.keys), zero = k.index(0);
    Value keysOf = plan.sharing() == 1 ? batchHead : k.add(k.mul(batch, plan.keyHeads), k.div(head, plan.sharing()));
    Value bias;
    if (plan.bias) // of the block's first query
      bias = k.at(k.input(plan.bias->input), k.mul(plan.bias->ofAllHeads ? first : k.add(k.mul(head, queries), first), keys), plan.dtype);
    Value rows = k.min(k.index(schedule.queries), k.sub(queries, first));
    // Keys that a query of the block sees.
    auto seenBy = [&](Value query) {
      return plan.causal ? k.max(zero, k.min(keys, k.add(k.add(query, 1), k.sub(keys, queries)))) : keys;
    };
    Value end = seenBy(k.sub(k.add(first, rows), 1));

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
      Value sum = softmaxRow(k, plan, k.at(scores.base, k.mul(row, scores.stride), element), seenBy(k.add(first, row)), end,
                             bias ? k.at(bias, k.mul(row, keys), plan.dtype) : Value());
      k.store(sum, k.at(sums, row, element));
    });

    Matrix tile{k.scratch(bytesOf(computed, schedule.queries * nr)), k.index(nr)};
    Value values = k.at(k.workspace(valuesBuffer), k.mul(keysOf, k.size(panels.valueElements)), element);
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
  Panels panels(*plan, schedule->nr);
  Size heads = plan->batch * Size(plan->keyHeads);
  unsigned keys = k.addWorkspace(bytesOf(sumType(plan->dtype), heads * panels.keyElements));
  unsigned values = k.addWorkspace(bytesOf(sumType(plan->dtype), heads * panels.valueElements));
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
