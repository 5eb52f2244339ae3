#pragma once
// Text of a gate's tokens: a block's scores in shared memory, then each token's row by a group of threads (skeletons/gate.cuh, rows.cuh). Knows nothing of
// stages and of where the block's tokens begin: `first` stands before, and `tokens`, their count, where a routing has it.

#include "codegen/cuda/GateSchedule.h"

#include <functional>

namespace moec::codegen::cuda {

/// Where a value lies as a whole, as an expression.
using PointerOf = std::function<std::string(mlir::Value)>;

class GateText {
public:
  GateText(KernelText& k, const GatePlan& plan, const GateSchedule& schedule)
      : k_(k), plan_(plan), schedule_(schedule), texts_(k, lines_, plan.rowOps, leading(), schedule.rows()) {}

  /// A diagnostic at the kernel says what cannot be written.
  mlir::LogicalResult check();
  /// `using Tile = ...` for the scores' product, `using Rows = ...`: at file scope, once.
  std::string tileType() const;
  std::string rowsType() const { return fmt::format("Group<{}>", schedule_.groupThreads); }
  /// Statements for the tokens [first, first + token_block): `values`, scores and values of rows, are left in memory. `tile`, `slices`: names of the type
  /// and of its Tile::Shared.
  std::string print(std::string_view tile, std::string_view slices, llvm::ArrayRef<mlir::Value> values, const PointerOf& pointerOf);
  /// Of all tokens, about.
  Size operations() const;

private:
  ir::Sizes leading() const;
  std::string tokens() const;
  void printProduct(size_t i, std::string_view tile, std::string_view slices);

  KernelText& k_;
  const GatePlan& plan_;
  GateSchedule schedule_;
  Lines lines_;
  RowText texts_;
};

} // namespace moec::codegen::cuda
