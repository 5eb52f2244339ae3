#include "runtime/device/check/PlanMatch.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>

namespace moec {
namespace {

bool isFixed(const BufferInfo& buffer) {
  return buffer.kind == BufferKind::Parameter || buffer.kind == BufferKind::Prepared || buffer.kind == BufferKind::Constant;
}

class Matcher {
public:
  Matcher(const Plan& a, const Plan& b) : a_(a), b_(b) { match_.buffers.assign(a.buffers.size(), -1); }

  PlanMatch run() {
    names(a_.inputs, b_.inputs, "input");
    names(a_.parameters, b_.parameters, "parameter");
    size_t i = 0, j = 0;
    while (i < a_.forward.size() && j < b_.forward.size()) {
      LaunchMatch match{i, partsOf(a_, i, b_.forward[j]), j, partsOf(b_, j, a_.forward[i])};
      launches(match);
      match_.launches.push_back(match);
      i += match.countA;
      j += match.countB;
    }
    if (i < a_.forward.size() || j < b_.forward.size())
      fail(fmt::format("{} has {} forward launches, {} has {}; the first one more is {}", a_.target, a_.forward.size(), b_.target, b_.forward.size(),
                       nameOf(i < a_.forward.size() ? a_.forward[i] : b_.forward[j])));
    names(a_.outputs, b_.outputs, "output");
    return std::move(match_);
  }

private:
  [[noreturn]] static void fail(const std::string& what) {
    throw Error(Fault::Usage, "the two devices of a check run plans whose launches do not stand for each other: " + what +
                                  "; check each against reference, which runs any plan");
  }
  static std::string nameOf(const LaunchInfo& launch) { return fmt::format("{} ({})", launch.label, launch.kind); }

  template <class Info> void names(const std::vector<Info>& as, const std::vector<Info>& bs, const char* what) {
    if (as.size() != bs.size())
      fail(fmt::format("{} has {} {}s, {} has {}", a_.target, as.size(), what, b_.target, bs.size()));
    for (size_t i = 0; i < as.size(); ++i) {
      if (as[i].name != bs[i].name || (as[i].buffer < 0) != (bs[i].buffer < 0))
        fail(fmt::format("{} {} is '{}' for {} and '{}' for {}, or one of them is not used", what, i, as[i].name, a_.target, bs[i].name, b_.target));
      if (as[i].buffer >= 0)
        pair(as[i].buffer, bs[i].buffer, fmt::format("{} '{}'", what, as[i].name));
    }
  }

  /// How many launches of the plan stand for the other's launch: those from a gate to the end of its experts, when that one is the whole layer.
  static size_t partsOf(const Plan& plan, size_t first, const LaunchInfo& other) {
    if (other.kind != "moe_layer" || plan.forward[first].kind != "gate")
      return 1;
    for (size_t i = first + 1; i < plan.forward.size() && plan.forward[i].kind.starts_with("expert_"); ++i)
      if (plan.forward[i].kind == "expert_down")
        return plan.forward[i].label == other.label ? i - first + 1 : 1;
    return 1;
  }

  static bool contains(const std::vector<int>& list, int buffer) { return std::find(list.begin(), list.end(), buffer) != list.end(); }

  /// What the launches read without their weights: packed, these are others and stand in another place. Of a layer, what comes from outside, each buffer
  /// once: one launch and its parts differ in how often they name it.
  static std::vector<int> madeInputs(const Plan& plan, size_t first, size_t count, bool isLayer) {
    std::vector<int> inputs, made;
    for (size_t i = first; i < first + count; ++i) {
      for (int buffer : plan.forward[i].inputs)
        if (!isFixed(plan.buffers[static_cast<size_t>(buffer)]) && !(isLayer && (contains(inputs, buffer) || contains(made, buffer))))
          inputs.push_back(buffer);
      made.insert(made.end(), plan.forward[i].outputs.begin(), plan.forward[i].outputs.end());
    }
    return inputs;
  }

