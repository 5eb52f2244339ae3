#include "runtime/device/check/PlanMatch.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

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
    size_t count = std::min(a_.forward.size(), b_.forward.size());
    for (size_t i = 0; i < count; ++i)
      launches(i);
    if (a_.forward.size() != b_.forward.size())
      fail(fmt::format("{} has {} forward launches, {} has {}; the first one more is {}", a_.target, a_.forward.size(), b_.target, b_.forward.size(),
                       nameOf((a_.forward.size() > count ? a_ : b_).forward[count])));
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

  /// A launch's inputs without its weights: packed, they are others and stand in another place.
  static std::vector<int> madeInputs(const Plan& plan, const LaunchInfo& launch) {
    std::vector<int> made;
    std::copy_if(launch.inputs.begin(), launch.inputs.end(), std::back_inserter(made),
                 [&](int buffer) { return !isFixed(plan.buffers[static_cast<size_t>(buffer)]); });
    return made;
  }

  void launches(size_t i) {
    const LaunchInfo &a = a_.forward[i], &b = b_.forward[i];
    std::string who = fmt::format("forward launch {} is {} for {} and {} for {}", i, nameOf(a), a_.target, nameOf(b), b_.target);
    if (a.label != b.label || a.kind != b.kind)
      fail(who);
    std::vector<int> ofA = madeInputs(a_, a), ofB = madeInputs(b_, b);
    if (ofA.size() != ofB.size() || a.outputs.size() != b.outputs.size())
      fail(fmt::format("{}, with {} and {} inputs, {} and {} outputs", who, ofA.size(), ofB.size(), a.outputs.size(), b.outputs.size()));
    for (size_t j = 0; j < ofA.size(); ++j)
      pair(ofA[j], ofB[j], fmt::format("{}, and input {}", who, j));
    for (size_t j = 0; j < a.outputs.size(); ++j)
      pair(a.outputs[j], b.outputs[j], fmt::format("{}, and output {}", who, j));
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

PlanMatch matchPlans(const Plan& a, const Plan& b) {
  if (a.target != b.target)
    return Matcher(a, b).run();
  if (a.buffers.size() != b.buffers.size() || a.forward.size() != b.forward.size() || a.prepare.size() != b.prepare.size())
    throw Error(Fault::Internal, fmt::format("the two devices of a check run different plans of {}", a.target));
  PlanMatch match{true, std::vector<int>(a.buffers.size())};
  for (size_t i = 0; i < match.buffers.size(); ++i)
    match.buffers[i] = static_cast<int>(i);
  return match;
}

} // namespace moec
