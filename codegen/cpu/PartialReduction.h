#pragma once
// A reduction of many elements into few numbers, as a bias's gradient or a sum of squares: fixed blocks of the axis are reduced apart, then the blocks in
// their order, so that the bits do not depend on the number of threads. Knows the kernel's values through ElementPuller.

#include "codegen/cpu/ElementPuller.h"

namespace moec::codegen::cpu {

class PartialReduction {
public:
  /// Nothing where the reduction is small, or gives many elements that are work enough for all threads by themselves.
  static std::optional<PartialReduction> of(ir::ReduceOp op);

  /// Before the first stage: room for what the blocks give.
  void addWorkspaces(KernelBuilder& k);
  /// Two stages. Afterwards `puller` reads the reduction's elements where they were left.
  void write(KernelBuilder& k, ElementPuller& puller);

private:
  explicit PartialReduction(ir::ReduceOp op) : op_(op) {}
  Size blocks() const { return Size::ceilDiv(count_, block_); }
  Size operations() const { return count_ * Size(elements_ * weight_); }
  void reduceAlong(KernelBuilder& k, ElementPuller& puller);
  void reduceAcross(KernelBuilder& k, ElementPuller& puller);
  void joinBlocks(KernelBuilder& k);
  Value partialAt(KernelBuilder& k, Value block, Value element) const;

  ir::ReduceOp op_;
  int64_t elements_ = 1; // of the result
  Size count_;           // of the axis
  bool along_ = false;   // neighbours on the axis are neighbours in memory; else those of the result are
  int64_t weight_ = 1;   // about how many operations an element of x takes
  int64_t block_ = 1;    // of the axis
  unsigned partials_ = 0, totals_ = 0;
};

} // namespace moec::codegen::cpu
