#include "runtime/device/cuda/CudaExecutable.h"

#include "runtime/core/Error.h"
#include "runtime/core/Philox.h"
#include "runtime/device/HostMemory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace moec {
namespace {

constexpr size_t kShownFindings = 10;
constexpr int64_t kWatchedGap = 256; // finds steps over a buffer's end even through a pointer whose buffer is not known

std::string describeLaunch(const LaunchInfo& launch, LaunchList list, int index) {
  return fmt::format("{} launch {}, {} ({})", name(list), index, launch.label, launch.kind);
}

std::string stageKey(const std::string& kernel, size_t stage) { return fmt::format("{}/{}", kernel, stage); }

} // namespace

CudaExecutable::CudaExecutable(Program program, const Plan& plan, std::shared_ptr<const CudaContext> context, const Allocator& outputs)
    : program_(std::move(program)), plan_(plan), context_(std::move(context)), places_(plan.buffers.size()), outputMemory_(outputs), stream_(context_) {
  checkPlan(plan_);
  if (context_->watch())
    lives_ = std::make_unique<BufferLives>(plan_, *context_->watch());
  loadKernels();
  for (size_t i = 0; i < plan_.buffers.size(); ++i) {
    const BufferInfo& buffer = plan_.buffers[i];
    if (!isFixed(buffer.kind))
      continue;
    takeMemory(i, {});
    if (!buffer.data.empty())
      write(static_cast<int>(i), Tensor::borrow(const_cast<uint8_t*>(buffer.data.data()), places_[i].shape, buffer.dtype));
  }
  // What apply is given and gives has one size: it is there before any call is bound.
  auto hold = [&](const auto& infos) {
    for (const auto& info : infos)
      if (info.list == LaunchList::Apply && info.buffer >= 0)
        takeMemory(static_cast<size_t>(info.buffer), {});
  };
  hold(plan_.inputs);
  hold(plan_.outputs);
}

CudaExecutable::~CudaExecutable() {
  CudaContext::Current current(*context_, std::nothrow);
  context_->table().streamSynchronize(stream_.get()); // before memory goes; what went wrong was told at the call that asked
  for (auto& [buffer, staging] : inputs_)
    if (staging.copied)
      context_->table().eventDestroy(staging.copied);
  lives_.reset();
}

void CudaExecutable::loadKernels() {
  for (const auto* list : {&plan_.prepare, &plan_.forward, &plan_.apply})
    for (const LaunchInfo& launch : *list) {
      auto module = modules_.find(launch.kernel);
      if (module == modules_.end())
        module = modules_.try_emplace(launch.kernel, context_, program_.kernel(plan_.target, launch.kernel), launch.kernel, plan_.target).first;
      for (size_t i = 0; i < launch.stages.size(); ++i) {
        const auto& grid = launch.stages[i].grid;
        if (!grid || grid->threads < 1 || grid->dynamicSharedBytes < 0)
          throw Error(Fault::Data, fmt::format("plan of {}: {}: stage {} says no blocks of threads", plan_.target, launch.label, i));
        std::string key = stageKey(launch.kernel, i);
        if (!functions_.contains(key))
          functions_[key] = module->second.function(*grid);
      }
    }
}

/// Memory of its own for a buffer of this size; kept when there is enough.
void CudaExecutable::takeMemory(size_t buffer, const Bindings& bindings) {
  const BufferInfo& info = plan_.buffers[buffer];
  Place& place = places_[buffer];
  Shape shape = shapeOf(info, bindings);
  int64_t bytes = bytesOf(info, bindings);
  if (place.defined && place.shape == shape)
    return;
  if (lives_)
    lives_->remove(static_cast<int>(buffer));
  place.defined = false;
  if (place.own.bytes() < static_cast<size_t>(bytes)) {
    place.own = {};
    place.own = DeviceMemory(context_, static_cast<size_t>(bytes), fmt::format("buffer '{}'", info.name));
  }
  place.pointer = place.own.pointer();
  place.shape = std::move(shape);
  place.bytes = bytes;
  place.defined = true;
  if (lives_)
    lives_->place(static_cast<int>(buffer), place.pointer, bytes, false);
}

