#include "runtime/Generator.h"

#include "runtime/CallInputs.h"
#include "runtime/PlacedWeights.h"
#include "runtime/core/Error.h"
#include "runtime/core/Generation.h"

#include <fmt/format.h>

#include <utility>

namespace moec {
namespace {

/// The two inputs of a plan for generation; Error(Data) for a plan that has others.
struct Surface {
  const InputInfo *tokens = nullptr, *position = nullptr;

  explicit Surface(const Plan& plan) {
    for (const InputInfo& input : plan.inputs)
      (input.name == kPositionInput ? position : tokens) = &input;
    bool fits = plan.inputs.size() == 2 && tokens && position && position->below && tokens->shape.size() == 2 && tokens->shape[0].isConstant() &&
                plan.outputs.size() == 1;
    if (!fits)
      throw Error(Fault::Data, fmt::format("plan of {} for generation: expected tokens (batch, n) and '{}' as its inputs, and scores as its output",
                                           plan.target, kPositionInput));
  }
};

} // namespace

struct Generator::State {
  LoadedPlan loaded;
  PlacedWeights weights{loaded, "generator"};
  Surface surface{loaded.plan()};
  int64_t position = 0;
  bool hasFailed = false, hasStates = false;

  explicit State(LoadedPlan plan) : loaded(std::move(plan)) {}

  int64_t context() const { return *surface.position->below; }

  /// Zeros, before the first call.
  void placeStates() {
    if (std::exchange(hasStates, true))
      return;
    for (const StateInfo& state : loaded.plan().states)
      loaded.executable().write(state.buffer, Tensor(state.dtype, state.shape));
  }

  /// What a feed takes beside the inputs' own checks.
  void check(const Tensor& tokens) const {
    int64_t count = tokens.shape().size() == 2 ? tokens.shape()[1] : 0;
    if (hasFailed)
      throw Error(Fault::Usage, "a call before has failed on the device, and what it kept of the text is not known: reset the generator");
    if (count > context() - position)
      throw Error(Fault::Usage,
                  fmt::format("the context of {} tokens is full: {} are there, and {} are to follow; reset the generator and feed the last ones again",
                              context(), position, count));
  }
};

Generator::Generator(Program program, const std::string& device, const DeviceOptions& options) : Generator(std::move(program), openDevice(device, options)) {
  state_->weights.setAllocator(options.allocator);
}

Generator::Generator(Program program, std::shared_ptr<Device> device)
    : state_(new State(LoadedPlan(std::move(program), std::move(device), Purpose::Generation))) {}

Generator::~Generator() = default;
Generator::Generator(Generator&&) noexcept = default;
Generator& Generator::operator=(Generator&&) noexcept = default;

void Generator::load(const std::filesystem::path& safetensors, bool allowNonFinite) {
  reset();
  state_->weights.load(safetensors, allowNonFinite);
}

void Generator::load(const TensorMap& weights, bool allowNonFinite) {
  reset();
  state_->weights.load(weights, allowNonFinite);
}

void Generator::init(uint64_t seed) {
  reset();
  state_->weights.init(seed);
}

int64_t Generator::batch() const { return *state_->surface.tokens->shape[0].constant(); }
int64_t Generator::context() const { return state_->context(); }
int64_t Generator::position() const { return state_->position; }

// Rows behind the position are never read: they need not be zeros.
void Generator::reset() {
  state_->position = 0;
  state_->hasFailed = false;
}

Tensor Generator::feed(const Tensor& tokens) {
  LoadedPlan& loaded = state_->loaded;
  state_->check(tokens);
  TensorMap inputs;
  inputs.emplace(state_->surface.tokens->name, tokens);
  inputs.emplace(kPositionInput, Tensor::of<int64_t>({state_->position}, {}));
  Bindings sizes = bindInputs(loaded.plan(), inputs);
  state_->weights.prepareForCall();
  state_->placeStates();
  Trace::Span call(loaded.trace(), "feed", "run");
  if (call)
    call.add("tokens", tokens.shape()[1]).add("position", state_->position);
  state_->hasFailed = true; // until all is done
  loaded.enter(LaunchList::Forward, inputs, sizes);
  loaded.run(LaunchList::Forward, sizes, {});
  Tensor scores = loaded.outputs(LaunchList::Forward).at(loaded.plan().outputs.front().name);
  state_->hasFailed = false;
  state_->position += tokens.shape()[1];
  return scores.dtype() == DType::BF16 ? scores.cast(DType::F32) : scores;
}

void Generator::trace(std::shared_ptr<Trace> trace) { state_->loaded.setTrace(std::move(trace)); }
const Plan& Generator::plan() const { return state_->loaded.plan(); }

Executable& Generator::executable() {
  state_->weights.placeDrawn();
  return state_->loaded.executable();
}

} // namespace moec
