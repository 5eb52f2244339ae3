#include "runtime/device/check/CheckDevice.h"

#include "runtime/CallInputs.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace moec {
namespace {

/// Choices that a rounding error can flip: replayed rather than compared end to end.
bool isDiscrete(const BufferInfo& info) { return info.isRouting || !isFloat(info.dtype); }

/// Error in units of what is allowed.
double pastTolerance(double worst, double allowed) {
  if (allowed > 0)
    return worst / allowed;
  return worst > 0 ? std::numeric_limits<double>::infinity() : 0;
}

} // namespace

CheckExecutable::CheckExecutable(std::unique_ptr<Executable> a, std::unique_ptr<Executable> b, ToleranceOf tolerance)
    : a_(std::move(a)), b_(std::move(b)), match_(matchPlans(a_->plan(), b_->plan())), tolerance_(std::move(tolerance)) {}

void CheckExecutable::bind(const Bindings& bindings) {
  a_->bind(bindings);
  b_->bind(bindings);
}

void CheckExecutable::write(int buffer, const Tensor& tensor) {
  a_->write(buffer, tensor);
  if (ofB(buffer) < 0)
    return;
  b_->write(ofB(buffer), tensor);
  if (!match_.same && plan().buffers[static_cast<size_t>(buffer)].kind == BufferKind::Parameter)
    bIsPrepared_ = false;
}

/// A's list of launches says nothing of B's packing when B has a plan of its own: B packs when its weights are needed.
void CheckExecutable::prepareB() {
  if (std::exchange(bIsPrepared_, true))
    return;
  for (size_t i = 0; i < b_->plan().prepare.size(); ++i)
    b_->launch(LaunchList::Prepare, static_cast<int>(i), {});
}

void CheckExecutable::releaseUnusedParameters() {
  prepareB();
  a_->releaseUnusedParameters();
  b_->releaseUnusedParameters();
}

/// How many leading elements of a buffer have values: all, or the rows that the routing kept.
int64_t CheckExecutable::validElements(const BufferInfo& info, const Tensor& tensor) const {
  if (!info.raggedBy || tensor.shape().empty() || tensor.shape()[0] == 0)
    return tensor.elements();
  const BufferInfo& routing = plan().buffers[static_cast<size_t>(*info.raggedBy)];
  Tensor table = b_->read(ofB(*info.raggedBy));
  int64_t kept = table.as<int32_t>()[static_cast<size_t>(routing.experts)];
  int64_t rows = std::clamp<int64_t>(kept, 0, tensor.shape()[0]);
  return tensor.elements() / tensor.shape()[0] * rows;
}

void CheckExecutable::compare(LaunchCheck& check, int buffer) const {
  const BufferInfo& info = plan().buffers[static_cast<size_t>(buffer)];
  Tensor a = a_->read(buffer), b = b_->read(ofB(buffer));
  double allowed = tolerance_(info.dtype);
  double worst = relativeError(a, b, validElements(info, b));
  if (!check.buffer.empty() && pastTolerance(worst, allowed) <= pastTolerance(check.worst, check.tolerance))
    return;
  check.buffer = info.name;
  check.worst = worst;
  check.tolerance = allowed;
  check.passed = worst <= allowed;
}

void CheckExecutable::launch(LaunchList list, int index, const CallScalars& scalars) {
  const auto& launches = list == LaunchList::Prepare ? plan().prepare : plan().forward;
  if (index < 0 || static_cast<size_t>(index) >= launches.size())
    throw Error(Fault::Internal, fmt::format("launch {} of {}", index, launches.size()));
  const LaunchInfo& info = launches[static_cast<size_t>(index)];
  if (list == LaunchList::Prepare && !match_.same) {
    a_->launch(list, index, scalars);
    return;
  }
  prepareB();
  LaunchMatch match{static_cast<size_t>(index), 1, static_cast<size_t>(index), 1};
  if (list == LaunchList::Forward)
    match = match_.of(static_cast<size_t>(index));
  // What A's launches of a layer hand to each other is its own: B makes it in one launch, which comes when A has made all.
  auto first = launches.begin() + static_cast<std::ptrdiff_t>(match.firstA);
  auto isMadeHere = [&](int buffer) {
    return std::any_of(first, launches.begin() + index, [&](const LaunchInfo& part) { return std::ranges::find(part.outputs, buffer) != part.outputs.end(); });
  };
  for (int buffer : info.inputs)
    if (match_.same || plan().buffers[static_cast<size_t>(buffer)].kind != BufferKind::Parameter)
      if (ofB(buffer) >= 0 && !isMadeHere(buffer))
        a_->write(buffer, b_->read(ofB(buffer)));
  a_->launch(list, index, scalars);
  if (static_cast<size_t>(index) + 1 < match.firstA + match.countA)
    return;
  for (size_t i = 0; i < match.countB; ++i)
    b_->launch(list, static_cast<int>(match.firstB + i), scalars);
  LaunchCheck check{list, index, info.label, match.countA > 1 ? "moe_layer" : info.kind, info.kernel, {}, 0, 0, true};
  for (size_t i = 0; i < match.countA; ++i)
    for (int buffer : launches[match.firstA + i].outputs)
      if (ofB(buffer) >= 0)
        compare(check, buffer);
  report_.launches.push_back(std::move(check));
}

