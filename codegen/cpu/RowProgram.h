#pragma once
// Computes rows: the values of a few ops, one row (the last dimension) at a time. Elementwise chains run inside the loop that needs them;
// only what is read more than once (the operand of a norm, softmax, select or reduction) or wanted in memory is stored. Knows nothing of stages.
//
//   RowProgram program(k, ops, leading);       // leading: the sizes before the last, shared by all rows; a row is their linear index
//   program.bind(value, [&](Value row) {...}); // for each operand from outside and each result wanted: where its row lies
//   if (failed(program.check())) ...           // anywhere before the first run
//   program.run(row);                          // code for one row, inside a stage

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

/// Choices of a routing whose places, and shares of a gradient, stay in registers along a row.
inline constexpr int64_t kFewChoices = 8;

class RowProgram {
public:
  RowProgram(KernelBuilder& k, std::vector<mlir::Operation*> ops, ir::Sizes leading);

  /// Address of a value's row: where an operand from outside is read, or where a computed value is written (several places are
  /// allowed). Rows are dense, of the value's dtype.
  using Place = std::function<Value(Value row)>;
  void bind(mlir::Value value, Place place);
  /// Binds to a whole tensor in memory, whose leading dimensions broadcast to the program's. `base` is asked for within a stage.
  void bindTensor(mlir::Value value, std::function<Value()> base);
  /// Binds to a routing in memory.
  void bindRouting(mlir::Value routing, std::function<Value()> base) { bases_[routing] = std::move(base); }

  /// A diagnostic at the kernel says what cannot be done.
  mlir::LogicalResult check();
  void run(Value row);

  /// Elements in a row of a value: its last size, or 1 for a value with one element per row (a reduction's result).
  Size widthOf(mlir::Value value) const;
  /// About how many operations one row takes.
  Size operations() const;

private:
  /// A place in a row, and what was computed there.
  struct At {
    Value position;
    int64_t lanes;
    Value mask; // null: all lanes
    llvm::DenseMap<mlir::Value, Value> known;

    At(Value position, int64_t lanes, Value mask) : position(position), lanes(lanes), mask(mask) {}
  };
  struct Norm {
    Value mean, scale;
  }; // of rms_norm no mean
  struct NormGrad {
    Value mean, scale, meanGradient, meanProduct;
  }; // means over the row of x, g and g * xhat; of rms_norm the last alone
  struct Label {
    Value index, isOne;
  }; // an i64 inside the row, and whether the row has a label
  struct Memory {
    Value address;
    DType dtype;
  };
  using Fold = llvm::function_ref<Value(Value sum, Value next)>;

  bool isComputed(mlir::Value value) const { return computed_.contains(value); }
  Value leadingOffset(mlir::Value value);
  Value wide(Value scalar, const At& at) { return k_.broadcast(scalar, at.lanes); }

  // RowElements.cpp: values in registers.
  Value elementAt(mlir::Value value, At& at);
  Value computeAt(mlir::Value value, At& at);
  Value constantAt(ir::ConstantOp op, At& at);
  Value scalarOf(mlir::Value value);
  void hoist(mlir::Value value);

  // RowMemory.cpp: values in memory.
  llvm::SmallVector<Memory> placesFor(mlir::Value value);
  void store(mlir::Value value, Value element, const At& at, llvm::ArrayRef<Memory> places);
  void keep(mlir::Value value);
  void flush();
  Values foldRow(const Size& width, const Values& identities, Fold fold, llvm::function_ref<Values(At&)> elements);
  Value foldLanes(Value vector, Fold fold);
  Value foldRow(const Size& width, Value identity, Fold fold, llvm::function_ref<Value(At&)> element);
  Value foldStored(mlir::Value value, Value identity, Fold fold, llvm::function_ref<Value(Value, const At&)> map);
  Values sumStored(llvm::ArrayRef<mlir::Value> values, int64_t sums, llvm::function_ref<Values(At&)> terms);

  // RowReductions.cpp: the ops that see a whole row.
  Value countOf(mlir::Value x);
  Value bufferFor(mlir::Operation* op, mlir::Value x);
  void fetchNext(mlir::Value x, const At& at);
  void runSoftmax(mlir::Operation* op, mlir::Value x);
  void runNorm(ir::LayerNormOp op);
  void runRmsNorm(ir::RmsNormOp op);
  bool isAtHand(mlir::Value value) const;
  template <class Gradient, class NormOp> bool takeFromGradient(NormOp norm);
  void runReduce(ir::ReduceOp op);
  void runSelect(ir::SelectOp op);
  void runTake(ir::TakeOp op);
  void runConcat(ir::ConcatOp op);

