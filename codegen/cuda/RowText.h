#pragma once
// Prints what a group of threads does for one row: the values of a few ops along the last dimension. Elementwise chains stand inside the loop that needs
// them; a row that is read more than once stays in the group's registers. Knows skeletons/rows.cuh; knows nothing of stages.
//
//   RowText rows(k, lines, ops, leading, schedule);   // leading: the sizes before the last, shared by all rows
//   rows.elements().bind(value, ...);                 // operands that are neither arguments nor results of the ops
//   if (failed(rows.check())) ...
//   rows.print({at, live, sinks});                    // `Rows` (the group) and `lane` stand before
//
// A row of unknown width is walked in a loop: what is cheap is computed again, the rest kept in a workspace.

#include "codegen/cuda/ElementText.h"

namespace moec::codegen::cuda {

struct RowSchedule {
  int64_t groupThreads = 32, rowsPerBlock = 4;

  int threads() const { return static_cast<int>(groupThreads * rowsPerBlock); }
  std::optional<std::string> illegal() const;
  /// The group for rows of at most `width` elements of so many 32-bit words: whole rows of neighbours in a warp, a warp, or the block. `threads`: of the block
  /// where it may choose.
  static RowSchedule of(const std::optional<int64_t>& width, int64_t words, int64_t threads);
  static mlir::FailureOr<RowSchedule> of(ir::KernelOp kernel);
};

class RowText {
public:
  RowText(KernelText& k, Lines& out, std::vector<mlir::Operation*> ops, ir::Sizes leading, const RowSchedule& schedule);

  ElementText& elements() { return texts_; }
  /// A diagnostic at the kernel says what cannot be done.
  mlir::LogicalResult check();

  /// A value wanted in memory, where it lies as a whole tensor.
  struct Sink {
    mlir::Value value;
    std::string pointer;
  };
  struct Row {
    Coordinates at;   // of the leading sizes
    std::string live; // condition under which the row is to be written; empty: always
    std::string slot; // the group's place among the block's: "threadIdx.x / 32"
    std::vector<Sink> sinks;
  };
  void print(const Row& row);

  /// Whether a thread holds more than 16 words of a row.
  bool isWide() const;
  /// About how many operations one row takes.
  Size operations() const;
  /// The widest row that the ops see; nothing when one is not constant.
  static std::optional<int64_t> widest(llvm::ArrayRef<mlir::Operation*> ops);
  /// 32-bit words that an element of the ops' rows takes in registers: of its value, and of its key where there is a select.
  static int64_t wordsOf(llvm::ArrayRef<mlir::Operation*> ops);

private:
  bool isPerRow(mlir::Value value) const { return perRow_.contains(value); }
  Size widthOf(mlir::Value value) const;
  Coordinates placeOf(mlir::Value value, const std::string& column) const;

  /// The row's elements, by turns of the group; inside, "column" is the element (and "j" the register).
  void openLoop(const Size& width);
  void closeLoop();
  int64_t turnsOf(const Size& width) const;

  /// Puts the value's row into registers (or a workspace), if it is worth it.
  void hold(mlir::Value value);
  /// The name of the registers that hold a value of constant width.
  std::string registersOf(mlir::Value value);
  void bind(mlir::Value result, ElementText::Source source) { texts_.bind(result, std::move(source)); }
  std::string define(DType type, std::string_view name, const std::string& expression);
  std::string rounded(DType type, const std::string& expression) const;
  std::string fold(mlir::Value x, std::string_view name, const std::string& first, std::string_view with, const std::function<std::string(std::string)>& map);
  int64_t costOf(mlir::Value value, int64_t most) const;
  std::string countOf(mlir::Value x) const;

  // RowRouting.cpp: rows that a routing finds.
  mlir::LogicalResult checkRouted(mlir::Operation* op);
  void printRouted(mlir::Operation* op);
  void printCombine(ir::CombineOp op);

  void printSoftmax(ir::SoftmaxOp op);
  ElementText::Source sharesOf(mlir::Value x);
  void printNorm(ir::LayerNormOp op);
  void printRmsNorm(ir::RmsNormOp op);
  void printReduce(ir::ReduceOp op);
  void printSelect(ir::SelectOp op);
  void printTake(ir::TakeOp op);
  void printSinks();

  // RowGradients.cpp: gradients and losses.
  void printNormGrad(mlir::Operation* op, mlir::Value dy, mlir::Value x, mlir::Value weight, double eps);
  void printSoftmaxGrad(ir::SoftmaxGradOp op);
  void printLogSumExp(ir::LogSumExpOp op);
  void printCrossEntropy(ir::CrossEntropyOp op);
  void printIsTop(ir::IsTopOp op);
  void printCrossEntropyGrad(ir::CrossEntropyGradOp op);
  void printSelectGrad(ir::SelectGradOp op);
  /// The maximum of a row, and log of the sum of exp(x - shift): `total` is the row's log_sum_exp less `shift`, which is the maximum where that is finite, else
  /// 0.
  struct RowTotal {
    std::string total, shift;
  };
  RowTotal totalOf(mlir::Value x);
  /// The row's label as an index that can be read, and whether it is to be ignored.
  struct RowLabel {
    std::string index, ignored;
  };
  RowLabel labelOf(mlir::Value labels, mlir::Value scores, int64_t ignore);

  KernelText& k_;
  Lines& out_;
  ElementText texts_;
  std::vector<mlir::Operation*> ops_;
  ir::Sizes leading_;
  RowSchedule schedule_;
  llvm::DenseSet<mlir::Value> perRow_;
  llvm::DenseMap<mlir::Value, std::string> held_;
  llvm::DenseMap<mlir::Value, std::string> experts_; // of the row, by routing
  Row row_;
  int64_t turns_ = 0; // of the open loop; 0: its width is not known
};

} // namespace moec::codegen::cuda