void CudaExecutable::bind(const Bindings& bindings) {
  if (bindings_ == bindings)
    return;
  CudaContext::Current current(*context_);
  ArenaLayout layout = layoutArena(plan_, bindings, context_->watch() ? kWatchedGap : 0);
  for (const BufferInfo& buffer : plan_.buffers)
    bytesOf(buffer, bindings);
  auto evaluated = evaluate(plan_.forward, bindings);
  // From here on nothing refuses a size; what is left can only lack memory.
  bindings_.reset();
  forward_.clear();
  prepare_.clear();
  placeTemporaries(layout, bindings);
  for (size_t i = 0; i < places_.size(); ++i)
    if (BufferKind kind = plan_.buffers[i].kind; kind == BufferKind::Input || kind == BufferKind::Output)
      takeMemory(i, bindings);
  forward_ = withPointers(std::move(evaluated));
  bindings_ = bindings;
}

/// What apply uses has one size, so it needs no call's.
void CudaExecutable::bindApply() {
  placeTemporaries(layoutArena(plan_, {}, context_->watch() ? kWatchedGap : 0, static_cast<int>(plan_.forward.size())), {});
  apply_ = withPointers(evaluate(plan_.apply, {}));
}

/// Those of the layout get their places. When the arena moves for it, nothing else is bound any more.
void CudaExecutable::placeTemporaries(const ArenaLayout& layout, const Bindings& bindings) {
  bool moves = static_cast<int64_t>(arena_.bytes()) < layout.bytes;
  for (size_t i = 0; i < places_.size(); ++i)
    if (layout.offsets[i] >= 0 || (moves && plan_.buffers[i].kind == BufferKind::Temporary && plan_.buffers[i].firstLaunch >= 0)) {
      places_[i].defined = false;
      if (lives_)
        lives_->remove(static_cast<int>(i));
    }
  if (moves) {
    bindings_.reset();
    forward_.clear();
    apply_.clear();
    arena_ = {};
    arena_ = DeviceMemory(context_, static_cast<size_t>(layout.bytes), "the temporaries of a call");
  }
  for (size_t i = 0; i < places_.size(); ++i)
    if (layout.offsets[i] >= 0) {
      Place& place = places_[i];
      place.pointer = arena_.pointer() + static_cast<uint64_t>(layout.offsets[i]);
      place.shape = shapeOf(plan_.buffers[i], bindings);
      place.bytes = bytesOf(plan_.buffers[i], bindings);
      place.defined = true;
      if (lives_)
        lives_->place(static_cast<int>(i), place.pointer, place.bytes, true);
    }
}

std::vector<CudaExecutable::Ready> CudaExecutable::withPointers(std::vector<std::pair<Ready, const LaunchInfo*>> evaluated) const {
  std::vector<Ready> readies;
  for (auto& [ready, launch] : evaluated) {
    setPointers(ready, *launch);
    readies.push_back(std::move(ready));
  }
  return readies;
}

std::vector<std::pair<CudaExecutable::Ready, const LaunchInfo*>> CudaExecutable::evaluate(const std::vector<LaunchInfo>& launches,
                                                                                          const Bindings& bindings) const {
  constexpr int64_t kMostBlocks = 0x7fffffff;
  std::vector<std::pair<Ready, const LaunchInfo*>> evaluated;
  for (const LaunchInfo& launch : launches) {
    Ready ready;
    for (const Size& size : launch.sizes)
      ready.sizes.push_back(size.evaluate(bindings));
    for (const std::string& path : launch.streams)
      ready.streams.push_back(streamOf(path));
    for (size_t i = 0; i < launch.stages.size(); ++i) {
      const GridInfo& grid = *launch.stages[i].grid;
      int64_t items = std::max<int64_t>(launch.stages[i].items.evaluate(bindings), 0);
      if (items > kMostBlocks)
        throw Error(Fault::Data,
                    fmt::format("{}: function {} would take {} blocks; a GPU launches at most {}", launch.label, grid.function, items, kMostBlocks));
      ready.stages.push_back({functions_.at(stageKey(launch.kernel, i)), static_cast<unsigned>(items), static_cast<unsigned>(grid.threads),
                              static_cast<unsigned>(grid.dynamicSharedBytes)});
    }
    evaluated.emplace_back(std::move(ready), &launch);
  }
  return evaluated;
}

