#include "runtime/LoadedPlan.h"

#include <chrono>

namespace moec {
namespace {

/// "f32[4, 65, 32]" of each buffer.
std::string describe(const Plan& plan, const std::vector<int>& buffers, const Bindings& sizes) {
  std::string text;
  for (int buffer : buffers) {
    const BufferInfo& info = plan.buffers[static_cast<size_t>(buffer)];
    text += (text.empty() ? "" : ", ") + moec::describe(info.dtype, shapeOf(info, sizes));
  }
  return text;
}

/// Ends what a call was lent, unless the call goes on.
struct LoanGuard {
  Executable& executable;
  bool goesOn = false;
  ~LoanGuard() {
    if (!goesOn)
      executable.endLoans();
  }
};

} // namespace

LoadedPlan::LoadedPlan(Program program, std::shared_ptr<Device> device, Purpose purpose)
    : program_(std::move(program)), device_(std::move(device)), executable_(device_->load(program_, purpose)) {}

void LoadedPlan::setTrace(std::shared_ptr<Trace> trace) {
  executable_->trace(trace);
  trace_ = std::move(trace);
}

void LoadedPlan::launch(LaunchList list, size_t index, const Bindings& sizes, const CallScalars& scalars) {
  const LaunchInfo& info = plan().launches(list)[index];
  Trace::Span span(trace_.get(), trace_ ? info.kind + " " + info.label : "", "launch");
  if (span)
    span.add("layer", info.label)
        .add("kernel", info.kernel)
        .add("launch", static_cast<int64_t>(index))
        .add("inputs", describe(plan(), info.inputs, sizes))
        .add("outputs", describe(plan(), info.outputs, sizes))
        .add("flops", info.flops.evaluate(sizes))
        .add("bytes", info.bytes.evaluate(sizes));
  if (clock_) {
    auto begin = std::chrono::steady_clock::now();
    executable_->launch(list, static_cast<int>(index), scalars);
    clock_(list, index, std::chrono::steady_clock::now() - begin);
  } else {
    executable_->launch(list, static_cast<int>(index), scalars);
  }
  if (watch_)
    watch_(list, index);
}

void LoadedPlan::enter(LaunchList list, const TensorMap& inputs, const Bindings& sizes) {
  if (list == LaunchList::Forward) {
    Trace::Span span(trace(), "bind the sizes", "run");
    executable_->bind(sizes);
  }
  Trace::Span span(trace(), "write the inputs", "run");
  LoanGuard loans{*executable_};
  for (const InputInfo& input : plan().inputs)
    if (auto found = inputs.find(input.name); input.list == list && input.buffer >= 0 && found != inputs.end())
      list == LaunchList::Forward ? executable_->lend(input.buffer, found->second) : executable_->write(input.buffer, found->second);
  loans.goesOn = true;
}

void LoadedPlan::run(LaunchList list, const Bindings& sizes, const CallScalars& scalars) {
  LoanGuard loans{*executable_};
  for (size_t i = 0; i < plan().launches(list).size(); ++i)
    launch(list, i, sizes, scalars);
  loans.goesOn = true;
}

TensorMap LoadedPlan::outputs(LaunchList list) {
  Trace::Span reading(trace(), "read the outputs", "run");
  LoanGuard loans{*executable_};
  TensorMap outputs;
  for (const OutputInfo& output : plan().outputs)
    if (output.list == list)
      outputs.emplace(output.name, list == LaunchList::Forward ? executable_->take(output.buffer) : executable_->read(output.buffer));
  return outputs;
}

} // namespace moec
