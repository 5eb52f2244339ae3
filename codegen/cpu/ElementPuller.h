#pragma once
// Computes single elements of a kernel's values (LoopsPlan.h, isOfElements) from its arguments, by index arithmetic and recursion over the ops:
// reshape, transpose, slice, concat and broadcast cost no memory. Knows the kernel's arguments; knows no stage.

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

class ElementPuller {
public:
  explicit ElementPuller(KernelBuilder& k);

  Values coordinatesOf(Value linear, const ir::Sizes& sizes);
  Value linearOf(const Values& coordinates, const ir::Sizes& sizes);

  /// The element of a value at these coordinates (i64, one for each dimension).
  Value elementAt(mlir::Value value, const Values& at);
  /// Forgets the elements known at one place: called where a new place begins. `position` is the line's own there.
  void startElement(Value position = {}) {
    known_.clear();
    position_ = position;
  }

  /// A piece of a line: [begin, end), at most `most` long.
  struct Piece {
    Value begin, end;
    Size most;
  };
  /// Computes, into scratch, the reductions that the elements of a piece of a line want at the line's own coordinates; the last of `at` is
  /// null and means the line. elementAt finds them there.
  void reduceAlongLine(mlir::Value value, const Values& at, const Piece& piece);
  void startLine() { lines_.clear(); }
  /// From here on, the reduction's elements, before the division of a mean, lie in a workspace.
  void readTotals(ir::ReduceOp op, unsigned workspace) { totals_[op] = workspace; }

  /// The coordinates of an element of a reduction's operand.
  static Values withAxis(const Values& at, int64_t axis, Value position);

private:
  Value compute(mlir::Operation* op, mlir::Value value, const Values& at);
  Value reduce(ir::ReduceOp op, const Values& at);
  Value reduceHere(ir::ReduceOp op, const Values& at);
  Value concat(ir::ConcatOp op, const Values& at);
  // PositionElements.cpp
  Value relativeBias(ir::RelativeBiasOp op, const Values& at);
  Value rotary(ir::RotaryOp op, const Values& at);
  Value sliceAt(ir::SliceAtOp op, const Values& at);
  Values reshape(const Values& at, const ir::Sizes& to, const ir::Sizes& from);
  static Values broadcast(const Values& at, const ir::Sizes& from, KernelBuilder& k);
  Value loadAt(mlir::Value argument, Value linear);

  using Place = llvm::SmallVector<void*>;
  static Place placeOf(mlir::Value value, const Values& at);

  KernelBuilder& k_;
  std::map<Place, Value> known_;
  llvm::DenseMap<mlir::Value, Value> lines_;          // reductions of the current line ...
  Values line_;                                       // ... its coordinates ...
  Value lineStart_, position_;                        // ... where its piece begins, and the current element in it
  llvm::DenseMap<mlir::Operation*, unsigned> totals_; // of reductions: workspaces
  llvm::DenseMap<mlir::Value, Value> scratch_;        // of the only stage with lines
  llvm::DenseMap<mlir::Operation*, unsigned> streams_;
};

} // namespace moec::codegen::cpu
