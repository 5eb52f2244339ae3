#include "runtime/Training.h"

#include "runtime/CallInputs.h"
#include "runtime/FiniteLogits.h"
#include "runtime/LoadedPlan.h"
#include "runtime/core/Error.h"
#include "runtime/core/NearestName.h"
#include "runtime/device/HostMemory.h"
#include "runtime/io/SafeTensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace moec {
namespace {

/// Every accumulation of a step draws from a seed of its own; the first from the step's, as a step in one call does.
uint64_t seedOf(uint64_t seed, int64_t accumulation) { return seed + static_cast<uint64_t>(accumulation) * 0x9E3779B97F4A7C15u; }

void checkLearningRate(double rate) {
  if (!std::isfinite(rate) || rate < 0)
    throw Error(Fault::Usage, fmt::format("a step's learning rate is {}, expected a finite number that is not negative: give StepOptions::learningRate", rate));
}

} // namespace

struct Training::State {
  LoadedPlan loaded;
  TensorMap unplaced; // parameters that no launch reads
  bool hasWeights = false, hasStates = false;
  int64_t steps = 0, accumulated = 0;
  Allocator allocator = {};

  const Plan& plan() const { return loaded.plan(); }
  Executable& executable() { return loaded.executable(); }
  bool accumulates() const { return !plan().apply.empty(); }

  void requireWeights() const {
    if (!hasWeights)
      throw Error(Fault::Usage, "the training has no weights: load, init or restore them first");
  }
  void requireStates() const {
    requireWeights();
    if (!hasStates)
      throw Error(Fault::Usage, "the training has weights but no states, for an accumulation failed: restore both, or load the weights to begin anew");
  }

  /// Everything goes to the device. `weightOf` and `stateOf` give a tensor that has been checked; states come behind their parameters.
  template <class WeightOf, class StateOf> void place(int64_t atStep, int64_t waiting, WeightOf weightOf, StateOf stateOf) {
    Trace::Span span(loaded.trace(), "place the weights", "run");
    hasWeights = hasStates = false;
    unplaced.clear();
    for (const ParameterInfo& parameter : plan().parameters) {
      const Tensor& weight = weightOf(parameter);
      if (parameter.buffer < 0)
        unplaced.emplace(parameter.name, clone(allocator, weight, parameter.name));
      else
        executable().write(parameter.buffer, weight);
    }
    for (const StateInfo& state : plan().states)
      executable().write(state.buffer, stateOf(state));
    steps = atStep;
    accumulated = waiting;
    hasWeights = hasStates = true;
  }

  Tensor weight(const ParameterInfo& parameter) {
    return parameter.buffer < 0 ? clone(allocator, unplaced.find(parameter.name)->second, parameter.name) : executable().read(parameter.buffer);
  }

  /// The caller's inputs and the training's own.
  TensorMap withScalars(const TensorMap& inputs, double learningRate) const {
    for (const char* own : {kLearningRateInput, kStepInput, kCountInput})
      if (inputs.contains(std::string_view(own)))
        throw Error(Fault::Usage, fmt::format("input '{}' is the training's own: it follows from its steps and from StepOptions", own));
    TensorMap all = trainingInputs(plan(), LaunchList::Forward, learningRate, steps + 1, accumulated);
    all.insert(inputs.begin(), inputs.end());
    return all;
  }

  /// One call of @train_step or @accumulate.
  void forward(const TensorMap& inputs, const StepOptions& options) {
    TensorMap all = withScalars(inputs, options.learningRate);
    Bindings sizes = bindInputs(plan(), all);
    requireStates();
    Trace::Span call(loaded.trace(), accumulates() ? "accumulate" : "step", "run");
    for (const auto& [symbol, size] : sizes)
      if (call)
        call.add(symbol.c_str(), size);
    loaded.enter(LaunchList::Forward, all, sizes);
    change(LaunchList::Forward, sizes, {seedOf(options.seed, accumulated), static_cast<uint32_t>(steps + 1)});
  }

  /// None wait.
  void dropGradients() {
    hasStates = false;
    for (const StateInfo& info : plan().states)
      if (isGradient(plan(), info))
        executable().write(info.buffer, Tensor(info.dtype, info.shape));
    accumulated = 0;
    hasStates = true;
  }

  /// The results of what was done in `step`.
  TensorMap results(LaunchList list, int64_t step) {
    TensorMap outputs = loaded.outputs(list);
    checkLogits(plan(), outputs, fmt::format("step {}: ", step));
    return outputs;
  }

  /// Launches that write states and, but for an accumulation, parameters: what fails among them leaves neither the old nor the new.
  void change(LaunchList list, const Bindings& sizes, const CallScalars& scalars) {
    hasWeights = list == LaunchList::Forward && accumulates();
    hasStates = false;
    loaded.run(list, sizes, scalars);
    hasWeights = hasStates = true;
  }
};

Training::Training(Program program, const std::string& device, const DeviceOptions& options) : Training(std::move(program), openDevice(device, options)) {
  state_->allocator = options.allocator;
}

Training::Training(Program program, std::shared_ptr<Device> device)
    : state_(new State{LoadedPlan(std::move(program), std::move(device), Purpose::Training), {}}) {}

