#pragma once
// Sums of rows in memory (skeletons/sums.cuh): a block adds up 32 columns, in doubles and in a fixed order, so that the bits are the same every time. Knows
// where rows lie; knows nothing of what else the kernel does.

#include "codegen/analysis/SumsOfRows.h"
#include "codegen/cuda/KernelText.h"

namespace moec::codegen::cuda {

/// The sums that a kernel of a product gives beside it: blocks before the product's.
class SumsBeside {
public:
  static mlir::FailureOr<SumsBeside> of(KernelText& k);

  bool empty() const { return sums_.sums.empty(); }
  /// The kernel's other results.
  const std::vector<unsigned>& others() const { return sums_.others; }
  llvm::SmallVector<mlir::Value> otherResults() const { return sums_.otherResults(k_->kernel()); }
  Size blocks() const;
  Size operations() const { return sums_.operations(); }
  /// Declares `shared` (Tile::Shared) and `block`, the product's block; blocks of sums end here. `threads` of a block.
  void print(Lines& lines, int threads) const;

private:
  SumsBeside(KernelText& k, SumsOfRows sums) : k_(&k), sums_(std::move(sums)) {}
  void printSum(Lines& lines, const SumOfRows& sum, const Size& firstBlock) const;

  KernelText* k_;
  SumsOfRows sums_;
};

/// The stages behind one that has computed rows: sums of pieces of them, then of the pieces. Rows that the kernel computes lie in workspaces.
class SumsOverRows {
public:
  /// Before the first stage.
  SumsOverRows(KernelText& k, std::vector<SumOfRows> sums);

  /// Where the rows of a sum lie; of those that are computed, where to put them.
  std::string pointerOf(size_t sum) const { return pointers_[sum]; }
  const std::vector<SumOfRows>& sums() const { return sums_; }
  void addStages();

private:
  struct Step; // what one stage does for one sum
  void addStage(std::string_view name, std::string_view summary, const std::vector<Step>& steps);

  KernelText& k_;
  std::vector<SumOfRows> sums_;
  std::vector<std::string> pointers_, partials_; // partials: (pieces, columns), doubles; empty where rows are few
};

} // namespace moec::codegen::cuda
