#pragma once
// The stages that make a gate's routing from its indices and masks (skeletons/assign.cuh): all rows by one block, or by many blocks when there are many.
// Which of the two is decided at the call where the count of tokens is known only then: the other's stages have no blocks.

#include "codegen/cuda/GateSchedule.h"
#include "codegen/cuda/KernelText.h"

namespace moec::codegen::cuda {

class RoutingText {
public:
  /// Pointers of the routing and of whole tensors (T, K): indices, `enters` (empty where all do), masks.
  RoutingText(KernelText& k, const RoutingChain& chain, unsigned number, const GateSchedule& schedule, std::string routing, std::string indices,
              std::string enters, std::vector<std::string> masks);

  /// Declares what the text of stages needs, and takes workspaces: before the first stage.
  void declare();
  /// Statements for the stage that computes indices and masks, behind them: the block's counts. Empty when nobody needs them.
  std::string counts() const;
  /// Statements by which one block assigns all rows.
  std::string assignAll() const;
  /// A stage that counts, for indices that no stage before computes.
  void countStage();
  /// All that is left.
  void stages();

private:
  Size rows() const { return tokens_ * Size(choices_); }
  bool isChoiceMajor() const;
  bool isTwice() const { return limited_ && !masks_.empty(); }
  /// Whether every choice names an expert: the indices are of a select among so many scores, not an argument.
  bool choicesAreExperts() const;
  /// 1 when many blocks do it, else 0.
  Size isMany() const;
  Size pieces(int64_t tokensOfPiece) const;
  /// Tokens of a block that places rows: a multiple of those that are counted together.
  int64_t placeTokens() const;
  std::string prologue() const;
  std::string table(std::string_view counts, int64_t tokensOfPiece) const;
  void stage(const char* name, const std::string& summary, const Size& blocks, const std::string& body, const Size& operations);

  KernelText& k_;
  RoutingChain chain_;
  GateSchedule schedule_;
  std::string number_, pointer_, indices_, enters_;
  std::vector<std::string> masks_;
  int64_t experts_, choices_;
  Size tokens_;
  bool limited_;
  std::string counts_, totals_, keptCounts_, keptTotals_; // workspaces of many blocks
};

} // namespace moec::codegen::cuda