Training::~Training() = default;
Training::Training(Training&&) noexcept = default;
Training& Training::operator=(Training&&) noexcept = default;

void Training::load(const std::filesystem::path& safetensors, bool allowNonFinite) {
  TensorMap weights = readSafeTensors(safetensors);
  try {
    load(weights, allowNonFinite);
  } catch (const Error& error) {
    if (error.fault() != Fault::Data)
      throw;
    throw Error(Fault::Data, safetensors.string() + ": " + error.what());
  }
}

void Training::load(const TensorMap& weights, bool allowNonFinite) {
  checkWeights(plan(), weights, allowNonFinite);
  state_->place(
      0, 0, [&](const ParameterInfo& parameter) -> const Tensor& { return weights.find(parameter.name)->second; },
      [&](const StateInfo& state) { return initialState(plan(), state, weights, 0); });
}

void Training::init(uint64_t seed) {
  state_->place(
      0, 0, [&](const ParameterInfo& parameter) { return initialWeight(parameter, seed); },
      [&](const StateInfo& state) { return initialState(plan(), state, {}, seed); });
}

void Training::restore(const TensorMap& weights, const TensorMap& state, int64_t steps, int64_t accumulated) {
  if (steps < 0 || accumulated < 0 || (accumulated > 0 && !state_->accumulates()))
    throw Error(Fault::Usage, fmt::format("a training is restored at step {} with {} accumulations: expected numbers that a training of this program has",
                                          steps, accumulated));
  checkWeightsAndState(plan(), weights, state);
  state_->place(
      steps, accumulated, [&](const ParameterInfo& parameter) -> const Tensor& { return weights.find(parameter.name)->second; },
      [&](const StateInfo& info) -> const Tensor& { return state.find(info.name)->second; });
}

TensorMap Training::step(const TensorMap& inputs, const StepOptions& options) {
  checkLearningRate(options.learningRate);
  if (state_->accumulates()) {
    TensorMap outputs = accumulate(inputs, options);
    outputs.merge(apply(options));
    return outputs;
  }
  state_->forward(inputs, options);
  ++state_->steps; // done, even if there is no memory for its results
  return state_->results(LaunchList::Forward, state_->steps);
}

TensorMap Training::accumulate(const TensorMap& inputs, const StepOptions& options) {
  if (!state_->accumulates())
    throw Error(Fault::Usage, "the program's steps are whole: for gradients that add up over several calls, compile it with --train --accumulate");
  state_->forward(inputs, options);
  ++state_->accumulated;
  try {
    return state_->results(LaunchList::Forward, state_->steps + 1);
  } catch (const Error& error) {
    if (error.fault() == Fault::Data) // of logits: what they gave is no part of a step
      state_->dropGradients();
    throw;
  }
}

TensorMap Training::apply(const StepOptions& options) {
  checkLearningRate(options.learningRate);
  State& state = *state_;
  state.requireStates();
  if (state.accumulated == 0)
    throw Error(Fault::Usage, "there are no gradients to apply: accumulate some first");
  Trace::Span call(state.loaded.trace(), "apply", "run");
  state.loaded.enter(LaunchList::Apply, trainingInputs(plan(), LaunchList::Apply, options.learningRate, state.steps + 1, state.accumulated), {});
  state.change(LaunchList::Apply, {}, {options.seed, static_cast<uint32_t>(state.steps + 1)});
  ++state.steps;
  state.accumulated = 0;
  return state.loaded.outputs(LaunchList::Apply);
}

TensorMap Training::weights() const {
  state_->requireWeights();
  TensorMap weights;
  for (const ParameterInfo& parameter : plan().parameters)
    weights.emplace(parameter.name, state_->weight(parameter));
  return weights;
}

Tensor Training::weight(const std::string& name) const {
  state_->requireWeights();
  std::vector<std::string> known;
  for (const ParameterInfo& parameter : plan().parameters) {
    if (parameter.name == name)
      return state_->weight(parameter);
    known.push_back(parameter.name);
  }
  throw Error(Fault::Usage, fmt::format("'{}' is no parameter of this program{}", name, didYouMean(name, known)));
}

TensorMap Training::state() const {
  state_->requireStates();
  TensorMap states;
  for (const StateInfo& state : plan().states)
    states.emplace(state.name, state_->executable().read(state.buffer));
  return states;
}

int64_t Training::steps() const { return state_->steps; }
int64_t Training::accumulated() const { return state_->accumulated; }
void Training::trace(std::shared_ptr<Trace> trace) { state_->loaded.setTrace(std::move(trace)); }
void Training::watch(std::function<void(LaunchList, size_t)> behindLaunch) { state_->loaded.setWatch(std::move(behindLaunch)); }
void Training::timeLaunches(LaunchClock clock) { state_->loaded.setClock(std::move(clock)); }
const Plan& Training::plan() const { return state_->plan(); }
Executable& Training::executable() { return state_->executable(); }

Bindings Training::bindings(const TensorMap& inputs) const { return bindInputs(plan(), state_->withScalars(inputs, 0)); }

} // namespace moec
