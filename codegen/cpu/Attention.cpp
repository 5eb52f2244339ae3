// moe.kernel of kind `attention`: softmax(scale q k^T + bias) v per head, both products by the micro-kernel.
//   of few queries and keys, one stage, for each (batch, head of keys): both of what follows, with the panels in scratch
//   of others, first for each (batch, head of keys, panel of keys): keys as panels (panel, Dh, nr), their rows of v as panels (column panel, Nk, nr)
//   then for each (batch, head, block of queries): scores (queries, Nk) in scratch, their exponentials, times v, times 1 / their sums
// Where a call alone knows how many there are, it decides which of the stages have items.
#include "codegen/cpu/AttentionBlocks.h"
#include "codegen/cpu/Kernels.h"

namespace moec::codegen::cpu {
namespace {

class AttentionWriter {
public:
  AttentionWriter(KernelBuilder& k, const AttentionPlan& plan, const AttentionSchedule& schedule)
      : k_(k), plan_(plan), schedule_(schedule), panels_(plan.keys, plan.headDim, schedule.nr), computed_(sumType(plan.dtype)), element_(k.typeOf(computed_)),
        lanes_(k.lanes(computed_)), registers_{computed_, schedule.rows, schedule.nr / lanes_}, ofHeads_(isShort(plan)) {}

  void write() {
    if (ofHeads_.constant() != 1)
      addWorkspaces();
    if (ofHeads_.constant() != 0)
      headStage();
    if (ofHeads_.constant() != 1)
      packAndQueryStages();
  }

private:
  void addWorkspaces();
  void headStage();
  void packAndQueryStages();
  /// Of a head of keys: its keys as panels (panel, Dh, nr), its values as panels (column panel, Nk, nr).
  struct Packed {
    Value keys, values;
    Matrix rows; // of the keys
  };
  /// Queries of a head: (batch, head) among all of the batch.
  struct Queries {
    Value batch, head, batchHead, first;
    bool fetchesNext = false; // the head behind this one is the next to be done
  };
  Matrix keyRows(Value keyHead) { return headOf(k_, plan_, plan_.k, plan_.keys, k_.div(keyHead, plan_.keyHeads), k_.rem(keyHead, plan_.keyHeads)); }
  void pack(const Packed& to, Value batch, Value head, Value panel);
  void answer(const Queries& block, const Packed& packed);
  Value scratch(const Size& elements) { return k_.scratch(bytesOf(computed_, elements)); }

