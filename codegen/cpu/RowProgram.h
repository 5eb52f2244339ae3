#pragma once
// Computes rows: the values of a few ops, one row (the last dimension) at a time. Elementwise chains run inside the loop that needs them;
// only what is read more than once (the operand of a norm, softmax, select or reduction) or wanted in memory is stored. Knows nothing of stages.
//
//   RowProgram program(k, ops, leading);       // leading sizes shared by all rows: row = their linear index
//   program.bind(value, [&](Value row) {...}); // for each operand from outside and each result wanted: where its row lies
//   if (failed(program.prepare())) ...         // inside a stage, before the loop over rows
//   program.run(row);                          // code for one row

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

class RowProgram {
public:
  RowProgram(KernelBuilder& k, std::vector<mlir::Operation*> ops, ir::Sizes leading);

  /// Address of a value's row: where an operand from outside is read, or where a computed value is written (several places are
  /// allowed). Constants need none.
  using Place = std::function<Value(Value row)>;
  void bind(mlir::Value value, Place place);
  /// Binds to a whole tensor in memory, whose leading dimensions broadcast to the program's.
  void bindTensor(mlir::Value value, Value base);

  /// Checks the ops and takes scratch; a diagnostic at the kernel says what cannot be done.
  mlir::LogicalResult prepare();
  void run(Value row);

  /// Elements in a row of a value: its last size, or 1 for a value with one element per row (a reduction's result).
  Size widthOf(mlir::Value value) const;
  /// About how many operations one row takes.
  Size operations() const;

  /// Whether the op is one of those that a program can hold.
  static bool holds(mlir::Operation* op);
  /// Leading sizes of a kernel's rows: those of the first op that works along rows, or else of the value of highest rank.
  static ir::Sizes leadingOf(llvm::ArrayRef<mlir::Operation*> ops);

private:
  struct At; // a place in a row: position, lanes, mask, and what was computed there
  struct Norm { Value mean, scale; };

  bool isComputed(mlir::Value value) const { return computed_.contains(value); }
  bool isScalarForm(mlir::Value value) const { return scalarForm_.contains(value); }
  Value elementAt(mlir::Value value, At& at);
  Value computeAt(mlir::Value value, At& at);
  Value elementwise(mlir::Operation* op, At& at);
  Value scalarOf(mlir::Value value);
  void store(llvm::ArrayRef<mlir::Value> values);
  void flush();
  void keep(mlir::Value value);
  Value fold(mlir::Value value, bool maximum, llvm::function_ref<Value(Value)> map);
  void runSoftmax(mlir::Operation* op);
  void runNorm(mlir::Operation* op);
  void runReduce(mlir::Operation* op);
  void runSelect(mlir::Operation* op);
  void runConcat(mlir::Operation* op);
  Value scratchFor(mlir::Value value);

  KernelBuilder& k_;
  std::vector<mlir::Operation*> ops_;
  ir::Sizes leading_;
  int64_t lanes_ = 1;
  llvm::DenseSet<mlir::Value> computed_, scalarForm_, kept_;
  llvm::DenseMap<mlir::Value, std::vector<Place>> places_;
  llvm::DenseMap<mlir::Value, Value> scratch_;
  llvm::DenseMap<mlir::Operation*, Value> keys_;      // select: ordered integers of the scores
  llvm::DenseMap<mlir::Operation*, unsigned> streams_;
  // Of the row being written:
  Value row_;
  llvm::DenseMap<mlir::Value, Value> memory_;         // addresses of rows that are in memory
  llvm::DenseMap<mlir::Value, Value> scalars_;        // values with one element per row
  llvm::DenseMap<mlir::Value, Norm> norms_;
  llvm::DenseMap<mlir::Value, Value> sums_;           // softmax: what its exponentials are divided by
  std::vector<mlir::Value> pending_;                  // wanted in memory, not yet written
};

} // namespace moec::codegen::cpu
