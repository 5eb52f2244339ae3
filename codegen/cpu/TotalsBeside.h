#pragma once
// Sums over all elements of what stands behind a product, beside what is stored of it: each item adds up its own, a stage behind adds up the items, in their
// order. Knows the sinks of an epilogue; knows nothing of how the product is cut into items.

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

/// Whether a kernel gives such sums: then how its product is cut into items, and how wide its panels are, decides their order.
bool givesTotals(ir::KernelOp kernel);

class TotalsBeside {
public:
  /// `results`: those of the kernel that are no sums of rows.
  TotalsBeside(KernelBuilder& k, llvm::ArrayRef<unsigned> results);

  /// What the epilogue stores, then what it sums up, and how much of it that is.
  Values sinks() const;
  size_t summed() const { return totals_.size(); }
  /// Before the first stage: room for the sums of so many items.
  void addWorkspaces(const Size& items);

  /// In the stage, before an item's product of a dtype: the sinks' bases. Behind it endItem().
  Values startItem(DType dtype);
  void endItem(Value item, const Values& bases);
  void joinStage();

private:
  struct Total {
    unsigned result;
    ir::ReduceOp op;
  };
  Value partialAt(Value item, size_t total);
  mlir::Type sums() { return k_.vectorOf(k_.f64(), lanes_); }

  KernelBuilder& k_;
  llvm::SmallVector<unsigned> stored_; // results
  std::vector<Total> totals_;
  Size items_;
  int64_t lanes_ = 1;
  unsigned partials_ = 0; // workspace (items, totals), f64
};

} // namespace moec::codegen::cpu
