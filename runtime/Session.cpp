#include "runtime/Session.h"

#include "runtime/CallInputs.h"
#include "runtime/FiniteLogits.h"
#include "runtime/PlacedWeights.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>

namespace moec {

struct Session::State {
  LoadedPlan loaded;
  PlacedWeights weights{loaded, "session"};
  std::function<void(const GateRecord&)> onGates;

  explicit State(LoadedPlan plan) : loaded(std::move(plan)) {}
};

/// The purpose, if its calls change nothing that later ones see.
static Purpose checked(Purpose purpose) {
  if (purpose == Purpose::Inference || purpose == Purpose::Evaluation)
    return purpose;
  throw Error(Fault::Usage, fmt::format("a session is for inference or evaluation, not for {}", name(purpose)));
}

static std::vector<std::string> outputNames(const Plan& plan) {
  std::vector<std::string> names;
  for (const OutputInfo& output : plan.outputs)
    names.push_back(output.name);
  return names;
}

Session::Session(Program program, const std::string& device, const DeviceOptions& options) : Session(std::move(program), device, Purpose::Inference, options) {}

Session::Session(Program program, std::shared_ptr<Device> device) : Session(std::move(program), std::move(device), Purpose::Inference) {}

Session::Session(Program program, const std::string& device, Purpose purpose, const DeviceOptions& options)
    : Session(std::move(program), openDevice(device, options), purpose) {
  state_->weights.setAllocator(options.allocator);
}

Session::Session(Program program, std::shared_ptr<Device> device, Purpose purpose)
    : state_(new State(LoadedPlan(std::move(program), std::move(device), checked(purpose)))) {}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

void Session::load(const std::filesystem::path& safetensors, bool allowNonFinite) { state_->weights.load(safetensors, allowNonFinite); }
void Session::load(const TensorMap& weights, bool allowNonFinite) { state_->weights.load(weights, allowNonFinite); }
void Session::loadForCalls(const std::filesystem::path& safetensors, bool allowNonFinite) { state_->weights.loadForCalls(safetensors, allowNonFinite); }
void Session::init(uint64_t seed) { state_->weights.init(seed); }
TensorMap Session::weights() const { return state_->weights.weights(); }

TensorMap Session::run(const TensorMap& inputs, const RunOptions& options) {
  LoadedPlan& loaded = state_->loaded;
  Trace::Span call(loaded.trace(), "call", "run");
  Bindings values = bindings(inputs);
  for (const auto& [symbol, size] : values)
    if (call)
      call.add(symbol.c_str(), size);
  state_->weights.prepareForCall();
  loaded.enter(LaunchList::Forward, inputs, values);
  loaded.run(LaunchList::Forward, values, {options.seed, options.step});
  TensorMap outputs = loaded.outputs(LaunchList::Forward);
  checkLogits(plan(), outputs);
  if (state_->onGates)
    for (const GateRecord& record : gateRecords(outputs, outputNames(plan())))
      state_->onGates(record);
  return outputs;
}

void Session::onGates(std::function<void(const GateRecord&)> behindRun) {
  if (behindRun && std::ranges::none_of(outputNames(plan()), isRecord))
    throw Error(Fault::Usage, "the program tells nothing of its gates: it was compiled without `record`, or has no gate");
  state_->onGates = std::move(behindRun);
}

void Session::trace(std::shared_ptr<Trace> trace) { state_->loaded.setTrace(std::move(trace)); }
void Session::watch(std::function<void(LaunchList, size_t)> behindLaunch) { state_->loaded.setWatch(std::move(behindLaunch)); }
void Session::timeLaunches(LaunchClock clock) { state_->loaded.setClock(std::move(clock)); }

const Plan& Session::plan() const { return state_->loaded.plan(); }
Executable& Session::executable() {
  state_->weights.placeDrawn();
  return state_->loaded.executable();
}
Bindings Session::bindings(const TensorMap& inputs) const { return bindInputs(plan(), inputs); }

} // namespace moec
