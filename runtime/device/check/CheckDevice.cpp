#include "runtime/device/check/CheckDevice.h"

#include "runtime/CallInputs.h"
#include "runtime/core/Error.h"
#include "runtime/device/check/RoundedOtherwise.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

namespace moec {
namespace {

/// Choices that a rounding error can flip: replayed rather than compared end to end.
bool isDiscrete(const BufferInfo& info) { return info.isRouting || !isFloat(info.dtype); }

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
  int64_t valid = validElements(info, b);
  double worst = relativeError(a, b, valid);
  // Where A has no NaN in its place, the error is infinite, and that is said.
  if (int64_t nans = nansIn_ || std::isinf(worst) ? 0 : countNans(b, valid); nans > check.nans) {
    check.nans = nans;
    check.nanBuffer = info.name;
  }
  check.buffers.push_back({info.name, worst, tolerance_(info.dtype)});
}

void CheckExecutable::launch(LaunchList list, int index, const CallScalars& scalars) {
  const auto& launches = plan().launches(list);
  if (index < 0 || static_cast<size_t>(index) >= launches.size())
    throw Error(Fault::Internal, fmt::format("launch {} of {}", index, launches.size()));
  const LaunchInfo& info = launches[static_cast<size_t>(index)];
  if (list == LaunchList::Prepare && !match_.same) {
    a_->launch(list, index, scalars);
    return;
  }
  prepareB();
  LaunchMatch match{static_cast<size_t>(index), 1, static_cast<size_t>(index), 1};
  if (list != LaunchList::Prepare)
    match = match_.of(list, static_cast<size_t>(index));
  // What A's launches of a layer hand to each other is its own: B makes it in one launch, which comes when A has made all.
  auto first = launches.begin() + static_cast<std::ptrdiff_t>(match.firstA);
  auto isMadeHere = [&](int buffer) {
    return std::any_of(first, launches.begin() + index, [&](const LaunchInfo& part) { return std::ranges::find(part.outputs, buffer) != part.outputs.end(); });
  };
  bool weightsToo = match_.same || plan().purpose == Purpose::Training; // for inference, B may have dropped the plain form of what A reads
  if (static_cast<size_t>(index) == match.firstA)
    nansIn_ = false;
  for (int buffer : info.inputs) {
    const BufferInfo& input = plan().buffers[static_cast<size_t>(buffer)];
    if ((!weightsToo && input.kind == BufferKind::Parameter) || ofB(buffer) < 0 || isMadeHere(buffer))
      continue;
    Tensor given = b_->read(ofB(buffer));
    nansIn_ = nansIn_ || countNans(given, validElements(input, given)) > 0;
    a_->write(buffer, given);
  }
  a_->launch(list, index, scalars);
  if (static_cast<size_t>(index) + 1 < match.firstA + match.countA)
    return;
  for (size_t i = 0; i < match.countB; ++i)
    b_->launch(list, static_cast<int>(match.firstB + i), scalars);
  LaunchCheck check{list, index, info.label, match.isLayer ? "moe_layer" : info.kind, info.kernel, {}, {}, 0, 0, true, 0, {}};
  for (size_t i = 0; i < match.countA; ++i)
    for (int buffer : launches[match.firstA + i].outputs)
      if (ofB(buffer) >= 0)
        compare(check, buffer);
  check.judge();
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

void CheckExecutable::launchReplayed(LaunchList list, const CallScalars& scalars) {
  for (const LaunchMatch& match : match_.launches(list)) {
    for (size_t i = 0; i < match.countA; ++i)
      a_->launch(list, static_cast<int>(match.firstA + i), scalars);
    for (size_t i = 0; i < match.countB; ++i)
      b_->launch(list, static_cast<int>(match.firstB + i), scalars);
    for (size_t i = 0; i < match.countA; ++i)
      for (int buffer : plan().launches(list)[match.firstA + i].outputs) {
        const BufferInfo& info = plan().buffers[static_cast<size_t>(buffer)];
        if (isDiscrete(info) && info.kind != BufferKind::Output && ofB(buffer) >= 0)
          a_->write(buffer, b_->read(ofB(buffer)));
      }
  }
}

/// Losses, gradients and moments of f32 that come from values of bf16 carry their roundings.
double CheckExecutable::allowedEndToEnd(DType type) const {
  double allowed = tolerance_(type);
  bool trains = plan().purpose == Purpose::Training;
  if ((!trains && plan().purpose != Purpose::Evaluation) || !isFloat(type))
    return allowed;
  for (const BufferInfo& buffer : plan().buffers)
    if (buffer.dtype == DType::BF16) // there and back roundings add up, and move values over a relu's kink
      return (trains ? wholeStepFactor : 1) * std::max(allowed, tolerance_(DType::BF16));
  for (const BufferInfo& buffer : plan().buffers)
    if (isFloat(buffer.dtype))
      allowed = std::max(allowed, tolerance_(buffer.dtype));
  return allowed;
}

void CheckExecutable::compareAsResult(const std::string& name, ResultKind kind, int buffer) {
  const BufferInfo& info = plan().buffers[static_cast<size_t>(buffer)];
  Tensor a = a_->read(buffer), b = b_->read(ofB(buffer));
  double allowed = allowedEndToEnd(info.dtype), worst = relativeError(a, b, validElements(info, b));
  report_.outputs.push_back({name, worst, allowed, worst <= allowed, kind});
}

void CheckExecutable::compareOutputs(LaunchList list) {
  for (const OutputInfo& output : plan().outputs)
    if (output.list == list)
      compareAsResult(output.name, ResultKind::Output, output.buffer);
}

void CheckExecutable::compareUpdates(LaunchList list) {
  std::set<int> written;
  for (const LaunchInfo& launch : plan().launches(list))
    written.insert(launch.outputs.begin(), launch.outputs.end());
  for (const ParameterInfo& parameter : plan().parameters)
    if (written.contains(parameter.buffer))
      compareAsResult(parameter.name, ResultKind::Parameter, parameter.buffer);
  for (const StateInfo& state : plan().states)
    if (written.contains(state.buffer))
      compareAsResult(state.name, ResultKind::State, state.buffer);
}

void CheckExecutable::giveWeightsToA() {
  auto give = [&](const auto& infos) {
    for (const auto& info : infos)
      if (info.buffer >= 0)
        a_->write(info.buffer, b_->read(ofB(info.buffer)));
  };
  give(plan().parameters);
  give(plan().states);
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

/// The program with this plan alone.
static Program withPlan(const Program& program, const Plan& plan) {
  ProgramData single{program.data().name, program.data().buildId, {plan}, {}, {}};
  for (const auto& [key, image] : program.data().kernels)
    if (key.starts_with(plan.target + "/"))
      single.kernels[key] = image;
  if (auto ir = program.data().ir.find(irKey(plan.target, plan.purpose)); ir != program.data().ir.end())
    single.ir.insert(*ir);
  return Program(std::move(single));
}

std::unique_ptr<Executable> CheckDevice::load(const Program& program, Purpose purpose) {
  std::unique_ptr<Executable> a = a_->load(program, purpose);
  if (!b_->targets().empty())
    return std::make_unique<CheckExecutable>(std::move(a), b_->load(program, purpose), tolerance_);
  std::unique_ptr<Executable> b = b_->load(withPlan(program, a->plan()), purpose);
  return std::make_unique<CheckExecutable>(std::move(a), std::move(b), tolerance_);
}

namespace {

template <class Info> void writeAll(Executable& executable, const std::vector<Info>& infos, const TensorMap& tensors) {
  for (const Info& info : infos)
    if (auto found = tensors.find(info.name); info.buffer >= 0 && found != tensors.end())
      executable.write(info.buffer, found->second);
}

/// What calls before have left: of generation, keys and values of tokens.
TensorMap drawnStates(const Plan& plan, uint64_t seed) {
  TensorMap states;
  for (StateInfo state : plan.states) {
    state.init = {Init::Kind::Normal, 0, 1};
    states.emplace(state.name, initialWeight(state, seed));
  }
  return states;
}

} // namespace

CheckReport check(const Program& program, std::shared_ptr<Device> a, std::shared_ptr<Device> b, const TensorMap& weights, const TensorMap& inputs,
                  const RunOptions& options, const ToleranceOf& tolerance, Purpose purpose) {
  std::unique_ptr<Executable> loaded = CheckDevice(std::move(a), std::move(b), tolerance).load(program, purpose);
  auto& both = static_cast<CheckExecutable&>(*loaded);
  const Plan& plan = both.plan();
  checkWeights(plan, weights, true);
  Bindings bindings = bindInputs(plan, inputs);
  CallScalars scalars{options.seed, options.step};
  writeAll(both, plan.parameters, weights);
  both.prepare();
  both.bind(bindings);
  writeAll(both, plan.inputs, inputs);
  TensorMap kept = drawnStates(plan, options.seed);
  writeAll(both, plan.states, kept);
  for (size_t i = 0; i < plan.forward.size(); ++i)
    both.launch(LaunchList::Forward, static_cast<int>(i), scalars);
  // Lock-step has written over A's state and packed weights; its own come back for the way from end to end.
  writeAll(both, plan.parameters, weights);
  both.prepareAlone();
  writeAll(both, plan.inputs, inputs);
  writeAll(both, plan.states, kept);
  both.launchReplayed(LaunchList::Forward, scalars);
  both.compareOutputs(LaunchList::Forward);
  both.compareUpdates(LaunchList::Forward);
  return both.report();
}

TensorMap resultsOf(const Program& program, Device& device, const TensorMap& weights, const TensorMap& inputs, const RunOptions& options, Purpose purpose) {
  std::unique_ptr<Executable> loaded = device.load(program, purpose);
  const Plan& plan = loaded->plan();
  checkWeights(plan, weights, true);
  writeAll(*loaded, plan.parameters, weights);
  for (size_t i = 0; i < plan.prepare.size(); ++i)
    loaded->launch(LaunchList::Prepare, static_cast<int>(i), {});
  loaded->bind(bindInputs(plan, inputs));
  writeAll(*loaded, plan.inputs, inputs);
  writeAll(*loaded, plan.states, drawnStates(plan, options.seed));
  for (size_t i = 0; i < plan.forward.size(); ++i)
    loaded->launch(LaunchList::Forward, static_cast<int>(i), {options.seed, options.step});
  TensorMap results;
  for (const OutputInfo& output : plan.outputs)
    results.emplace(output.name, loaded->read(output.buffer));
  return results;
}

static CheckReport runTraining(CheckExecutable& both, const TensorMap& weights, const TensorMap& inputs, const StepOptions& options) {
  const Plan& plan = both.plan();
  auto inputsOf = [&](LaunchList list, int64_t step) {
    TensorMap all = trainingInputs(plan, list, options.learningRate, step, 1);
    if (list == LaunchList::Forward)
      all.insert(inputs.begin(), inputs.end());
    return all;
  };
  auto enter = [&](LaunchList list, int64_t step) {
    TensorMap all = inputsOf(list, step);
    for (const InputInfo& input : plan.inputs)
      if (auto found = all.find(input.name); input.list == list && input.buffer >= 0 && found != all.end())
        both.write(input.buffer, found->second);
  };
  Bindings bindings = bindInputs(plan, inputsOf(LaunchList::Forward, 1));
  writeAll(both, plan.parameters, weights);
  for (const StateInfo& state : plan.states)
    both.write(state.buffer, initialState(plan, state, weights, options.seed));
  both.bind(bindings);
  for (LaunchList list : {LaunchList::Forward, LaunchList::Apply}) {
    enter(list, 1);
    for (size_t i = 0; i < plan.launches(list).size(); ++i)
      both.launch(list, static_cast<int>(i), {options.seed, 1});
  }
  // The second step begins with moments that are not zero.
  both.giveWeightsToA();
  for (LaunchList list : {LaunchList::Forward, LaunchList::Apply}) {
    if (plan.launches(list).empty())
      continue;
    enter(list, 2);
    both.launchReplayed(list, {options.seed, 2});
    both.compareOutputs(list);
    both.compareUpdates(list);
    // An optimizer that divides by a gradient's size makes a step of a rounding error, as a choice of experts does.
    both.giveWeightsToA();
  }
  return both.report();
}

CheckReport checkTraining(const Program& program, std::shared_ptr<Device> a, std::shared_ptr<Device> b, const TensorMap& weights, const TensorMap& inputs,
                          const StepOptions& options, const ToleranceOf& tolerance) {
  std::unique_ptr<Executable> loaded = CheckDevice(std::move(a), b, tolerance).load(program, Purpose::Training);
  auto& both = static_cast<CheckExecutable&>(*loaded);
  checkWeights(both.plan(), weights, true);
  CheckReport report = runTraining(both, weights, inputs, options);
  if (report.passed() || !b->targets().empty())
    return report;
  Program same = withPlan(program, both.plan());
  loaded.reset(); // three pairs of weights and states would be in memory
  for (uint32_t draw : {1, 2, 3}) {
    CheckExecutable moved(roundedOtherwise(b->load(same, Purpose::Training), draw), b->load(same, Purpose::Training), tolerance);
    report.allowForRounding(runTraining(moved, weights, inputs, options));
    if (report.passed())
      break;
  }
  return report;
}

} // namespace moec
