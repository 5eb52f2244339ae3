#include "compiler/cli/ProgramSummary.h"

#include "runtime/core/CudaTarget.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>

namespace moec::cli {

namespace {

int64_t checkedMultiply(int64_t a, int64_t b) {
  int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result))
    throw Error(Fault::Data, fmt::format("a size of {} times {} does not fit in 64 bits", a, b));
  return result;
}

int64_t checkedAdd(int64_t a, int64_t b) {
  int64_t result = 0;
  if (__builtin_add_overflow(a, b, &result))
    throw Error(Fault::Data, fmt::format("a size of {} plus {} does not fit in 64 bits", a, b));
  return result;
}

} // namespace

const char* chooserOf(const LaunchInfo& launch) { return launch.isTuned ? "tuning" : "cost model"; }

size_t tunedKernels(const std::vector<KernelSummary>& kernels) { return static_cast<size_t>(std::ranges::count(kernels, true, &KernelSummary::isTuned)); }

std::string purposeSuffix(const Plan& plan) { return plan.purpose == Purpose::Inference ? "" : fmt::format(", {}", name(plan.purpose)); }

int64_t parameterCount(const Plan& plan) {
  int64_t total = 0;
  for (const ParameterInfo& parameter : plan.parameters) {
    int64_t count = 1;
    for (int64_t size : parameter.shape)
      count = checkedMultiply(count, size);
    total = checkedAdd(total, count);
  }
  return total;
}

int64_t elementCount(const std::vector<Size>& shape, const Bindings& sizes) {
  int64_t count = 1;
  for (const Size& size : shape)
    count = checkedMultiply(count, size.evaluate(sizes));
  return count;
}

int64_t callFlops(const Plan& plan, const Bindings& sizes) {
  int64_t total = 0;
  for (const auto* launches : {&plan.forward, &plan.apply})
    for (const LaunchInfo& launch : *launches)
      total = checkedAdd(total, launch.flops.evaluate(sizes));
  return total;
}

int64_t callBytes(const Plan& plan, const Bindings& sizes) {
  int64_t total = 0;
  for (const auto* launches : {&plan.forward, &plan.apply})
    for (const LaunchInfo& launch : *launches)
      total = checkedAdd(total, launch.bytes.evaluate(sizes));
  return total;
}

namespace {

/// Temporaries made before the loss and read behind it. The loss's launches bear its name; the first of them is where the way back begins.
int64_t activationsOf(const Plan& plan, const Bindings& sizes) {
  auto loss = std::find_if(plan.forward.begin(), plan.forward.end(), [](const LaunchInfo& launch) { return launch.label == "loss"; });
  if (plan.purpose != Purpose::Training || loss == plan.forward.end())
    return 0;
  auto turn = static_cast<int>(loss - plan.forward.begin());
  int64_t sum = 0;
  for (const BufferInfo& buffer : plan.buffers)
    if (buffer.kind == BufferKind::Temporary && buffer.firstLaunch >= 0 && buffer.firstLaunch < turn && buffer.lastLaunch > turn)
      sum = checkedAdd(sum, bytesOf(buffer, sizes));
  return sum;
}

} // namespace

MemorySummary memorySummary(const Plan& plan, const Bindings& sizes) {
  MemorySummary result;
  result.activations = activationsOf(plan, sizes);
  for (const BufferInfo& buffer : plan.buffers) {
    int64_t bytes = checkedMultiply(elementCount(buffer.shape, sizes), static_cast<int64_t>(byteSize(buffer.dtype)));
    int64_t* total = nullptr;
    switch (buffer.kind) {
    case BufferKind::Input:
      total = &result.inputs;
      break;
    case BufferKind::Parameter:
      total = &result.parameters;
      break;
    case BufferKind::State:
      total = &result.states;
      break;
    case BufferKind::Prepared:
      total = &result.prepared;
      break;
    case BufferKind::Temporary:
      total = &result.temporaries;
      break;
    case BufferKind::Output:
      total = &result.outputs;
      break;
    case BufferKind::Constant:
      total = &result.constants;
      break;
    }
    *total = checkedAdd(*total, bytes);
  }
  result.arena = layoutArena(plan, sizes).bytes;
  return result;
}

namespace {

std::optional<double> occupancyOf(const GridInfo& grid, const CudaTarget* target) {
  constexpr int kWarp = 32;
  if (!target)
    return {};
  int warps = (grid.threads + kWarp - 1) / kWarp;
  return static_cast<double>(grid.blocksPerMultiprocessor * warps) / (target->threads / kWarp);
}

std::vector<FunctionSummary> functionsOf(const LaunchInfo& launch, const CudaTarget* target) {
  std::vector<FunctionSummary> result;
  for (const StageInfo& stage : launch.stages)
    if (stage.grid) {
      const std::string& function = stage.grid->function;
      bool isPrefixed = function.starts_with(launch.kernel + "_");
      result.push_back({isPrefixed ? function.substr(launch.kernel.size() + 1) : function, stage.items, *stage.grid, occupancyOf(*stage.grid, target)});
    }
  return result;
}

} // namespace

std::vector<KernelSummary> kernelSummaries(const Program& program, const Plan& plan) {
  const CudaTarget* target = findCudaTarget(plan.target);
  std::vector<KernelSummary> result;
  for (const auto* launches : {&plan.prepare, &plan.forward, &plan.apply})
    for (const LaunchInfo& launch : *launches) {
      auto found = std::ranges::find(result, launch.kernel, &KernelSummary::symbol);
      if (found == result.end()) {
        result.push_back({.symbol = launch.kernel,
                          .kind = launch.kind,
                          .imageBytes = program.kernel(plan.target, launch.kernel).size(),
                          .isTuned = launch.isTuned,
                          .layers = {},
                          .functions = functionsOf(launch, target)});
        found = result.end() - 1;
      }
      ++found->launches;
      if (std::ranges::find(found->layers, launch.label) == found->layers.end())
        found->layers.push_back(launch.label);
    }
  return result;
}

std::string shapeText(const std::vector<Size>& shape) {
  std::string result;
  for (const Size& size : shape)
    result += fmt::format("{}{}", result.empty() ? "" : ", ", size.str());
  return "[" + result + "]";
}

} // namespace moec::cli
