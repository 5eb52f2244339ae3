#pragma once
// What a gate makes of its tokens' rows, a block of tokens at a time: scores by the micro-kernel, and the values of the rows' ops. For the kernels that have a
// gate in them. Knows no routing's making and no stage.

#include "codegen/analysis/GatePlan.h"
#include "codegen/cpu/AssignStage.h"
#include "codegen/cpu/ProductSchedule.h"
#include "codegen/cpu/RowProgram.h"
#include "codegen/cpu/TokenLanes.h"

namespace moec::codegen::cpu {

/// A diagnostic for scores that no kernel makes.
mlir::LogicalResult checkScores(ir::KernelOp kernel, const GatePlan& plan);

class GateRows {
public:
  /// `schedules`: one for each of the plan's products, of whole rows of scores.
  GateRows(KernelBuilder& k, const GatePlan& plan, std::vector<ProductSchedule> schedules);

  /// Where a token's row of an operand lies, or one of the rows' ops' results, which is wanted there.
  void bind(mlir::Value value, const RowProgram::Place& place);
  /// The same for a whole tensor or a routing in memory.
  void bindTensor(mlir::Value value, const Base& base);
  /// The scores of a product are wanted in this tensor (T, E).
  void writeScores(size_t product, Base base) { written_[product] = std::move(base); }

  /// A diagnostic at the kernel says what cannot be done. Before the first run.
  mlir::LogicalResult check();
  /// About how many operations a token takes.
  Size operations() const;
  /// Code for at most `block` tokens, within a stage.
  void run(Value first, Value rows, int64_t block);

private:
  /// Scores of a row and what stands behind them: whole vectors in scratch, else none.
  Size strideOf(size_t product) const;
  void multiply(size_t i, Value rows);

  KernelBuilder& k_;
  const GatePlan& plan_;
  std::vector<ProductSchedule> schedules_;
  RowProgram program_;
  std::optional<TokenLanes> lanes_; // in the program's place
  llvm::DenseMap<size_t, Base> written_;
  Value first_;
  Values scores_; // of the block
};

} // namespace moec::codegen::cpu
