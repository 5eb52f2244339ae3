#include "runtime/Session.h"

#include "runtime/CallInputs.h"
#include "runtime/LoadedPlan.h"
#include "runtime/core/Error.h"
#include "runtime/device/HostMemory.h"
#include "runtime/io/SafeTensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

namespace moec {

struct Session::State {
  LoadedPlan loaded;
  TensorMap unplaced; // parameters that no launch reads
  bool hasWeights = false, released = false;
  std::optional<uint64_t> seed = {}; // of weights that are not drawn yet: whoever wants them first draws them
  Allocator allocator = {};

  const Plan& plan() const { return loaded.plan(); }
  Executable& executable() { return loaded.executable(); }

  /// Checked weights go to the device, one after the other, and are packed. `weightOf` gives a parameter's.
  template <class WeightOf> void place(WeightOf weightOf) {
    Trace::Span span(loaded.trace(), "place the weights", "run");
    hasWeights = false;
    seed.reset();
    unplaced.clear();
    for (const ParameterInfo& parameter : plan().parameters) {
      const Tensor& tensor = weightOf(parameter);
      if (parameter.buffer < 0)
        unplaced.emplace(parameter.name, clone(allocator, tensor, parameter.name));
      else
        executable().write(parameter.buffer, tensor);
    }
    for (size_t i = 0; i < plan().prepare.size(); ++i)
      loaded.launch(LaunchList::Prepare, i, {}, {});
    hasWeights = true;
    released = false;
  }

  /// Weights that are to be drawn are drawn and placed.
  void placeDrawn() {
    if (!seed)
      return;
    uint64_t drawn = *seed;
    try {
      place([&](const ParameterInfo& parameter) { return initialWeight(parameter, drawn); });
    } catch (...) { // out of memory: they are still to be drawn
      hasWeights = true;
      seed = drawn;
      throw;
    }
  }

  /// The same for a call, after which plain weights that it does not read are gone: each is drawn, packed and freed before the next.
  void placeDrawnForCalls() {
    if (!seed)
      return;
    if (!executable().preparesOneByOne())
      return placeDrawn();
    Trace::Span span(loaded.trace(), "draw and pack the weights", "run");
    uint64_t drawn = *seed;
    unplaced.clear();
    std::map<int, const ParameterInfo*> missing; // by buffer
    for (const ParameterInfo& parameter : plan().parameters)
      if (parameter.buffer >= 0)
        missing[parameter.buffer] = &parameter;
    const auto all = missing;
    for (size_t i = 0; i < plan().prepare.size(); ++i) {
      for (int input : plan().prepare[i].inputs)
        if (auto found = missing.find(input); found != missing.end()) {
          executable().write(input, initialWeight(*found->second, drawn));
          missing.erase(found);
        }
      loaded.launch(LaunchList::Prepare, i, {}, {});
      executable().releaseUnusedParameters();
      for (int input : plan().prepare[i].inputs) // what another launch packs too is drawn again
        if (auto found = all.find(input); found != all.end() && !readByForward(input))
          missing.insert(*found);
    }
    for (const auto& [buffer, parameter] : missing)
      if (readByForward(buffer))
        executable().write(buffer, initialWeight(*parameter, drawn));
    for (const ParameterInfo& parameter : plan().parameters)
      if (parameter.buffer < 0)
        unplaced.emplace(parameter.name, clone(allocator, initialWeight(parameter, drawn), parameter.name));
    seed.reset(); // not before: what failed begins anew
    released = true;
  }

  bool readByForward(int buffer) const {
    return std::any_of(plan().forward.begin(), plan().forward.end(), [&](const LaunchInfo& launch) {
      return std::find(launch.inputs.begin(), launch.inputs.end(), buffer) != launch.inputs.end();
    });
  }
};

/// The purpose, if its calls change nothing that later ones see.
static Purpose checked(Purpose purpose) {
  if (purpose == Purpose::Inference || purpose == Purpose::Evaluation)
    return purpose;
  throw Error(Fault::Usage, fmt::format("a session is for inference or evaluation, not for {}", name(purpose)));
}

Session::Session(Program program, const std::string& device, const DeviceOptions& options)
    : Session(std::move(program), device, Purpose::Inference, options) {}

Session::Session(Program program, std::shared_ptr<Device> device) : Session(std::move(program), std::move(device), Purpose::Inference) {}

Session::Session(Program program, const std::string& device, Purpose purpose, const DeviceOptions& options)
    : Session(std::move(program), openDevice(device, options), purpose) {
  state_->allocator = options.allocator;
}

Session::Session(Program program, std::shared_ptr<Device> device, Purpose purpose)
    : state_(new State{LoadedPlan(std::move(program), std::move(device), checked(purpose)), {}}) {}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

void Session::load(const std::filesystem::path& safetensors, bool allowNonFinite) {
  TensorMap weights = readSafeTensors(safetensors);
  try {
    load(weights, allowNonFinite);
  } catch (const Error& error) {
    if (error.fault() != Fault::Data)
      throw;
    throw Error(Fault::Data, safetensors.string() + ": " + error.what());
  }
}

void Session::load(const TensorMap& weights, bool allowNonFinite) {
  checkWeights(plan(), weights, allowNonFinite);
  state_->place([&](const ParameterInfo& parameter) -> const Tensor& { return weights.find(parameter.name)->second; });
}

void Session::init(uint64_t seed) {
  state_->hasWeights = true;
  state_->seed = seed;
}

TensorMap Session::weights() const {
  if (!state_->hasWeights)
    throw Error(Fault::Usage, "the session has no weights: load or init them first");
  state_->placeDrawn();
  TensorMap weights = state_->unplaced;
  for (const ParameterInfo& parameter : plan().parameters) {
    if (parameter.buffer < 0)
      continue;
    if (state_->released && !state_->readByForward(parameter.buffer))
      throw Error(Fault::Usage, "parameter '" + parameter.name + "' is kept in packed form only since the first run: ask for weights before it");
    weights.emplace(parameter.name, state_->executable().read(parameter.buffer));
  }
  return weights;
}

TensorMap Session::run(const TensorMap& inputs, const RunOptions& options) {
  LoadedPlan& loaded = state_->loaded;
  Trace::Span call(loaded.trace(), "call", "run");
  Bindings values = bindings(inputs);
  for (const auto& [symbol, size] : values)
    if (call)
      call.add(symbol.c_str(), size);
  if (!state_->hasWeights && !plan().parameters.empty())
    throw Error(Fault::Usage, "the session has no weights: load or init them first");
  state_->placeDrawnForCalls();
  if (!state_->released) {
    loaded.executable().releaseUnusedParameters();
    state_->released = true;
  }
  loaded.enter(LaunchList::Forward, inputs, values);
  loaded.run(LaunchList::Forward, values, {options.seed, options.step});
  return loaded.outputs(LaunchList::Forward);
}

void Session::trace(std::shared_ptr<Trace> trace) { state_->loaded.setTrace(std::move(trace)); }
void Session::watch(std::function<void(LaunchList, size_t)> behindLaunch) { state_->loaded.setWatch(std::move(behindLaunch)); }

const Plan& Session::plan() const { return state_->plan(); }
Executable& Session::executable() {
  state_->placeDrawn();
  return state_->executable();
}
Bindings Session::bindings(const TensorMap& inputs) const { return bindInputs(plan(), inputs); }

} // namespace moec