  // RowGradients.cpp: losses and gradients.
  void runLogSumExp(ir::LogSumExpOp op);
  void runCrossEntropy(ir::CrossEntropyOp op);
  void runIsTop(ir::IsTopOp op);
  void runCrossEntropyGrad(ir::CrossEntropyGradOp op);
  void runNormGrad(ir::LayerNormGradOp op);
  void runNormGrad(ir::RmsNormGradOp op);
  void runSoftmaxGrad(ir::SoftmaxGradOp op);
  void runSelectGrad(ir::SelectGradOp op);
  Value gradientAt(mlir::Operation* op, At& at); // null: no op of these
  struct LogSum {
    Value highest, logarithm, isFinite;
  }; // log_sum_exp: highest + logarithm where finite, else highest
  LogSum logSumOf(mlir::Value x);
  ir::CrossEntropyGradOp gradientOf(mlir::Value x) const;
  Label labelOf(mlir::Value labels, int64_t ignore, const Size& classes);
  Value positionsAt(const At& at, mlir::Type number);
  Value normGradAt(mlir::Value dy, mlir::Value x, mlir::Value weight, mlir::Value result, At& at);
  Value crossEntropyGradAt(ir::CrossEntropyGradOp op, At& at);
  Value selectGradAt(ir::SelectGradOp op, At& at);

  // RowRouting.cpp: rows that a routing finds.
  struct Term {
    Value weight, isKept, row;
  }; // of a combine: one choice of the token
  mlir::LogicalResult checkRouted(mlir::Operation* op);
  void runRouted(mlir::Operation* op);
  Term termOf(ir::CombineOp op, Value choice);
  Value combineAt(ir::CombineOp op, const At& at);
  void runChoiceValues(ir::ChoiceValuesOp op);
  Value expertCountAt(ir::ExpertCountsOp op, const At& at);

  KernelBuilder& k_;
  std::vector<mlir::Operation*> ops_;
  ir::Sizes leading_;
  int64_t lanes_ = 1;
  llvm::DenseSet<mlir::Value> computed_;
  llvm::DenseSet<mlir::Value> perRow_;         // shaped like `leading` alone: one element per row
  llvm::DenseMap<mlir::Value, unsigned> uses_; // by ops of the program
  llvm::DenseMap<mlir::Value, std::vector<Place>> places_;
  llvm::DenseMap<mlir::Value, std::function<Value()>> bases_; // of whole tensors and routings
  llvm::DenseMap<mlir::Value, Value> scratch_;
  llvm::DenseMap<mlir::Operation*, Value> buffers_; // softmax and gradients of losses: exponentials; select: ordered keys
  llvm::DenseMap<mlir::Operation*, unsigned> streams_;
  // Of the row being written:
  Value row_;
  llvm::DenseMap<mlir::Value, Memory> memory_; // rows that are in memory
  llvm::DenseMap<mlir::Value, Value> scalars_; // values of width 1
  llvm::DenseMap<mlir::Value, Norm> norms_;
  llvm::DenseMap<mlir::Value, NormGrad> normGrads_;
  llvm::DenseMap<mlir::Value, Value> divisors_; // softmax, cross_entropy_grad
  llvm::DenseMap<mlir::Value, Value> highest_;  // of rows whose log of the sum of exponentials is known; NaN with one in it
  llvm::DenseMap<mlir::Value, Value> products_; // softmax_grad: the sum of dy * y
  llvm::DenseMap<mlir::Value, Label> labels_;   // cross_entropy_grad
  struct Choice {
    Value index, gradient;
  };
  llvm::DenseMap<mlir::Operation*, std::vector<Choice>> choices_; // of select_grads with few choices
  llvm::DenseMap<mlir::Value, Value> experts_;                    // by routing
  llvm::DenseMap<mlir::Operation*, std::vector<Term>> terms_;     // of combines with few choices
  std::vector<mlir::Value> pending_;                              // wanted in memory, not yet written
};

} // namespace moec::codegen::cpu
