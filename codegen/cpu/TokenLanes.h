#pragma once
// Computes narrow rows of several tokens at once: element j of the rows of as many tokens as a vector has lanes is one vector. For what a gate makes of few
// scores, and its gradients, which would fill a part of a vector each. Every result has the bits that RowProgram gives it, whose sums it takes in the same
// order. Knows nothing of stages.

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

class TokenLanes {
public:
  /// Whether rows of these ops, one for each of `tokens`, can be computed so.
  static bool takes(llvm::ArrayRef<mlir::Operation*> ops, const Size& tokens, const CpuTarget& target);

  TokenLanes(KernelBuilder& k, std::vector<mlir::Operation*> ops);

  /// Address of a token's row, as RowProgram::bind takes it: rows of neighbours follow each other.
  using Place = std::function<Value(Value token)>;
  void bind(mlir::Value value, Place place);
  /// Rows to read that are whole vectors in scratch, so many elements apart: what stands behind their ends may be anything.
  void bindWide(mlir::Value value, Place place, int64_t stride);
  /// The same for a whole tensor in memory.
  void bindTensor(mlir::Value value, std::function<Value()> base);
  /// A routing in memory, for choice_values; the column that they read is bound as a whole tensor.
  void bindRouting(mlir::Value routing, std::function<Value()> base) { routings_[routing] = std::move(base); }
  /// Code for `count` tokens from `first` on.
  void run(Value first, Value count);

private:
  using Fold = llvm::function_ref<Value(Value sum, Value next)>;

  void runGroup(Value first, Value count); // `count` null: as many as there are lanes
  const Values& elements(mlir::Value value);
  Values load(mlir::Value value);
  Values loadRows(DType dtype, Value base, int64_t width, int64_t stride);
  Values constant(ir::ConstantOp op);
  Values compute(mlir::Operation* op);
  Values softmax(mlir::Value x, DType to);
  Values reduce(ir::ReduceOp op);
  void select(ir::SelectOp op);
  Values take(ir::TakeOp op);
  Values softmaxGrad(ir::SoftmaxGradOp op);
  Values selectGrad(ir::SelectGradOp op);
  Values choiceValues(ir::ChoiceValuesOp op);
  Values draws(ir::RandomOp op);
  void store(mlir::Value value);
  Value fold(const Values& elements, double identity, Fold combine);
  Value at(const Values& elements, size_t j) const { return elements[elements.size() == 1 ? 0 : j]; }
  mlir::Type vectorOf(mlir::Type element) { return k_.vectorOf(element, lanes_); }

  KernelBuilder& k_;
  std::vector<mlir::Operation*> ops_;
  llvm::DenseSet<mlir::Value> perRow_;
  llvm::DenseMap<mlir::Value, std::vector<Place>> places_;
  llvm::DenseMap<mlir::Value, int64_t> strides_; // of wide rows
  llvm::DenseMap<mlir::Value, std::function<Value()>> routings_;
  int64_t lanes_ = 1;
  // Of the tokens being written:
  Value first_, count_;
  llvm::DenseMap<mlir::Value, Values> known_;
};

} // namespace moec::codegen::cpu
