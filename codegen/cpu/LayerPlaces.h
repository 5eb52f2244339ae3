#pragma once
// Where the rows of a block of tokens stand in a layer's launch: sorted by experts within the block and, where capacities or results need it, in the routing of
// the whole call, whose order is that of AssignStage. Knows the layer's plan; knows no products.

#include "codegen/analysis/LayerPlan.h"
#include "codegen/cpu/AssignStage.h"

namespace moec::codegen::cpu {

class LayerPlaces {
public:
  static constexpr int64_t kMostLists = 16; // experts that look at the same places: each takes seven instructions for eight of them

  /// `block`: the most tokens of a block.
  LayerPlaces(KernelBuilder& k, ir::KernelOp kernel, const LayerPlan& plan, int64_t block, const Size& blocks);

  /// Whether a row's place depends on other blocks. Then count() of all blocks and begin() stand in stages before sort().
  bool areOfAllTokens() const { return routing_ != nullptr; }
  /// Where a whole value of tokens lies.
  using BaseOf = std::function<Base(mlir::Value)>;

  /// Where the block's rows of a value of tokens begin.
  using RowsOf = llvm::function_ref<Value(mlir::Value)>;
  /// How many rows of a block, which has so many tokens, enter each expert.
  void count(Value block, Value tokens, RowsOf rowsOf);
  /// Writes the stage that adds the counts up.
  void begin(const BaseOf& baseOf);
  /// Sorts the block's places, token * K + choice counted from its first token, by experts; writes its part of the routing.
  void sort(Value block, Value first, Value tokens, RowsOf rowsOf);

  // Of the block that is sorted:
  /// Where an expert's run of the sorted places begins; `before`: where that of the expert before ends.
  Value start(Value expert, Value before) { return byLanes_ ? k_.mul(expert, room()) : before; }
  /// Where it ends.
  Value end(Value expert) { return read(ends_, expert); }
  /// The i-th of the sorted places.
  Value place(Value i) { return read(list_, i); }
  /// Whether a place has a row; null where all have.
  Value isKept(Value place) { return kept_ ? k_.loadElements(DType::Bool, k_.at(kept_, place, DType::Bool), 1) : Value(); }
  /// The place of a row in the call's routing.
  Value slot(Value place);

private:
  bool allEnter();
  Value read(Value list, Value i) { return k_.toInteger(k_.load(k_.i32(), k_.at(list, i, k_.i32())), k_.i64()); }
  void write(Value list, Value i, Value value) { k_.store(k_.toInteger(value, k_.i32()), k_.at(list, i, k_.i32())); }
  void eachPlace(Value tokens, RowsOf rowsOf, llvm::function_ref<void(Value place, Value expert, Value enters)> visit);
  /// Of the rows of a place's class and expert, in a table of a block.
  Value cellOf(Value place, Value expert) { return classes_ == 1 ? expert : k_.add(k_.mul(k_.rem(place, plan_.choices), plan_.experts), expert); }
  Value takeSlot(Value table, Value place, Value expert, Value enters);
  int64_t room() const { return (block_ * plan_.choices + kPlaces - 1) / kPlaces * kPlaces; } // of an expert's list
  Values eachEight(Value tokens, RowsOf rowsOf, llvm::function_ref<void(Value first, int64_t expert, Value bits, Value before)> visit);
  void sortByLanes(Value block, Value tokens, RowsOf rowsOf);
  void enterList(Value block, Value expert, Value rows);

  static constexpr int64_t kPlaces = 8; // that are looked at together, where they are so

  KernelBuilder& k_;
  const LayerPlan& plan_;
  ir::AssignOp assign_;
  int64_t block_, classes_ = 1; // classes_: of a token's choices, those that enter one behind the other
  Size blocks_;
  bool inTurn_ = false;  // one row of the call behind the other, as AssignStage goes: what is dropped behind a capacity has filled it
  bool byLanes_ = false; // each of the experts has a list of its own, to which it takes its places from eight at once
  Base routing_;         // of the call: a result or a workspace; null: places are the block's own
  unsigned counts_ = 0;  // workspace (blocks, classes, E): rows of a block, then how many entered before them
  Value ends_, list_, kept_, first_;
};

} // namespace moec::codegen::cpu
