#include "bench/gpu/Gpu.h"

#include "bench/gpu/Models.h"
#include "runtime/Weights.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace moec::bench {

Gpu openGpu(const std::string& name) {
  Gpu gpu;
  gpu.device = std::dynamic_pointer_cast<CudaDevice>(openDevice(name));
  if (!gpu.device)
    throw Error(Fault::Usage, fmt::format("\"{}\" is no GPU; GPUs are cuda:N, and ptx-emulator:TARGET to count without one", name));
  gpu.context = {gpu.device, &gpu.device->context()};
  if (gpu.context->watch())
    gpu.emulator = emulator::Emulator::of(findCudaTarget(gpu.target())->arch);
  return gpu;
}

LoadedModel::LoadedModel(const Gpu& gpu, const Program& program, const Bindings& sizes) {
  const Plan* plan = program.plan(gpu.target());
  if (!plan)
    throw Error(Fault::Internal, fmt::format("{} has no plan for {}", program.name(), gpu.target()));
  executable_ = std::make_unique<CudaExecutable>(program, *plan, gpu.context);
  weights_ = initialWeights(*plan, 0);
  inputs_ = inputsOf(*plan, sizes);
  for (const ParameterInfo& parameter : plan->parameters)
    if (parameter.buffer >= 0)
      executable_->write(parameter.buffer, weights_.at(parameter.name));
  for (size_t i = 0; i < plan->prepare.size(); ++i)
    executable_->launch(LaunchList::Prepare, static_cast<int>(i), {});
  executable_->bind(sizes);
  for (const InputInfo& input : plan->inputs)
    if (auto found = inputs_.find(input.name); input.buffer >= 0 && found != inputs_.end())
      executable_->write(input.buffer, found->second);
}

void LoadedModel::forward() {
  for (size_t i = 0; i < plan().forward.size(); ++i)
    launch(i);
}

Tensor LoadedModel::output(const std::string& name) const {
  for (const OutputInfo& output : plan().outputs)
    if (output.name == name)
      return executable_->read(output.buffer);
  throw Error(Fault::Internal, "no output " + name);
}

StreamTimer::StreamTimer(std::shared_ptr<const CudaContext> context, cuda::Stream stream) : context_(std::move(context)), stream_(stream) {
  CudaContext::Current current(*context_);
  context_->check(context_->table().eventCreate(&start_, 0), "make an event");
  context_->check(context_->table().eventCreate(&end_, 0), "make an event");
}

StreamTimer::~StreamTimer() {
  CudaContext::Current current(*context_);
  for (cuda::Event event : {start_, end_})
    if (event)
      context_->table().eventDestroy(event);
}

double StreamTimer::seconds(const std::function<void()>& work) const {
  CudaContext::Current current(*context_);
  const cuda::DriverTable& table = context_->table();
  context_->check(table.eventRecord(start_, stream_), "record an event");
  work();
  context_->check(table.eventRecord(end_, stream_), "record an event");
  context_->check(table.eventSynchronize(end_), "run what is timed");
  float milliseconds = 0;
  context_->check(table.eventElapsedTime(&milliseconds, start_, end_), "read the time between events");
  return static_cast<double>(milliseconds) * 1e-3;
}

double StreamTimer::secondsOf(int repeats, const std::function<void()>& work) const {
  return seconds([&] {
           for (int i = 0; i < repeats; ++i)
             work();
         }) /
         repeats;
}

int StreamTimer::repeatsOf(const std::function<void()>& work) const {
  constexpr double kWorth = 1e-3, kMost = 1000;
  work(); // the first run loads code and warms caches
  double once = seconds(work);
  return static_cast<int>(std::clamp(std::ceil(kWorth / std::max(once, 1e-9)), 1.0, kMost));
}

} // namespace moec::bench