  KernelBuilder& k_;
  const AttentionPlan& plan_;
  const AttentionSchedule& schedule_;
  HeadPanels panels_;
  DType computed_;
  mlir::Type element_;
  int64_t lanes_;
  RegisterBlock registers_;
  Size ofHeads_;                               // 1 where an item does all of a head of keys, else 0
  unsigned packedKeys_ = 0, packedValues_ = 0; // workspaces
};

void AttentionWriter::pack(const Packed& to, Value batch, Value head, Value panel) {
  packKeys(k_, plan_, schedule_.nr, headOf(k_, plan_, plan_.k, plan_.keys, batch, head), panel, to.keys);
  packColumns(k_, plan_, schedule_.nr, headOf(k_, plan_, plan_.v, plan_.keys, batch, head), panel, to.values);
}

void AttentionWriter::answer(const Queries& block, const Packed& packed) {
  KernelBuilder& k = k_;
  const AttentionPlan& plan = plan_;
  int64_t nr = schedule_.nr;
  Size stride = panels_.keyPanels * Size(nr) + Size(64 / static_cast<int64_t>(byteSize(computed_)));
  Value queries = k.size(plan.queries), keys = k.size(plan.keys);
  Value bias = biasOf(k, plan, block.head, block.first); // of the block's first query
  Value rows = k.min(k.index(schedule_.queries), k.sub(queries, block.first));
  Value end = seenBy(k, plan, k.sub(k.add(block.first, rows), 1));

  Matrix scores{scratch(Size(schedule_.queries) * stride), k.size(stride)};
  Matrix q = headOf(k, plan, plan.q, plan.queries, block.batch, block.head);
  q.base = k.at(q.base, k.mul(block.first, q.stride), plan.dtype);
  if (plan.dtype == DType::BF16) // widened once, not for each panel of keys
    q = copyRows(k, plan.dtype, rows, schedule_.queries, Size(plan.headDim), [&](Value row) { return k.at(q.base, k.mul(row, q.stride), plan.dtype); });
  multiplyKeys(k, plan, registers_, block.first, rows, q, packed.rows, packed.keys, k.index(0), end, scores);
  Value inverses = scratch(schedule_.queries); // of the rows' sums
  int64_t inner = plan.heads * plan.headDim;
  auto placeOf = [&](Value query) { return k.add(k.mul(k.add(k.mul(block.batch, queries), query), inner), k.mul(block.head, plan.headDim)); };
  k.loop(0, rows, 1, [&](Value row) {
    Value query = k.add(block.first, row);
    if (block.fetchesNext)
      for (const Slice* slice : {&plan.q, &plan.k, &plan.v})
        fetchNextHead(k, plan, *slice, slice == &plan.q ? plan.queries : plan.keys, block.batch, block.head, plan.heads, query, k.index(0), plan.headDim);
    Value sum = softmaxRow(k, plan, k.at(scores.base, k.mul(row, scores.stride), element_), seenBy(k, plan, query), end,
                           bias ? k.at(bias, k.mul(row, keys), plan.dtype) : Value(), drawOf(k, plan, block.batchHead, query))
                    .sum;
    k.store(k.div(k.real(element_, 1), sum), k.at(inverses, row, element_));
  });

  Matrix tile{scratch(schedule_.queries * nr), k.index(nr)};
  k.loop(0, k.index(panels_.columnPanels), 1, [&](Value panel) {
    Value start = k.mul(panel, nr);
    Value columns = plan.headDim % nr == 0 ? k.index(nr) : k.min(k.index(nr), k.sub(k.index(plan.headDim), start));
    Matrix v{k.at(packed.values, k.mul(start, keys), element_), k.index(nr)};
    bool isWhole = plan.headDim % nr == 0;
    inCausalRows(k, plan, rows, [&](Value first, Value count) {
      HeadRows result(
          k, plan.dtype, k.output(0), [&](Value row) { return k.add(placeOf(k.add(block.first, k.add(first, row))), start); },
          [&](Value row, Value total) { return k.mul(total, k.broadcast(k.load(element_, k.at(inverses, k.add(first, row), element_)), lanes_)); });
      PanelOfTile to{v, {k.at(tile.base, k.mul(first, nr), element_), tile.stride}, {}, isWhole ? &result : nullptr, panel};
      Value seen = seenBy(k, plan, k.sub(k.add(block.first, k.add(first, count)), 1));
      multiply(k, registers_, count, {k.at(scores.base, k.mul(first, scores.stride), element_), scores.stride}, to, seen, false);
    });
    if (isWhole)
      return;
    k.loop(0, rows, 1, [&](Value row) {
      Value inverse = k.broadcast(k.load(element_, k.at(inverses, row, element_)), lanes_);
      Value place = placeOf(k.add(block.first, row));
      k.vectorLoop(columns, lanes_, [&](Value column, Value mask) {
        Value total = k.load(k.vectorOf(element_, lanes_), k.at(tile.base, k.add(k.mul(row, nr), column), element_));
        Value to = k.at(k.output(0), k.add(place, k.add(column, start)), plan.dtype);
        k.storeElements(plan.dtype, k.mul(total, inverse), to, mask);
      });
    });
  });
}

void AttentionWriter::addWorkspaces() {
  Size keyHeads = plan_.batch * Size(plan_.keyHeads) * (Size(1) - ofHeads_);
  packedKeys_ = k_.addWorkspace(bytesOf(computed_, keyHeads * panels_.keyElements));
  packedValues_ = k_.addWorkspace(bytesOf(computed_, keyHeads * panels_.columnElements));
}

void AttentionWriter::packAndQueryStages() {
  KernelBuilder& k = k_;
  const AttentionPlan& plan = plan_;
  Size keyHeads = plan.batch * Size(plan.keyHeads), heads = plan.batch * Size(plan.heads), blocks = Size::ceilDiv(plan.queries, schedule_.queries);
  Size ofBlocks = Size(1) - ofHeads_;
  auto packedOf = [&](Value keyHead) {
    return Packed{k.at(k.workspace(packedKeys_), k.mul(keyHead, k.size(panels_.keyElements)), element_),
                  k.at(k.workspace(packedValues_), k.mul(keyHead, k.size(panels_.columnElements)), element_), keyRows(keyHead)};
  };
  k.stage(keyHeads * panels_.keyPanels * ofBlocks, keyHeads * plan.keys * Size(2 * plan.headDim), [&](Value item) {
    Value panel = k.rem(item, k.size(panels_.keyPanels)), keyHead = k.div(item, k.size(panels_.keyPanels));
    pack(packedOf(keyHead), k.div(keyHead, plan.keyHeads), k.rem(keyHead, plan.keyHeads), panel);
  });
  k.stage(heads * blocks * ofBlocks, heads * plan.queries * plan.keys * Size(4 * plan.headDim), [&](Value item) {
    Value batchHead = k.div(item, k.size(blocks)), first = k.mul(k.rem(item, k.size(blocks)), schedule_.queries);
    Value batch = k.div(batchHead, plan.heads), head = k.rem(batchHead, plan.heads);
    answer({batch, head, batchHead, first}, packedOf(plan.sharing() == 1 ? batchHead : keyHeadOf(k, plan, batch, head)));
  });
}

void AttentionWriter::headStage() {
  KernelBuilder& k = k_;
  const AttentionPlan& plan = plan_;
  HeadPanels most(mostShortKeys(plan, /*isGradient=*/false), plan.headDim, schedule_.nr);
  k.stage(plan.batch * Size(plan.keyHeads) * ofHeads_, plan.batch * Size(plan.heads) * plan.queries * plan.keys * Size(4 * plan.headDim), [&](Value keyHead) {
    Value batch = k.div(keyHead, plan.keyHeads), ofKeys = k.rem(keyHead, plan.keyHeads);
    Packed packed{scratch(most.keyElements), scratch(most.columnElements), keyRows(keyHead)};
    k.loop(0, k.size(panels_.keyPanels), 1, [&](Value panel) { pack(packed, batch, ofKeys, panel); });
    k.loop(0, k.index(plan.sharing()), 1, [&](Value share) {
      Value head = k.add(k.mul(ofKeys, plan.sharing()), share), batchHead = k.add(k.mul(batch, plan.heads), head);
      k.loop(0, k.size(plan.queries), schedule_.queries, [&](Value first) { answer({batch, head, batchHead, first, plan.sharing() == 1}, packed); });
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
  AttentionWriter(k, *plan, *schedule).write();
  return mlir::success();
}

mlir::DictionaryAttr scheduleAttention(ir::KernelOp kernel, const CpuTarget& target) {
  auto plan = AttentionPlan::of(kernel);
  if (failed(plan))
    return {};
  return chooseAttention(plan->dtype, plan->queries, plan->keys, plan->headDim, target).attr(kernel.getContext());
}

} // namespace moec::codegen::cpu