void CheckExecutable::prepare() {
  for (size_t i = 0; i < plan().prepare.size(); ++i)
    launch(LaunchList::Prepare, static_cast<int>(i), {});
  prepareB();
}

void CheckExecutable::prepareAlone() {
  for (size_t i = 0; i < plan().prepare.size(); ++i)
    a_->launch(LaunchList::Prepare, static_cast<int>(i), {});
  bIsPrepared_ = false;
  prepareB();
}

void CheckExecutable::launchReplayed(const CallScalars& scalars) {
  for (const LaunchMatch& match : match_.launches) {
    for (size_t i = 0; i < match.countA; ++i)
      a_->launch(LaunchList::Forward, static_cast<int>(match.firstA + i), scalars);
    for (size_t i = 0; i < match.countB; ++i)
      b_->launch(LaunchList::Forward, static_cast<int>(match.firstB + i), scalars);
    for (size_t i = 0; i < match.countA; ++i)
      for (int buffer : plan().forward[match.firstA + i].outputs) {
        const BufferInfo& info = plan().buffers[static_cast<size_t>(buffer)];
        if (isDiscrete(info) && info.kind != BufferKind::Output && ofB(buffer) >= 0)
          a_->write(buffer, b_->read(ofB(buffer)));
      }
  }
}

void CheckExecutable::compareOutputs() {
  for (const OutputInfo& output : plan().outputs) {
    const BufferInfo& info = plan().buffers[static_cast<size_t>(output.buffer)];
    Tensor a = a_->read(output.buffer), b = b_->read(ofB(output.buffer));
    double allowed = tolerance_(output.dtype), worst = relativeError(a, b, validElements(info, b));
    report_.outputs.push_back({output.name, worst, allowed, worst <= allowed});
  }
}

CheckDevice::CheckDevice(std::shared_ptr<Device> a, std::shared_ptr<Device> b, ToleranceOf tolerance)
    : a_(std::move(a)), b_(std::move(b)), tolerance_(std::move(tolerance)) {}

std::vector<std::string> CheckDevice::targets() const {
  std::vector<std::string> both = a_->targets();
  for (const std::string& target : b_->targets())
    if (std::find(both.begin(), both.end(), target) == both.end())
      both.push_back(target);
  return both;
}

std::unique_ptr<Executable> CheckDevice::load(const Program& program) {
  std::unique_ptr<Executable> a = a_->load(program);
  if (!b_->targets().empty())
    return std::make_unique<CheckExecutable>(std::move(a), b_->load(program), tolerance_);
  const Plan& plan = a->plan();
  ProgramData single{program.data().name, program.data().buildId, {plan}, {}, {}};
  for (const auto& [key, image] : program.data().kernels)
    if (key.starts_with(plan.target + "/"))
      single.kernels[key] = image;
  if (auto ir = program.data().ir.find(plan.target); ir != program.data().ir.end())
    single.ir.insert(*ir);
  std::unique_ptr<Executable> b = b_->load(Program(std::move(single)));
  return std::make_unique<CheckExecutable>(std::move(a), std::move(b), tolerance_);
}

CheckReport check(const Program& program, std::shared_ptr<Device> a, std::shared_ptr<Device> b, const TensorMap& weights,
                  const TensorMap& inputs, const RunOptions& options, const ToleranceOf& tolerance) {
  std::unique_ptr<Executable> loaded = CheckDevice(std::move(a), std::move(b), tolerance).load(program);
  auto& both = static_cast<CheckExecutable&>(*loaded);
  const Plan& plan = both.plan();
  checkWeights(plan, weights, true);
  Bindings bindings = bindInputs(plan, inputs);
  auto writeAll = [&](const auto& infos, const TensorMap& tensors) {
    for (const auto& info : infos)
      if (auto found = tensors.find(info.name); info.buffer >= 0 && found != tensors.end())
        both.write(info.buffer, found->second);
  };
  CallScalars scalars{options.seed, options.step};
  writeAll(plan.parameters, weights);
  both.prepare();
  both.bind(bindings);
  writeAll(plan.inputs, inputs);
  for (size_t i = 0; i < plan.forward.size(); ++i)
    both.launch(LaunchList::Forward, static_cast<int>(i), scalars);
  // Lock-step has written over A's state and packed weights; its own come back for the way from end to end.
  writeAll(plan.parameters, weights);
  both.prepareAlone();
  writeAll(plan.inputs, inputs);
  both.launchReplayed(scalars);
  both.compareOutputs();
  return both.report();
}

} // namespace moec
