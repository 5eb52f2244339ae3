#pragma once
// A program that is training on a device: weights, an optimizer's states and the number of steps. Belongs to one thread at a time.

#include "runtime/Weights.h"
#include "runtime/core/Program.h"
#include "runtime/device/Device.h"

#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <string>

namespace moec {

struct StepOptions {
  double learningRate = std::numeric_limits<double>::quiet_NaN(); // to be given wherever parameters change
  uint64_t seed = 0;                                              // of dropout and noise: the draws of a step are keyed by it and the step's number
};

class Training {
public:
  /// Error(Usage) when the program was compiled without a plan for training.
  Training(Program program, const std::string& device, const DeviceOptions& options = {});
  Training(Program program, std::shared_ptr<Device> device);
  ~Training();
  Training(Training&&) noexcept;
  Training& operator=(Training&&) noexcept;

  /// Begins at step 0 with these weights, from a safetensors file or a map (errors as Session::load has them), or with weights drawn from their init rules.
  /// States begin as their own rules say, those that copy a parameter as it is.
  void load(const std::filesystem::path& safetensors, bool allowNonFinite = false);
  void load(const TensorMap& weights, bool allowNonFinite = false);
  void init(uint64_t seed);
  /// Goes on where another training was when it gave weights(), state(), steps() and accumulated(): what follows has the same bits. One Error(Data) lists every
  /// name of both that is missing, unknown or of another shape or dtype; nothing is changed then.
  void restore(const TensorMap& weights, const TensorMap& state, int64_t steps, int64_t accumulated = 0);

  /// One step: the loss and the aux losses by name, and `gradient_norm`. A failure among the launches (a kernel, the device) leaves the training without
  /// weights: load, init or restore them; one behind them, for want of memory for the results, finds the step done.
  /// Where gradients add up, it is accumulate() and apply().
  /// Error(Usage) for inputs as Session::run has it, and for a learning rate that is missing or no finite number. Error(Data) that names the step for router
  /// logits that are no finite numbers, of a program that was compiled with NonFiniteLogits::Error: the step is done then, and what it changed may be no finite
  /// numbers either; restore() goes back. Where gradients add up it is not done: as accumulate() has it.
  TensorMap step(const TensorMap& inputs, const StepOptions& options);
  /// Adds the gradients of these inputs to those that wait for apply(); gives the losses. Accumulations of one step have draws of their own. A failure among
  /// the launches leaves the training without states: weights() can be read still, the rest needs load, init or restore. Error(Usage) for a program compiled
  /// without accumulation. Error(Data) for logits as step() has it: all gradients that waited are dropped, and the training is what it was behind its last
  /// step.
  TensorMap accumulate(const TensorMap& inputs, const StepOptions& options = {});
  /// A step with the mean of the gradients so far; gives `gradient_norm`. Error(Usage) when there are none.
  TensorMap apply(const StepOptions& options);

  /// Parameters as they are now. Error(Usage) before load, init or restore.
  TensorMap weights() const;
  /// One of them. Error(Usage) for a name that is none of a parameter.
  Tensor weight(const std::string& name) const;
  /// What a training needs besides: gradients that add up, moments.
  TensorMap state() const;
  /// Steps done since the first weights.
  int64_t steps() const;
  /// Calls of accumulate() since the last step.
  int64_t accumulated() const;

  /// As Session::trace.
  void trace(std::shared_ptr<Trace> trace);
  /// As Session::watch. What it throws is as a failure of the launch.
  void watch(std::function<void(LaunchList list, size_t index)> behindLaunch);
  /// As Session::timeLaunches.
  void timeLaunches(LaunchClock clock);
  const Plan& plan() const;
  /// For looking at buffers. Its launches are the training's own business.
  Executable& executable();
  /// Values of the symbols for these inputs, with all checks of a step.
  Bindings bindings(const TensorMap& inputs) const;

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace moec
