#include "compiler/cli/MemoryForecast.h"

#include "runtime/Weights.h"

#include <algorithm>
#include <map>
#include <set>

namespace moec::cli {

namespace {

constexpr int64_t kPage = 4096; // a worker's scratch is whole pages

/// Scratch for the launches of a list, which follow one another with the most that any has needed so far.
int64_t scratchOf(const std::vector<LaunchInfo>& launches, const Bindings& sizes, int threads) {
  int64_t most = 0;
  for (const LaunchInfo& launch : launches)
    for (const StageInfo& stage : launch.stages)
      most = std::max(most, stage.scratchBytes.evaluate(sizes));
  return (most + kPage - 1) / kPage * kPage * threads;
}

int64_t elementsOf(const ParameterInfo& parameter) { return Tensor::borrow(nullptr, parameter.shape, parameter.dtype).elements(); }
int64_t bytesOf(const ParameterInfo& parameter) { return elementsOf(parameter) * static_cast<int64_t>(byteSize(parameter.dtype)); }

/// What stands beside a weight's buffer while it is drawn: the weight itself and, piece by piece, doubles.
int64_t drawnBeside(const ParameterInfo& parameter) {
  auto size = static_cast<int64_t>(byteSize(parameter.dtype));
  int64_t piece = std::min(elementsOf(parameter), drawnAtOnce(parameter)) * (static_cast<int64_t>(sizeof(double)) + size);
  return std::max(piece, bytesOf(parameter));
}

/// Session's way to packed weights: each is made, copied to its buffer, packed and freed before the next. `besideOf` is what stands beside the buffer until
/// then.
template <class BesideOf> int64_t placingPeak(const Plan& plan, BesideOf besideOf) {
  std::map<int, const ParameterInfo*> byBuffer;
  for (const ParameterInfo& parameter : plan.parameters)
    byBuffer[parameter.buffer] = &parameter;
  int64_t kept = 0, peak = 0;
  auto make = [&](const ParameterInfo& parameter, int64_t beside) { peak = std::max(peak, kept + beside + bytesOf(parameter) + besideOf(parameter)); };
  std::set<int> packed;
  for (const LaunchInfo& launch : plan.prepare) {
    int64_t beside = 0;
    for (int input : launch.inputs)
      if (auto found = byBuffer.find(input); found != byBuffer.end()) {
        make(*found->second, beside);
        beside += bytesOf(*found->second);
        packed.insert(input);
      }
    for (int output : launch.outputs)
      kept += moec::bytesOf(plan.buffers[static_cast<size_t>(output)], {});
    peak = std::max(peak, kept + beside);
  }
  for (const ParameterInfo& parameter : plan.parameters)
    if (!packed.contains(parameter.buffer)) {
      make(parameter, 0);
      kept += bytesOf(parameter);
    }
  if (plan.purpose == Purpose::Training) { // counted as if all stood there when the first is made
    kept = peak = 0;
    for (const ParameterInfo& parameter : plan.parameters)
      kept += bytesOf(parameter);
    for (const StateInfo& state : plan.states)
      kept += bytesOf(state);
    for (const ParameterInfo& parameter : plan.parameters)
      make(parameter, -bytesOf(parameter));
    for (const StateInfo& state : plan.states)
      make(state, -bytesOf(state));
  }
  return std::max(peak, kept);
}

} // namespace

MemoryForecast forecastMemory(const Program& program, const Plan& plan, const Bindings& sizes, int threads) {
  MemoryForecast result;
  std::set<int> read, usedByPacking;
  for (const LaunchInfo& launch : plan.forward)
    read.insert(launch.inputs.begin(), launch.inputs.end());
  for (const OutputInfo& output : plan.outputs)
    read.insert(output.buffer);
  for (const LaunchInfo& launch : plan.prepare)
    for (const auto* buffers : {&launch.inputs, &launch.outputs, &launch.workspaces})
      usedByPacking.insert(buffers->begin(), buffers->end());
  std::set<int> applied;
  auto collect = [&](const auto& infos) {
    for (const auto& info : infos)
      if (info.list == LaunchList::Apply)
        applied.insert(info.buffer);
  };
  collect(plan.inputs);
  collect(plan.outputs);
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    const BufferInfo& buffer = plan.buffers[i];
    int64_t bytes = bytesOf(buffer, sizes);
    bool isRead = plan.purpose == Purpose::Training || read.contains(static_cast<int>(i));
    switch (buffer.kind) {
    case BufferKind::Input:
      (applied.contains(static_cast<int>(i)) ? result.applied : result.inputs) += bytes;
      break;
    case BufferKind::Output:
      (applied.contains(static_cast<int>(i)) ? result.applied : result.outputs) += bytes;
      break;
    case BufferKind::Parameter:
      (isRead ? result.weights : result.onlyPacked) += bytes;
      break;
    case BufferKind::State:
      result.states += bytes;
      break;
    case BufferKind::Prepared:
      result.packed += bytes;
      break;
    case BufferKind::Constant:
      result.constants += bytes;
      break;
    case BufferKind::Temporary: // of a call: in the arena
      if (buffer.firstLaunch < 0 && usedByPacking.contains(static_cast<int>(i)))
        result.packing += bytes;
      break;
    }
  }
  std::set<int> taken;
  auto isTaken = [&](const OutputInfo& output) { // the buffer's own memory is given away, once (Executable::take)
    return output.list == LaunchList::Forward && plan.buffers[static_cast<size_t>(output.buffer)].kind == BufferKind::Output &&
           taken.insert(output.buffer).second;
  };
  for (const OutputInfo& output : plan.outputs)
    if (!isTaken(output))
      result.results += bytesOf(plan.buffers[static_cast<size_t>(output.buffer)], sizes);
  for (const InputInfo& input : plan.inputs)
    if (input.buffer >= 0)
      result.given += bytesOf(plan.buffers[static_cast<size_t>(input.buffer)], sizes);
  for (const ParameterInfo& parameter : plan.parameters)
    if (parameter.buffer < 0)
      result.unread += bytesOf(parameter);
  result.drawing = placingPeak(plan, drawnBeside);
  result.reading = placingPeak(plan, [](const ParameterInfo&) { return int64_t{0}; });
  result.arena = std::max<int64_t>(layoutArena(plan, sizes).bytes, 1);
  result.packingScratch = scratchOf(plan.prepare, {}, threads);
  result.scratch = std::max({result.packingScratch, scratchOf(plan.forward, sizes, threads), scratchOf(plan.apply, sizes, threads)});
  for (const auto& [name, image] : program.data().kernels)
    result.program += static_cast<int64_t>(image.size());
  for (const auto& [target, text] : program.data().ir)
    result.program += static_cast<int64_t>(text.size());
  return result;
}

} // namespace moec::cli
