#pragma once
// "check(A,B)": a device that runs each launch on two others from B's inputs and compares what they made. An error stays where it arises:
// neither a wrong sum nor a flipped choice of an expert travels into the next launch.

#include "runtime/Session.h"
#include "runtime/Training.h"
#include "runtime/core/Tolerance.h"
#include "runtime/device/Device.h"
#include "runtime/device/check/CheckReport.h"
#include "runtime/device/check/PlanMatch.h"

namespace moec {

class CheckExecutable : public Executable {
public:
  CheckExecutable(std::unique_ptr<Executable> a, std::unique_ptr<Executable> b, ToleranceOf tolerance);

  const Plan& plan() const override { return a_->plan(); }
  void bind(const Bindings& bindings) override;
  void write(int buffer, const Tensor& tensor) override;
  /// A's: what the device under test made.
  Tensor read(int buffer) const override { return a_->read(buffer); }
  void launch(LaunchList list, int index, const CallScalars& scalars) override;
  void releaseUnusedParameters() override;

  /// All launches so far.
  const CheckReport& report() const { return report_; }

  /// Every Prepare launch of A's plan in lock-step; where B has a plan of its own, each device alone.
  void prepare();
  /// Every Prepare launch again, each device from its own parameters.
  void prepareAlone();
  /// Every launch of the list again, each device on its own way, but B's discrete results (routings, indices) written over A's, where both have them: a layer
  /// in one launch keeps its routing to itself.
  void launchReplayed(LaunchList list, const CallScalars& scalars);
  /// Compares the list's outputs as they stand and adds them to the report.
  void compareOutputs(LaunchList list);
  /// The same for the parameters and states that the list's launches write.
  void compareUpdates(LaunchList list);
  /// A goes on from B's parameters and states.
  void giveWeightsToA();

private:
  int64_t validElements(const BufferInfo& info, const Tensor& tensor) const;
  void compare(LaunchCheck& check, int buffer) const;
  double allowedEndToEnd(DType type) const;
  void compareAsResult(const std::string& name, ResultKind kind, int buffer);
  int ofB(int buffer) const { return match_.buffers.at(static_cast<size_t>(buffer)); }
  void prepareB();

  std::unique_ptr<Executable> a_, b_;
  PlanMatch match_;
  bool bIsPrepared_ = true; // of two plans: B's prepare launches have seen B's parameters
  bool nansIn_ = false;     // among the inputs of the launch, or of the layer's launches, so far
  ToleranceOf tolerance_;
  CheckReport report_;
};

class CheckDevice : public Device {
public:
  CheckDevice(std::shared_ptr<Device> a, std::shared_ptr<Device> b, ToleranceOf tolerance = moec::tolerance);

  std::string name() const override { return "check(" + a_->name() + "," + b_->name() + ")"; }
  std::vector<std::string> targets() const override;
  /// Each chooses its plan; a B that runs any is given A's.
  std::unique_ptr<Executable> load(const Program& program, Purpose purpose = Purpose::Inference) override;

private:
  std::shared_ptr<Device> a_, b_;
  ToleranceOf tolerance_;
};

/// Lock-step through prepare and one call of the plan for inference, evaluation or generation (whose states hold draws), then the call end to end with replayed
/// routing.
CheckReport check(const Program& program, std::shared_ptr<Device> a, std::shared_ptr<Device> b, const TensorMap& weights, const TensorMap& inputs,
                  const RunOptions& options = {}, const ToleranceOf& tolerance = moec::tolerance, Purpose purpose = Purpose::Inference);

/// Results by name of the call that check() makes, of one device alone.
TensorMap resultsOf(const Program& program, Device& device, const TensorMap& weights, const TensorMap& inputs, const RunOptions& options = {},
                    Purpose purpose = Purpose::Inference);

/// One step of training in lock-step from the states' beginning; then a second one end to end, whose gradients, where they are states, go from B to A before
/// they are applied. Compared are the losses, the gradient's norm, and every parameter and state that a step writes. What is wrong by
/// that, and B any plan's device, is held to as many digits as B's own result has: terms of a gradient may cancel.
CheckReport checkTraining(const Program& program, std::shared_ptr<Device> a, std::shared_ptr<Device> b, const TensorMap& weights, const TensorMap& inputs,
                          const StepOptions& options, const ToleranceOf& tolerance = moec::tolerance);

} // namespace moec
