// The rows of an assignment enter their experts, one after the other. A cell is one expert in one group.
// - Each row, in priority order, gets its place among the rows that its cell keeps, or -1. Capacity counts all that entered the cell, also those that a mask
//   drops behind it.
// - For each expert and each of its groups: where the cell's places begin.
// - Each row's place in its cell becomes its place in the routing.
#include "codegen/cpu/AssignStage.h"

#include "codegen/cpu/RoutingView.h"

namespace moec::codegen::cpu {

namespace {

class AssignStage {
public:
  AssignStage(KernelBuilder& k, const RoutingChain& chain, const Base& routing, const std::function<Base(mlir::Value)>& baseOf)
      : k_(k), assign_(chain.assign), routing_(RoutingView::of(k, chain.routing, routing())), indices_(baseOf(assign_.getIndices())()),
        choices_(*ir::sizesOf(assign_.getIndices())[1].constant()) {
    if (auto groups = assign_.getGroups())
      groups_ = Size::parse(groups->str());
    offered_ = routing_.experts;
    grouped_ = ir::sizesOf(assign_.getIndices())[0];
    if (mlir::Value within = assign_.getWithin()) {
      within_ = RoutingView::of(k, within, baseOf(within)());
      auto type = mlir::cast<ir::RoutingType>(within.getType());
      outerChoices_ = type.getChoices();
      grouped_ = Size::parse(type.getTokens().getValue().str());
      offered_ /= within_->experts;
    }
    if (mlir::Value keep = assign_.getKeep())
      enters_ = baseOf(keep)();
    for (mlir::Value keep : chain.keeps)
      stays_.push_back(baseOf(keep)());
  }

  void write();

private:
  /// A token, the first expert of those that it chooses among, and its group.
  struct Token {
    Value number, firstExpert, group;
  };
  bool isGrouped() const { return !(groups_ == Size(1)); }
  Value groupOf(Value token);
  void eachToken(llvm::function_ref<void(const Token&)> visit);
  void eachRow(llvm::function_ref<void(const Token&, Value row)> visit);
  Value cellOf(const Token& token, Value expert);
  void enter(const Token& token, Value row);

  Value read(Value base, Value i) { return RoutingView::element(k_, base, i); }
  void write(Value base, Value i, Value value) { k_.store(k_.toInteger(value, k_.i32()), k_.at(base, i, k_.i32())); }
  Value isTrue(Value base, Value row) { return k_.loadElements(DType::Bool, k_.at(base, row, DType::Bool), 1); }

