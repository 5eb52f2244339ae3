#pragma once
// A plan on a device: its launches, and calls made of them, with their spans in a trace. What sessions and trainings have in common; knows neither of weights
// nor of what a call is for.

#include "runtime/core/Tensor.h"
#include "runtime/core/Trace.h"
#include "runtime/device/Device.h"

#include <functional>
#include <memory>

namespace moec {

class LoadedPlan {
public:
  LoadedPlan(Program program, std::shared_ptr<Device> device, Purpose purpose = Purpose::Inference);

  const Plan& plan() const { return executable_->plan(); }
  Executable& executable() { return *executable_; }
  Trace* trace() const { return trace_.get(); }
  void setTrace(std::shared_ptr<Trace> trace);
  /// Called behind every launch; empty: not.
  void setWatch(std::function<void(LaunchList, size_t)> watch) { watch_ = std::move(watch); }
  /// Called behind every launch with the time that it took; empty: not, and then no clock is read.
  void setClock(LaunchClock clock) { clock_ = std::move(clock); }

  void launch(LaunchList list, size_t index, const Bindings& sizes, const CallScalars& scalars);
  /// The first half of a call: sizes (of Forward) and inputs, checked by the caller. Inputs of the other list may stand among them. Those of Forward may be
  /// read where they lie until outputs(), or until one of the three fails.
  void enter(LaunchList list, const TensorMap& inputs, const Bindings& sizes);
  /// The second half: every launch.
  void run(LaunchList list, const Bindings& sizes, const CallScalars& scalars);
  /// What the list's launches gave, by name.
  TensorMap outputs(LaunchList list);

private:
  Program program_;
  std::shared_ptr<Device> device_;
  std::unique_ptr<Executable> executable_;
  std::shared_ptr<Trace> trace_;
  std::function<void(LaunchList, size_t)> watch_;
  LaunchClock clock_;
};

} // namespace moec
