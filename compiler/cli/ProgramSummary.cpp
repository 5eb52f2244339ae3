#include "compiler/cli/ProgramSummary.h"

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

int64_t forwardFlops(const Plan& plan, const Bindings& sizes) {
  int64_t total = 0;
  for (const LaunchInfo& launch : plan.forward)
    total = checkedAdd(total, launch.flops.evaluate(sizes));
  return total;
}

int64_t forwardBytes(const Plan& plan, const Bindings& sizes) {
  int64_t total = 0;
  for (const LaunchInfo& launch : plan.forward)
    total = checkedAdd(total, launch.bytes.evaluate(sizes));
  return total;
}

MemorySummary memorySummary(const Plan& plan, const Bindings& sizes) {
  MemorySummary result;
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

std::vector<KernelSummary> kernelSummaries(const Program& program, const Plan& plan) {
  std::vector<KernelSummary> result;
  for (const auto* launches : {&plan.prepare, &plan.forward})
    for (const LaunchInfo& launch : *launches) {
      auto found = std::ranges::find(result, launch.kernel, &KernelSummary::symbol);
      if (found == result.end()) {
        result.push_back({launch.kernel, launch.kind, program.kernel(plan.target, launch.kernel).size(), 0});
        found = result.end() - 1;
      }
      ++found->launches;
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