void CudaExecutable::setPointers(Ready& ready, const LaunchInfo& launch) const {
  for (const auto* buffers : {&launch.inputs, &launch.outputs, &launch.workspaces})
    for (int buffer : *buffers)
      ready.pointers.push_back(placeOf(buffer, "launch with").pointer);
}

const CudaExecutable::Place& CudaExecutable::placeOf(int buffer, const char* doing) const {
  if (buffer < 0 || static_cast<size_t>(buffer) >= places_.size())
    throw Error(Fault::Internal, fmt::format("cannot {} buffer {} of {}", doing, buffer, places_.size()));
  const Place& place = places_[static_cast<size_t>(buffer)];
  if (!place.defined)
    throw Error(Fault::Internal,
                fmt::format("cannot {} {}: it has no memory (not bound, or released)", doing, plan_.buffers[static_cast<size_t>(buffer)].name));
  return place;
}

void CudaExecutable::write(int buffer, const Tensor& tensor) {
  CudaContext::Current current(*context_);
  if (buffer >= 0 && static_cast<size_t>(buffer) < places_.size())
    if (plan_.buffers[static_cast<size_t>(buffer)].kind == BufferKind::Parameter)
      takeMemory(static_cast<size_t>(buffer), {}); // it may have been released
  const Place& to = placeOf(buffer, "write");
  const BufferInfo& info = plan_.buffers[static_cast<size_t>(buffer)];
  if (info.dtype != tensor.dtype() || static_cast<size_t>(to.bytes) != tensor.bytes())
    throw Error(Fault::Internal, fmt::format("{} is written to {} of {}", describe(tensor), info.name, describe(info.dtype, to.shape)));
  if (to.bytes == 0)
    return;
  if (lives_)
    lives_->beforeWrite(buffer);
  const cuda::DriverTable& table = context_->table();
  const void* from = tensor.data();
  std::string doing = fmt::format("copy to buffer '{}'", info.name);
  Staging* staging = nullptr;
  if (info.kind == BufferKind::Input) {
    // Through pinned memory the copy of a call's input runs while the host goes on.
    staging = &inputs_[buffer];
    if (!staging->copied)
      context_->check(table.eventCreate(&staging->copied, 2), "make an event"); // 2: measures no time
    else
      context_->check(table.eventSynchronize(staging->copied), doing);
    if (staging->memory.bytes() < tensor.bytes())
      staging->memory = PinnedMemory(context_, tensor.bytes());
    std::memcpy(staging->memory.data(), from, tensor.bytes());
    from = staging->memory.data();
  }
  context_->check(table.copyToDeviceAsync(to.pointer, from, tensor.bytes(), stream_.get()), doing);
  if (staging)
    context_->check(table.eventRecord(staging->copied, stream_.get()), doing);
}

Tensor CudaExecutable::read(int buffer) const {
  const Place& from = placeOf(buffer, "read");
  const BufferInfo& info = plan_.buffers[static_cast<size_t>(buffer)];
  Tensor tensor = allocate(outputMemory_, info.dtype, from.shape, Contents::Any, info.name);
  if (from.bytes == 0)
    return tensor;
  CudaContext::Current current(*context_);
  bool pinned = info.kind == BufferKind::Output;
  if (pinned && outputs_.bytes() < tensor.bytes())
    outputs_ = PinnedMemory(context_, tensor.bytes());
  std::string doing = fmt::format("copy from buffer '{}'", info.name);
  if (last_)
    doing += fmt::format(" behind {} ({}), or an earlier launch went wrong", last_->label, last_->kind);
  context_->check(context_->table().copyToHostAsync(pinned ? outputs_.data() : tensor.data(), from.pointer, tensor.bytes(), stream_.get()), doing);
  stream_.finish(doing);
  if (pinned)
    std::memcpy(tensor.data(), outputs_.data(), tensor.bytes());
  return tensor;
}