  /// What the launches write; of a layer, what others see of it.
  static std::vector<int> outputs(const Plan& plan, size_t first, size_t count, bool isLayer) {
    std::vector<int> outputs;
    for (size_t i = first; i < first + count; ++i)
      for (int buffer : plan.forward[i].outputs) {
        bool isSeen = plan.buffers[static_cast<size_t>(buffer)].kind == BufferKind::Output;
        for (size_t other = 0; other < plan.forward.size(); ++other)
          isSeen |= (other < first || other >= first + count) && contains(plan.forward[other].inputs, buffer);
        if (isSeen || !isLayer)
          outputs.push_back(buffer);
      }
    return outputs;
  }

  void launches(const LaunchMatch& match) {
    const LaunchInfo &a = a_.forward[match.firstA], &b = b_.forward[match.firstB];
    std::string place = match.firstA == match.firstB ? "" : fmt::format("launch {}, ", match.firstB);
    std::string who = fmt::format("forward launch {} is {} for {} and {}{} for {}", match.firstA, nameOf(a), a_.target, place, nameOf(b), b_.target);
    bool isLayer = match.countA > 1 || match.countB > 1;
    if (!isLayer && (a.label != b.label || a.kind != b.kind))
      fail(who);
    if (isLayer)
      who += fmt::format(", {} for {} launches", match.countA > 1 ? nameOf(b) : nameOf(a), std::max(match.countA, match.countB));
    std::vector<int> ofA = madeInputs(a_, match.firstA, match.countA, isLayer), ofB = madeInputs(b_, match.firstB, match.countB, isLayer);
    std::vector<int> fromA = outputs(a_, match.firstA, match.countA, isLayer), fromB = outputs(b_, match.firstB, match.countB, isLayer);
    if (ofA.size() != ofB.size() || fromA.size() != fromB.size())
      fail(fmt::format("{}, with {} and {} inputs, {} and {} outputs", who, ofA.size(), ofB.size(), fromA.size(), fromB.size()));
    for (size_t j = 0; j < ofA.size(); ++j)
      pair(ofA[j], ofB[j], fmt::format("{}, and input {}", who, j));
    for (size_t j = 0; j < fromA.size(); ++j)
      pair(fromA[j], fromB[j], fmt::format("{}, and output {}", who, j));
  }

  void pair(int a, int b, const std::string& who) {
    const BufferInfo &ofA = a_.buffers[static_cast<size_t>(a)], &ofB = b_.buffers[static_cast<size_t>(b)];
    int& known = match_.buffers[static_cast<size_t>(a)];
    if (known >= 0 && known != b)
      fail(fmt::format("{} is buffer '{}' for {}, which stood for another than '{}' of {} before", who, ofA.name, a_.target, ofB.name, b_.target));
    if (ofA.dtype != ofB.dtype || ofA.shape != ofB.shape || ofA.isRouting != ofB.isRouting)
      fail(fmt::format("{} has another dtype or shape in '{}' than in '{}'", who, ofA.name, ofB.name));
    known = b;
  }

  const Plan &a_, &b_;
  PlanMatch match_;
};

} // namespace

const LaunchMatch& PlanMatch::of(size_t launchOfA) const {
  for (const LaunchMatch& match : launches)
    if (launchOfA < match.firstA + match.countA)
      return match;
  throw Error(Fault::Internal, fmt::format("no launch stands for launch {}", launchOfA));
}

PlanMatch matchPlans(const Plan& a, const Plan& b) {
  if (a.target != b.target)
    return Matcher(a, b).run();
  if (a.buffers.size() != b.buffers.size() || a.forward.size() != b.forward.size() || a.prepare.size() != b.prepare.size())
    throw Error(Fault::Internal, fmt::format("the two devices of a check run different plans of {}", a.target));
  PlanMatch match{true, std::vector<int>(a.buffers.size()), {}};
  for (size_t i = 0; i < a.forward.size(); ++i)
    match.launches.push_back({i, 1, i, 1});
  for (size_t i = 0; i < match.buffers.size(); ++i)
    match.buffers[i] = static_cast<int>(i);
  return match;
}

} // namespace moec
