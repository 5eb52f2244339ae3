#pragma once
// The stages that make a routing by groups, or within another, from its indices and masks
// (skeletons/assign_groups.cuh): a block for each group, or for each group and outer expert. RoutingText writes those
// of no groups.

#include "codegen/cuda/GateSchedule.h"
#include "codegen/cuda/KernelText.h"

namespace moec::codegen::cuda {

class GroupRoutingText {
public:
  /// Pointers of the routing and of whole values: indices and masks (T, K), `enters` and `within` empty where there are
  /// none.
  struct Pointers {
    std::string routing, indices, enters, within;
    std::vector<std::string> masks;
  };
  GroupRoutingText(KernelText& k, const RoutingChain& chain, unsigned number, int64_t threads, Pointers pointers);

  /// Declares what the text of stages needs, and takes workspaces: before the first stage.
  void declare();
  void stages();

private:
  std::string prologue() const;
  void stage(const char* name, const char* summary, const Size& blocks, const std::string& body, const Size& operations);

  KernelText& k_;
  ir::AssignOp assign_;
  Pointers pointers_;
  std::string number_;
  int64_t threads_, experts_, offered_, choices_, outerExperts_ = 1, outerChoices_ = 1;
  Size groups_ = 1, tokens_, grouped_; // grouped: what the groups are of
  std::string counts_, totals_;
};

} // namespace moec::codegen::cuda
