#pragma once
// A program with weights on a device, ready to be called: for what the model gives, or for its loss (Purpose::Evaluation). Belongs to one thread at a time;
// sessions of one program may run in many.

#include "runtime/GateRecord.h"
#include "runtime/Weights.h"
#include "runtime/core/Program.h"
#include "runtime/device/Device.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace moec {

struct RunOptions {
  uint64_t seed = 0;
  uint32_t step = 0;
};

class Session {
public:
  Session(Program program, const std::string& device, const DeviceOptions& options = {});
  Session(Program program, std::shared_ptr<Device> device);
  /// For evaluation: run() gives the loss of the model as it infers, and what else its kind of loss can tell; the loss's inputs are inputs like the others.
  /// Error(Usage) when the program has no plan for the purpose, or when it is one that changes something (training, generation).
  Session(Program program, const std::string& device, Purpose purpose, const DeviceOptions& options = {});
  Session(Program program, std::shared_ptr<Device> device, Purpose purpose);
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  /// Weights from a safetensors file or a map. Error(Data) lists every name that is missing, unknown (with the nearest name), or has another shape
  /// or dtype; a non-finite value is an error unless allowed. Nothing is changed when it throws, but for want of memory: then there are no weights.
  void load(const std::filesystem::path& safetensors, bool allowNonFinite = false);
  void load(const TensorMap& weights, bool allowNonFinite = false);
  /// The same for calls alone: of a large model each weight is packed, and its plain form and the file's pages go, before the next one comes. weights() is then
  /// as behind the first run().
  void loadForCalls(const std::filesystem::path& safetensors, bool allowNonFinite = false);
  /// Weights drawn from the parameters' init rules, when they are wanted: by run() one after the other, so that of a large model not all stand in memory twice.
  void init(uint64_t seed);
  /// Plain parameters as loaded or drawn. Error(Usage) before load or init, or after the first run() released what only packing reads.
  TensorMap weights() const;

  /// Outputs by name. Symbols take their values from the inputs' shapes; one name is one size. Inputs marked for the loss may be left out where they are.
  /// Nobody changes the inputs' memory until it returns: a CPU reads it where it lies.
  /// Error(Usage) for a missing or unknown input, another dtype, rank or size, a size of zero, ids out of range. Error(Data) for router logits that are no
  /// finite numbers, of a program that was compiled with NonFiniteLogits::Error.
  TensorMap run(const TensorMap& inputs, const RunOptions& options = {});

  /// Every call from now on adds its steps and launches to the trace; null ends it. On a GPU a launch's span is its handing over: the wait for all of them
  /// is in reading the outputs.
  void trace(std::shared_ptr<Trace> trace);
  /// Called for every gate behind every run from now on, in the model's order, with what the gate chose in it; empty ends it. What it throws, run() throws.
  /// Error(Usage) when the program was compiled without CompileOptions::record, or no gate of it is recorded.
  void onGates(std::function<void(const GateRecord& record)> behindRun);
  /// Called behind every launch from now on, to look at the executable's buffers; empty ends it.
  void watch(std::function<void(LaunchList list, size_t index)> behindLaunch);
  /// Times every launch from now on; empty ends it. On a GPU a launch's time is that of its handing over, as in a trace.
  void timeLaunches(LaunchClock clock);

  const Plan& plan() const;
  Executable& executable();
  /// Values of the symbols for these inputs, with all of run()'s checks.
  Bindings bindings(const TensorMap& inputs) const;

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace moec
