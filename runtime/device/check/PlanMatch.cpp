#include "runtime/device/check/PlanMatch.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>

namespace moec {
namespace {

/// Weights on their way into a form of the plan's own.
bool packs(const LaunchInfo& launch) { return launch.kind == "pack"; }

class Matcher {
public:
  Matcher(const Plan& a, const Plan& b) : a_(a), b_(b) { match_.buffers.assign(a.buffers.size(), -1); }

  PlanMatch run() {
    names(a_.inputs, b_.inputs, "input");
    names(a_.parameters, b_.parameters, "parameter");
    names(a_.states, b_.states, "state");
    match_.forward = walk(LaunchList::Forward);
    match_.apply = walk(LaunchList::Apply);
    names(a_.outputs, b_.outputs, "output");
    return std::move(match_);
  }

private:
  std::vector<LaunchMatch> walk(LaunchList list) {
    list_ = list;
    const auto &as = a_.launches(list), &bs = b_.launches(list);
    auto behindPacks = [](const std::vector<LaunchInfo>& launches, size_t from) {
      while (from < launches.size() && packs(launches[from]))
        ++from;
      return from;
    };
    std::vector<LaunchMatch> matches;
    size_t i = 0, j = 0;
    for (;;) {
      size_t worksA = behindPacks(as, i), worksB = behindPacks(bs, j);
      if (worksA == as.size() || worksB == bs.size()) {
        i = worksA;
        j = worksB;
        break;
      }
      size_t partsA = partsOf(as, worksA, bs[worksB]), partsB = partsOf(bs, worksB, as[worksA]);
      launches({worksA, partsA, worksB, partsB, partsA > 1 || partsB > 1});
      matches.push_back({i, worksA + partsA - i, j, worksB + partsB - j, partsA > 1 || partsB > 1});
      i = worksA + partsA;
      j = worksB + partsB;
    }
    if (i < as.size() || j < bs.size())
      fail(fmt::format("{} has {} {} launches, {} has {}; the first one more is {}", a_.target, as.size(), name(list), b_.target, bs.size(),
                       nameOf(i < as.size() ? as[i] : bs[j])));
    return matches;
  }

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
  static size_t partsOf(const std::vector<LaunchInfo>& launches, size_t first, const LaunchInfo& other) {
    if (other.kind != "moe_layer" || launches[first].kind != "gate")
      return 1;
    for (size_t i = first + 1; i < launches.size() && launches[i].kind.starts_with("expert_"); ++i)
      if (launches[i].kind == "expert_down")
        return launches[i].label == other.label ? i - first + 1 : 1;
    return 1;
  }

  static bool contains(const std::vector<int>& list, int buffer) { return std::find(list.begin(), list.end(), buffer) != list.end(); }

  /// What the launches read without their weights: packed, these are others and stand in another place. Of a layer, what comes from outside, each buffer
  /// once: one launch and its parts differ in how often they name it.
  std::vector<int> madeInputs(const Plan& plan, size_t first, size_t count, bool isLayer) const {
    const auto& launches = plan.launches(list_);
    std::vector<int> inputs, made;
    auto isPacked = [&](int buffer) {
      return std::any_of(launches.begin(), launches.begin() + static_cast<std::ptrdiff_t>(first),
                         [&](const LaunchInfo& launch) { return packs(launch) && contains(launch.outputs, buffer); });
    };
    for (size_t i = first; i < first + count; ++i) {
      for (int buffer : launches[i].inputs)
        if (!isFixed(plan.buffers[static_cast<size_t>(buffer)].kind) && !isPacked(buffer) && !(isLayer && (contains(inputs, buffer) || contains(made, buffer))))
          inputs.push_back(buffer);
      made.insert(made.end(), launches[i].outputs.begin(), launches[i].outputs.end());
    }
    return inputs;
  }

  /// What the launches write; of a layer, what others see of it.
  std::vector<int> outputs(const Plan& plan, size_t first, size_t count, bool isLayer) const {
    const auto& launches = plan.launches(list_);
    std::vector<int> outputs;
    for (size_t i = first; i < first + count; ++i)
      for (int buffer : launches[i].outputs) {
        BufferKind kind = plan.buffers[static_cast<size_t>(buffer)].kind;
        bool isSeen = kind != BufferKind::Temporary;
        for (size_t other = 0; other < launches.size(); ++other)
          isSeen |= (other < first || other >= first + count) && contains(launches[other].inputs, buffer);
        if (isSeen || !isLayer)
          outputs.push_back(buffer);
      }
    return outputs;
  }

  void launches(const LaunchMatch& match) {
    const LaunchInfo &a = a_.launches(list_)[match.firstA], &b = b_.launches(list_)[match.firstB];
    std::string place = match.firstA == match.firstB ? "" : fmt::format("launch {}, ", match.firstB);
    std::string who = fmt::format("{} launch {} is {} for {} and {}{} for {}", name(list_), match.firstA, nameOf(a), a_.target, place, nameOf(b), b_.target);
    bool isLayer = match.isLayer;
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
  LaunchList list_ = LaunchList::Forward; // the one being matched
  PlanMatch match_;
};

} // namespace

const LaunchMatch& PlanMatch::of(LaunchList list, size_t launchOfA) const {
  for (const LaunchMatch& match : launches(list))
    if (launchOfA < match.firstA + match.countA)
      return match;
  throw Error(Fault::Internal, fmt::format("no launch stands for {} launch {}", name(list), launchOfA));
}

PlanMatch matchPlans(const Plan& a, const Plan& b) {
  if (a.target != b.target)
    return Matcher(a, b).run();
  if (a.buffers.size() != b.buffers.size() || a.forward.size() != b.forward.size() || a.prepare.size() != b.prepare.size() || a.apply.size() != b.apply.size())
    throw Error(Fault::Internal, fmt::format("the two devices of a check run different plans of {}", a.target));
  PlanMatch match{true, std::vector<int>(a.buffers.size()), {}, {}};
  for (size_t i = 0; i < a.forward.size(); ++i)
    match.forward.push_back({i, 1, i, 1});
  for (size_t i = 0; i < a.apply.size(); ++i)
    match.apply.push_back({i, 1, i, 1});
  for (size_t i = 0; i < match.buffers.size(); ++i)
    match.buffers[i] = static_cast<int>(i);
  return match;
}

} // namespace moec