/// Temporaries that only prepare launches use have memory of their own.
void CudaExecutable::takePrepareMemory() {
  for (const LaunchInfo& launch : plan_.prepare)
    for (const auto* buffers : {&launch.inputs, &launch.outputs, &launch.workspaces})
      for (int buffer : *buffers) {
        auto at = static_cast<size_t>(buffer);
        if (plan_.buffers[at].kind == BufferKind::Temporary && !places_[at].defined)
          takeMemory(at, {});
      }
}

void CudaExecutable::launch(LaunchList list, int index, const CallScalars& scalars) {
  const auto& infos = plan_.launches(list);
  std::vector<Ready>& readies = list == LaunchList::Prepare ? prepare_ : list == LaunchList::Forward ? forward_ : apply_;
  CudaContext::Current current(*context_);
  if (list == LaunchList::Prepare && prepare_.empty() && !infos.empty()) {
    takePrepareMemory();
    prepare_ = withPointers(evaluate(infos, {}));
  }
  if (list == LaunchList::Apply && apply_.empty() && !infos.empty())
    bindApply();
  if (index < 0 || static_cast<size_t>(index) >= readies.size())
    throw Error(Fault::Internal, fmt::format("launch {} of {}{}", index, infos.size(), bindings_ ? "" : ", and no sizes are bound"));
  Ready& ready = readies[static_cast<size_t>(index)];
  CallScalars own = scalars;
  // runtime/core/KernelAbi.h
  std::vector<void*> parameters;
  for (cuda::DevicePtr& pointer : ready.pointers)
    parameters.push_back(&pointer);
  for (int64_t& size : ready.sizes)
    parameters.push_back(&size);
  for (uint32_t& stream : ready.streams)
    parameters.push_back(&stream);
  parameters.push_back(&own.seed);
  parameters.push_back(&own.step);
  const LaunchInfo& info = infos[static_cast<size_t>(index)];
  if (lives_)
    lives_->beforeLaunch(list, index);
  last_ = &info;
  for (const Stage& stage : ready.stages)
    if (stage.blocks > 0)
      launchStage(info, list, index, stage, parameters);
}

void CudaExecutable::launchStage(const LaunchInfo& launch, LaunchList list, int index, const Stage& stage, std::vector<void*>& parameters) {
  auto go = [&] {
    return context_->table().launchKernel(stage.function, stage.blocks, 1, 1, stage.threads, 1, 1, stage.sharedBytes, stream_.get(), parameters.data(),
                                          nullptr);
  };
  if (!context_->watch()) {
    context_->check(go(), fmt::format("start {}", describeLaunch(launch, list, index)));
    return;
  }
  std::vector<cuda::LaunchFinding> findings;
  std::string problem;
  cuda::Result result = context_->watch()->launch(go, findings, problem);
  if (!findings.empty())
    reportFindings(launch, list, index, findings);
  if (result != cuda::kSuccess)
    throw Error(Fault::Device, fmt::format("{}: cannot run {}: {}", context_->name(), describeLaunch(launch, list, index), problem));
}

void CudaExecutable::reportFindings(const LaunchInfo& launch, LaunchList list, int index, const std::vector<cuda::LaunchFinding>& findings) const {
  std::string text = fmt::format("{}: {} does what it must not:", context_->name(), describeLaunch(launch, list, index));
  for (size_t i = 0; i < std::min(findings.size(), kShownFindings); ++i) {
    text += "\n  " + findings[i].text;
    if (std::string line = modules_.at(launch.kernel).sourceLine(findings[i].file, findings[i].line); !line.empty())
      text += fmt::format("\n    {} | {}", findings[i].line, line);
  }
  if (findings.size() > kShownFindings)
    text += fmt::format("\n  and {} more", findings.size() - kShownFindings);
  throw Error(Fault::Mismatch, text); // the device is there and well: what it was given is wrong
}

void CudaExecutable::releaseUnusedParameters() {
  for (int unused : plan_.unusedParameters()) {
    if (lives_)
      lives_->remove(unused);
    places_[static_cast<size_t>(unused)] = {};
  }
  prepare_.clear(); // it holds pointers to what was released
}

} // namespace moec