  KernelBuilder& k_;
  ir::AssignOp assign_;
  RoutingView routing_;
  Value indices_, enters_; // (T, K)
  Values stays_;           // (T, K), of the drops behind
  int64_t choices_, offered_ = 0, outerChoices_ = 1;
  std::optional<RoutingView> within_;
  Size groups_ = 1, grouped_; // runs, and the tokens that they are of
  Value entered_, kept_;      // of each cell
};

Value AssignStage::groupOf(Value token) {
  if (!isGrouped())
    return k_.index(0);
  Value run = k_.max(k_.index(1), k_.size(Size::floorDiv(grouped_, groups_)));
  return k_.min(k_.div(token, run), k_.sub(k_.size(groups_), 1)); // inside, be the groups equal or not
}

void AssignStage::eachToken(llvm::function_ref<void(const Token&)> visit) {
  Value zero = k_.index(0), one = k_.index(1);
  if (!within_) {
    k_.loop(zero, k_.size(grouped_), one, [&](Value token) { visit({token, zero, groupOf(token)}); });
    return;
  }
  k_.loop(zero, k_.index(within_->experts), one, [&](Value outer) {
    Value first = read(within_->offsets(k_), outer), end = read(within_->offsets(k_), k_.add(outer, one));
    Value firstExpert = k_.mul(outer, offered_);
    k_.loop(first, end, one, [&](Value token) {
      Value group = isGrouped() ? groupOf(k_.div(read(within_->rowList(k_), token), outerChoices_)) : zero;
      visit({token, firstExpert, group});
    });
  });
}

/// In priority order.
void AssignStage::eachRow(llvm::function_ref<void(const Token&, Value row)> visit) {
  auto eachChoice = [&](llvm::function_ref<void(Value)> body) { k_.loop(k_.index(0), k_.index(choices_), k_.index(1), body); };
  if (assign_.getPriority() == ir::Priority::ChoiceMajor)
    eachChoice([&](Value choice) { eachToken([&](const Token& token) { visit(token, k_.add(k_.mul(token.number, choices_), choice)); }); });
  else
    eachToken([&](const Token& token) { eachChoice([&](Value choice) { visit(token, k_.add(k_.mul(token.number, choices_), choice)); }); });
}

Value AssignStage::cellOf(const Token& token, Value expert) {
  Value cell = k_.add(token.firstExpert, expert);
  return isGrouped() ? k_.add(k_.mul(cell, k_.size(groups_)), token.group) : cell;
}

void AssignStage::enter(const Token& token, Value row) {
  Value zero = k_.index(0), one = k_.index(1), expert = read(indices_, row);
  Value enters = k_.bitAnd(k_.compare(ir::Predicate::GE, expert, zero), k_.compare(ir::Predicate::LT, expert, k_.index(offered_)));
  if (enters_)
    enters = k_.bitAnd(enters, isTrue(enters_, row));
  Values place = k_.when(
      enters,
      [&] {
        Value cell = cellOf(token, expert), before = read(entered_, cell), mine = read(kept_, cell);
        write(entered_, cell, k_.add(before, one));
        Value stays = k_.compare(ir::Predicate::EQ, zero, zero);
        if (assign_.getCapacity())
          stays = k_.compare(ir::Predicate::LT, before, k_.size(Size::parse(assign_.getCapacity()->str())));
        for (Value keep : stays_)
          stays = k_.bitAnd(stays, isTrue(keep, row));
        write(kept_, cell, k_.choose(stays, k_.add(mine, one), mine));
        return Values{k_.choose(stays, mine, k_.index(-1))};
      },
      [&] { return Values{k_.index(-1)}; });
  write(routing_.slots(k_), row, place[0]);
}

void AssignStage::write() {
  Size cells = Size(routing_.experts) * groups_;
  Value zero = k_.index(0), one = k_.index(1), rows = k_.size(routing_.rows), list = routing_.rowList(k_), slots = routing_.slots(k_);
  entered_ = k_.scratch(cells * Size(4));
  kept_ = k_.scratch(cells * Size(4));
  k_.loop(zero, k_.size(cells), one, [&](Value cell) {
    write(entered_, cell, zero);
    write(kept_, cell, zero);
  });
  eachRow([&](const Token& token, Value row) { enter(token, row); });
  if (within_) { // rows of what is no token
    Value count = read(within_->offsets(k_), k_.index(within_->experts));
    k_.loop(k_.mul(count, choices_), rows, one, [&](Value row) { write(slots, row, k_.index(-1)); });
  }
  Value starts = entered_, groups = k_.size(groups_);
  Value end = k_.loop(zero, k_.index(routing_.experts), one, {zero}, [&](Value expert, const Values& carried) {
    write(routing_.offsets(k_), expert, carried[0]);
    return k_.loop(zero, groups, one, {carried[0]}, [&](Value group, const Values& before) {
      Value cell = k_.add(k_.mul(expert, groups), group);
      write(starts, cell, before[0]);
      return Values{k_.add(before[0], read(kept_, cell))};
    });
  })[0];
  write(routing_.offsets(k_), k_.index(routing_.experts), end);
  eachToken([&](const Token& token) {
    k_.loop(zero, k_.index(choices_), one, [&](Value choice) {
      Value row = k_.add(k_.mul(token.number, choices_), choice), place = read(slots, row);
      k_.when(k_.compare(ir::Predicate::GE, place, zero), [&] {
        Value slot = k_.add(place, read(starts, cellOf(token, read(indices_, row))));
        write(slots, row, slot);
        write(list, slot, row);
      });
    });
  });
  k_.loop(end, rows, one, [&](Value slot) { write(list, slot, k_.index(-1)); });
}

} // namespace

void writeAssignStage(KernelBuilder& k, const RoutingChain& chain, const Base& routing, const std::function<Base(mlir::Value)>& baseOf) {
  Size rows = ir::product(ir::sizesOf(ir::AssignOp(chain.assign).getIndices()));
  k.stage(1, rows * Size(16), [&](Value) { AssignStage(k, chain, routing, baseOf).write(); });
}

} // namespace moec::codegen::cpu
