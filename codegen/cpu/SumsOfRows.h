#pragma once
// Sums of rows in memory, in their order and in f64, as items of a stage: 64 or 32 columns each, so that no bit depends on the number of threads. Knows where
// rows lie; knows nothing of what else the stage does.

#include "codegen/analysis/SumsOfRows.h"
#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

/// Vectors of columns in an item: as many sums run side by side.
inline constexpr int64_t kVectorsOfSums = 4;

/// Work that a stage does in a run of its items.
struct StagePart {
  Size items;
  std::function<void(Value item)> write; // counts from 0
};
/// Code for an item of the stage: it belongs to the part in whose run it lies.
void writePart(KernelBuilder& k, Value item, llvm::ArrayRef<StagePart> parts);
Size itemsOf(llvm::ArrayRef<StagePart> parts);

/// Rows [begin, end) of a tensor (.., columns).
struct RowsInMemory {
  Value base;
  DType dtype;
  Size columns;
  Value begin, end;
};
/// Blocks of columns of a sum over such rows.
Size columnBlocks(const KernelBuilder& k, DType dtype, const Size& columns);
/// `use(column, sum, mask)` for each vector of the block's columns; sums are of f64.
void sumColumns(KernelBuilder& k, const RowsInMemory& rows, Value block, llvm::function_ref<void(Value column, Value sum, Value mask)> use);
/// Rounds sums to the dtype and stores them.
void storeSums(KernelBuilder& k, DType dtype, Value sums, Value address, Value mask);

/// The sums that a kernel of a product gives beside it. They read the product's arguments, and are items of its stage, but for what take() gave; beside a
/// product in runs, SumsOverRows makes them.
class SumsBeside {
public:
  static mlir::FailureOr<SumsBeside> of(KernelBuilder& k);

  /// The kernel's other results.
  llvm::ArrayRef<unsigned> others() const { return sums_.others; }
  const std::vector<SumOfRows>& sums() const { return sums_.sums; }
  Size operations() const { return sums_.operations(); }
  /// The sum over the rows of an argument, if there is one: the product makes it where it copies these rows, and the stage has no items for it.
  std::optional<SumOfRows> take(unsigned argument);
  /// The product's stage.
  void stage(const Size& items, const Size& operations, KernelBuilder::Body product);

private:
  SumsBeside(KernelBuilder& k, SumsOfRows sums) : k_(k), sums_(std::move(sums)) {}
  StagePart partOf(const SumOfRows& sum);

  KernelBuilder& k_;
  SumsOfRows sums_;
};

/// The sums that a kernel gives beside, where each item of a stage adds up rows of its own, and a stage behind adds up the items, in their order: a kernel over
/// rows, or a product that goes through the rows in runs.
class SumsOverRows {
public:
  /// `items` there are in the stage of the rows, of at most `block` rows where some are computed.
  SumsOverRows(KernelBuilder& k, std::vector<SumOfRows> sums, Size items, int64_t block = 0);

  /// In the stage, behind the loop over an item's rows [first, last).
  void addRows(Value item, Value first, Value last);
  /// Where row `row` of a computed value is to lie until addRows(): all of an item do, for a sum that goes through memory row by row takes longer.
  Value scratchOf(size_t sum, Value row);
  /// In place of addRows, where all rows are arguments: adds up the item's share of them, which is about as large as those of the others.
  void addShare(Value item);
  /// What adds up the items.
  std::vector<StagePart> joinParts();
  void joinStage();

  const std::vector<SumOfRows>& sums() const { return sums_; }

private:
  void addRowsOf(size_t sum, Value item, const RowsInMemory& rows);
  Value partialAt(size_t sum, Value item, Value column);

  KernelBuilder& k_;
  std::vector<SumOfRows> sums_;
  Size items_;
  int64_t block_;
  std::vector<unsigned> partials_; // workspaces (items, columns), f64
  Values scratch_;                 // (block, columns) of computed rows
};

} // namespace moec::codegen::cpu
