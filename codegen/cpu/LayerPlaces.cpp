// places of a block, by lanes:          for each eight places: for each expert: those that are its own, behind those in its list
// where experts are many, or some rows enter none, a counting sort: how many rows enter each expert; where each expert's run begins; each place into its run
// of all tokens, in front of that:      for each block: rows that enter each cell, a cell being an expert and, of choices one behind the other, a choice
//                                       for each cell, block: how many entered before; for each expert: where its rows begin
#include "codegen/cpu/LayerPlaces.h"

#include "codegen/cpu/RoutingView.h"

namespace moec::codegen::cpu {
namespace {

/// For each byte the places of its bits, one behind the other; zeros behind them.
Value placesOfBits(KernelBuilder& k) {
  std::array<uint8_t, 256 * 8> table{};
  for (size_t byte = 0; byte < 256; ++byte)
    for (size_t bit = 0, next = 0; bit < 8; ++bit)
      if (byte >> bit & 1)
        table[byte * 8 + next++] = static_cast<uint8_t>(bit);
  auto type = mlir::RankedTensorType::get({256 * 8}, k.builder().getIntegerType(8, /*isSigned=*/false));
  return k.constantData(mlir::DenseElementsAttr::get(type, llvm::ArrayRef<uint8_t>(table)));
}

} // namespace

LayerPlaces::LayerPlaces(KernelBuilder& k, ir::KernelOp kernel, const LayerPlan& plan, int64_t block, const Size& blocks)
    : k_(k), plan_(plan), assign_(plan.gate.routings.front().assign), block_(block), blocks_(blocks) {
  auto result = resultOf(kernel, plan.routing());
  bool ofAllTokens = result || assign_.getCapacity() || plan.givesRows();
  if (ofAllTokens && assign_.getPriority() == ir::Priority::ChoiceMajor)
    classes_ = plan.choices;
  byLanes_ = allEnter() && classes_ == 1 && plan.experts <= kMostLists && k.lanes(DType::I32) >= kPlaces;
  if (!ofAllTokens)
    return;
  inTurn_ = assign_.getCapacity() && !plan.gate.routings.front().keeps.empty();
  if (!inTurn_)
    counts_ = k.addWorkspace(blocks * Size(classes_ * plan.experts * 4));
  if (result) {
    routing_ = [&k, number = *result] { return k.output(number); };
  } else {
    unsigned number = k.addWorkspace((Size(plan.experts + 1) + plan.rows() * Size(2)) * Size(4));
    routing_ = [&k, number] { return k.workspace(number); };
  }
}

/// Whether each choice is an expert for sure, and none is dropped.
bool LayerPlaces::allEnter() {
  auto select = assign_.getIndices().getDefiningOp<ir::SelectOp>();
  return select && plan_.gate.routings.front().keeps.empty() && !assign_.getKeep() && ir::sizesOf(select.getScores()).back() == Size(plan_.experts);
}

/// The places of the block in order, each with whether it enters its expert; null where all do.
void LayerPlaces::eachPlace(Value tokens, RowsOf rowsOf, llvm::function_ref<void(Value place, Value expert, Value enters)> visit) {
  Value indices = rowsOf(assign_.getIndices());
  Values masks;
  llvm::SmallVector<mlir::Value> keeps = plan_.gate.routings.front().keeps;
  if (assign_.getKeep())
    keeps.push_back(assign_.getKeep());
  for (mlir::Value keep : keeps)
    masks.push_back(rowsOf(keep));
  k_.loop(k_.index(0), k_.mul(tokens, plan_.choices), k_.index(1), [&](Value place) {
    Value expert = read(indices, place);
    if (allEnter())
      return visit(place, expert, {});
    Value enters = k_.compareUnsigned(ir::Predicate::LT, expert, k_.index(plan_.experts));
    for (Value mask : masks)
      enters = k_.bitAnd(enters, k_.loadElements(DType::Bool, k_.at(mask, place, DType::Bool), 1));
    visit(place, expert, enters);
  });
}

/// Eight places of the block after eight, each expert's as bits, with how many of its own stand before them; how many each expert has.
Values LayerPlaces::eachEight(Value tokens, RowsOf rowsOf, llvm::function_ref<void(Value first, int64_t expert, Value bits, Value before)> visit) {
  Value indices = rowsOf(assign_.getIndices()), places = k_.mul(tokens, plan_.choices);
  mlir::Type vector = k_.vectorOf(k_.i32(), kPlaces);
  Values none(static_cast<size_t>(plan_.experts), k_.index(0));
  return k_.loop(k_.index(0), places, k_.index(kPlaces), none, [&](Value first, const Values& before) {
    Value inside = k_.mask(k_.sub(places, first), kPlaces);
    Value chosen = k_.loadMasked(vector, k_.at(indices, first, k_.i32()), inside, k_.integer(vector, -1));
    Values after;
    for (int64_t expert = 0; expert < plan_.experts; ++expert) {
      Value isIts = k_.compare(ir::Predicate::EQ, chosen, k_.integer(vector, expert));
      Value bits = k_.widenUnsigned(k_.word(isIts), k_.i64());
      visit(first, expert, bits, before[expert]);
      after.push_back(k_.add(before[expert], k_.countOnes(bits)));
    }
    return after;
  });
}

void LayerPlaces::count(Value block, Value tokens, RowsOf rowsOf) {
  if (inTurn_)
    return;
  int64_t cells = classes_ * plan_.experts;
  Value counts = k_.at(k_.workspace(counts_), k_.mul(block, cells), k_.i32());
  if (byLanes_) {
    for (auto [expert, rows] : llvm::enumerate(eachEight(tokens, rowsOf, [](Value, int64_t, Value, Value) {})))
      write(counts, k_.index(static_cast<int64_t>(expert)), rows);
    return;
  }
  k_.loop(0, k_.index(cells), 1, [&](Value cell) { write(counts, cell, k_.index(0)); });
  eachPlace(tokens, rowsOf, [&](Value place, Value expert, Value enters) {
    auto add = [&] {
      Value cell = cellOf(place, expert);
      write(counts, cell, k_.add(read(counts, cell), k_.index(1)));
    };
    enters ? k_.when(enters, add) : add();
  });
}

void LayerPlaces::begin(const BaseOf& baseOf) {
  if (inTurn_)
    return writeAssignStage(k_, plan_.gate.routings.front(), routing_, baseOf);
  int64_t cells = classes_ * plan_.experts;
  k_.stage(1, blocks_ * Size(4 * cells), [&](Value) {
    RoutingView routing = RoutingView::of(k_, plan_.routing(), routing_());
    Value zero = k_.index(0), one = k_.index(1), counts = k_.workspace(counts_), offsets = routing.offsets(k_), list = routing.rowList(k_);
    Value end = k_.loop(zero, k_.index(plan_.experts), one, {zero}, [&](Value expert, const Values& offset) {
      write(offsets, expert, offset[0]);
      Value rows = k_.loop(zero, k_.index(classes_), one, {zero}, [&](Value number, const Values& ofClasses) {
        Value cell = k_.add(k_.mul(number, plan_.experts), expert);
        return k_.loop(zero, k_.size(blocks_), one, {ofClasses[0]}, [&](Value block, const Values& before) {
          Value at = k_.add(k_.mul(block, cells), cell), rows = read(counts, at);
          write(counts, at, before[0]);
          return Values{k_.add(before[0], rows)};
        });
      })[0];
      if (auto capacity = assign_.getCapacity())
        rows = k_.min(rows, k_.max(zero, k_.size(Size::parse(capacity->str())))); // below 1 it drops all
      return Values{k_.add(offset[0], rows)};
    })[0];
    write(offsets, k_.index(plan_.experts), end);
    k_.loop(end, k_.size(plan_.rows()), one, [&](Value slot) { write(list, slot, k_.index(-1)); });
  });
}

/// Enters a place's row in the routing: its slot there, or -1. `table`: how many have entered each cell.
Value LayerPlaces::takeSlot(Value table, Value place, Value expert, Value enters) {
  RoutingView routing = RoutingView::of(k_, plan_.routing(), routing_());
  Value ofCall = k_.add(k_.mul(first_, plan_.choices), place);
  auto enter = [&] {
    Value cell = cellOf(place, expert), before = read(table, cell), slot = k_.add(read(routing.offsets(k_), expert), before);
    write(table, cell, k_.add(before, k_.index(1)));
    if (auto capacity = assign_.getCapacity())
      slot = k_.choose(k_.compare(ir::Predicate::LT, before, k_.size(Size::parse(capacity->str()))), slot, k_.index(-1));
    return slot;
  };
  Value slot = enters ? k_.when(enters, [&] { return Values{enter()}; }, [&] { return Values{k_.index(-1)}; })[0] : enter();
  write(routing.slots(k_), ofCall, slot);
  auto list = [&] { write(routing.rowList(k_), slot, ofCall); };
  enters || assign_.getCapacity() ? k_.when(k_.compare(ir::Predicate::GE, slot, k_.index(0)), list) : list();
  return slot;
}

void LayerPlaces::sortByLanes(Value block, Value tokens, RowsOf rowsOf) {
  Value table = placesOfBits(k_);
  mlir::Type bytes = k_.vectorOf(k_.i8(), kPlaces);
  Values rows = eachEight(tokens, rowsOf, [&](Value first, int64_t expert, Value bits, Value before) {
    Value places = k_.widenUnsigned(k_.load(bytes, k_.at(table, k_.mul(bits, 8), k_.i8())), k_.i32());
    Value all = k_.add(places, k_.broadcast(k_.toInteger(first, k_.i32()), kPlaces));
    k_.store(all, k_.at(list_, k_.add(before, expert * room()), k_.i32())); // what stands behind its own the next ones replace
  });
  for (int64_t expert = 0; expert < plan_.experts; ++expert)
    write(ends_, k_.index(expert), k_.add(rows[expert], expert * room()));
  if (areOfAllTokens())
    k_.loop(k_.index(0), k_.index(plan_.experts), k_.index(1), [&](Value expert) { enterList(block, expert, k_.sub(end(expert), k_.mul(expert, room()))); });
}

/// Enters an expert's list in the routing: its rows follow those of the blocks before.
void LayerPlaces::enterList(Value block, Value expert, Value rows) {
  RoutingView routing = RoutingView::of(k_, plan_.routing(), routing_());
  Value start = k_.mul(expert, room()), before = read(k_.workspace(counts_), k_.add(k_.mul(block, plan_.experts), expert));
  Value slot = k_.add(read(routing.offsets(k_), expert), before), enter = rows, first = k_.mul(first_, plan_.choices);
  if (auto capacity = assign_.getCapacity())
    enter = k_.min(rows, k_.max(k_.index(0), k_.sub(k_.size(Size::parse(capacity->str())), before)));
  k_.loop(k_.index(0), enter, k_.index(1), [&](Value i) {
    Value taken = place(k_.add(start, i)), ofCall = k_.add(first, taken);
    write(routing.slots(k_), ofCall, k_.add(slot, i));
    write(routing.rowList(k_), k_.add(slot, i), ofCall);
    if (kept_)
      k_.storeElements(DType::Bool, k_.integer(k_.i1(), 1), k_.at(kept_, taken, DType::Bool));
  });
  if (!assign_.getCapacity())
    return;
  k_.loop(enter, rows, k_.index(1), [&](Value i) {
    Value dropped = place(k_.add(start, i));
    write(routing.slots(k_), k_.add(first, dropped), k_.index(-1));
    k_.storeElements(DType::Bool, k_.integer(k_.i1(), 0), k_.at(kept_, dropped, DType::Bool));
  });
  write(ends_, expert, k_.add(start, enter));
}

void LayerPlaces::sort(Value block, Value first, Value tokens, RowsOf rowsOf) {
  Value zero = k_.index(0), one = k_.index(1), experts = k_.index(plan_.experts), places = k_.mul(tokens, plan_.choices), table;
  int64_t cells = classes_ * plan_.experts;
  bool allKept = allEnter() && !assign_.getCapacity();
  first_ = first;
  ends_ = k_.scratch(Size(plan_.experts) * Size(4));
  list_ = k_.scratch(Size(byLanes_ ? plan_.experts * room() : block_ * plan_.choices) * Size(4));
  kept_ = allKept ? Value() : k_.scratch(Size(block_ * plan_.choices));
  if (byLanes_)
    return sortByLanes(block, tokens, rowsOf);
  if (areOfAllTokens() && !inTurn_) {
    table = k_.scratch(Size(cells * 4));
    Value before = k_.at(k_.workspace(counts_), k_.mul(block, cells), k_.i32());
    k_.loop(0, k_.index(cells), 1, [&](Value cell) { write(table, cell, read(before, cell)); });
  }
  k_.loop(zero, experts, one, [&](Value expert) { write(ends_, expert, zero); });
  eachPlace(tokens, rowsOf, [&](Value place, Value expert, Value enters) {
    if (areOfAllTokens()) {
      Value taken = inTurn_ ? slot(place) : takeSlot(table, place, expert, enters);
      enters = allKept ? Value() : k_.compare(ir::Predicate::GE, taken, zero);
    }
    auto add = [&] { write(ends_, expert, k_.add(read(ends_, expert), one)); };
    if (!enters)
      return add();
    k_.storeElements(DType::Bool, enters, k_.at(kept_, place, DType::Bool));
    k_.when(enters, add);
  });
  k_.loop(zero, experts, one, {zero}, [&](Value expert, const Values& before) {
    Value rows = read(ends_, expert);
    write(ends_, expert, before[0]);
    return Values{k_.add(before[0], rows)};
  });
  Value indices = rowsOf(assign_.getIndices());
  k_.loop(zero, places, one, [&](Value place) {
    auto enter = [&] {
      Value expert = read(indices, place), end = read(ends_, expert);
      write(list_, end, place);
      write(ends_, expert, k_.add(end, one));
    };
    kept_ ? k_.when(isKept(place), enter) : enter();
  });
}

Value LayerPlaces::slot(Value place) { return read(RoutingView::of(k_, plan_.routing(), routing_()).slots(k_), k_.add(k_.mul(first_, plan_.choices), place)); }

} // namespace moec::codegen::cpu
