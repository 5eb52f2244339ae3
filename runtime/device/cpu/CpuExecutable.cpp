#include "runtime/device/cpu/CpuExecutable.h"

#include "runtime/core/Error.h"
#include "runtime/core/Philox.h"
#include "runtime/device/HostMemory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace moec {
namespace {

// Below this many operations waking the workers (some microseconds) costs more than they save.
constexpr int64_t kInlineOperations = 50000;
constexpr int64_t kPage = 4096; // bytes; a worker's scratch is whole ones, so no line of it is another's

} // namespace

CpuExecutable::CpuExecutable(Program program, const Plan& plan, std::shared_ptr<Workers> workers, const Allocator& allocator,
                             const std::filesystem::path& kernelFiles)
    : program_(std::move(program)), plan_(plan), workers_(std::move(workers)), allocator_(allocator), tensors_(plan.buffers.size()) {
  checkPlan(plan_);
  for (const auto* list : {&plan_.prepare, &plan_.forward, &plan_.apply})
    for (const LaunchInfo& launch : *list)
      if (!kernels_.contains(launch.kernel))
        kernels_.try_emplace(launch.kernel, program_.kernel(plan_.target, launch.kernel), launch.kernel, plan_.target, kernelFiles);
  placeKept();
  // What apply is given and gives has one size: it is there before any call is bound.
  auto hold = [&](const auto& infos) {
    for (const auto& info : infos)
      if (info.list == LaunchList::Apply && info.buffer >= 0)
        tensors_[static_cast<size_t>(info.buffer)] =
            memoryOf(plan_.buffers[static_cast<size_t>(info.buffer)], shapeOf(plan_.buffers[static_cast<size_t>(info.buffer)], {}));
  };
  hold(plan_.inputs);
  hold(plan_.outputs);
}

/// What is there from now on: all that is fixed, but parameters, which take their memory when they are written. What is small, with the parameters that
/// launches write, lies in one block, unless a host gives the memory and decides for itself. The block has huge pages where a tensor of less than two of them
/// may have none: a step goes through all weights and states, more pages than a core finds the places of. In it tensors are some lines apart, for the reason
/// that Tensor.cpp gives.
void CpuExecutable::placeKept() {
  constexpr size_t small = size_t{16} << 20, line = 64, apart = 5 * line;
  std::set<int> written;
  for (const auto* list : {&plan_.forward, &plan_.apply})
    for (const LaunchInfo& launch : *list)
      written.insert(launch.outputs.begin(), launch.outputs.end());
  std::vector<std::pair<size_t, size_t>> shared; // buffers, and where they begin
  size_t end = 0;
  for (size_t i = 0; i < plan_.buffers.size(); ++i) {
    const BufferInfo& buffer = plan_.buffers[i];
    if (!isFixed(buffer.kind))
      continue;
    size_t bytes = static_cast<size_t>(bytesOf(buffer, {}));
    bool isParameter = buffer.kind == BufferKind::Parameter, isSmall = bytes > 0 && bytes < small && !allocator_.allocate;
    if (isSmall && (!isParameter || written.contains(static_cast<int>(i)))) {
      shared.emplace_back(i, end);
      end += (bytes + line - 1) / line * line + apart;
    } else if (!isParameter) {
      tensors_[i] = memoryOf(buffer, shapeOf(buffer, {}));
    }
  }
  if (end > 0) {
    Tensor block = allocate(allocator_, DType::U8, {static_cast<int64_t>(end)}, Contents::Zeroed, "what is kept");
    auto owner = std::make_shared<Tensor>(block);
    for (auto [i, begin] : shared)
      tensors_[i] = Tensor::share(owner, static_cast<uint8_t*>(block.data()) + begin, shapeOf(plan_.buffers[i], {}), plan_.buffers[i].dtype);
  }
  for (size_t i = 0; i < plan_.buffers.size(); ++i)
    if (const BufferInfo& buffer = plan_.buffers[i]; tensors_[i].defined() && !buffer.data.empty())
      std::memcpy(tensors_[i].data(), buffer.data.data(), buffer.data.size());
}

/// What a buffer keeps for itself. Zeroed, as what packing leaves between rows is read.
Tensor CpuExecutable::memoryOf(const BufferInfo& buffer, Shape shape) const {
  return allocate(allocator_, buffer.dtype, std::move(shape), Contents::Zeroed, buffer.name);
}

void CpuExecutable::bind(const Bindings& bindings) {
  endLoans();
  if (bindings_ == bindings)
    return replaceTaken(bindings);
  ArenaLayout layout = layoutArena(plan_, bindings);
  std::vector<Shape> shapes(plan_.buffers.size());
  for (size_t i = 0; i < shapes.size(); ++i) {
    bytesOf(plan_.buffers[i], bindings);
    shapes[i] = shapeOf(plan_.buffers[i], bindings);
  }
  // From here on nothing refuses a size; what is left can only lack memory.
  bindings_.reset();
  forward_.clear();
  placeTemporaries(layout, bindings);
  for (size_t i = 0; i < shapes.size(); ++i) {
    const BufferInfo& buffer = plan_.buffers[i];
    if (buffer.kind == BufferKind::Input || buffer.kind == BufferKind::Output)
      if (!tensors_[i].defined() || tensors_[i].shape() != shapes[i] || isStillTaken(i)) {
        taken_.erase(i);
        tensors_[i] = Tensor();
        tensors_[i] = memoryOf(buffer, shapes[i]);
      }
  }
  forward_ = prepareAll(plan_.forward, bindings);
  bindings_ = bindings;
}

/// Whether somebody has an output that take() gave. When nobody has, all that was done with it has happened.
bool CpuExecutable::isStillTaken(size_t buffer) const {
  auto taken = taken_.find(buffer);
  if (taken == taken_.end())
    return false;
  // To count may be relaxed; to give a share back is not. A fence would do as well, but the thread sanitizer knows none.
  std::shared_ptr<Tensor> oneMore = taken->second;
  return oneMore.use_count() > 2;
}

/// What somebody still has stays as it is.
void CpuExecutable::replaceTaken(const Bindings& bindings) {
  for (size_t i = 0; i < tensors_.size(); ++i)
    if (isStillTaken(i)) {
      tensors_[i] = memoryOf(plan_.buffers[i], shapeOf(plan_.buffers[i], bindings));
      taken_.erase(i);
      pointTo(static_cast<int>(i), tensors_[i].data());
    }
}

/// The launches of the bound call find a buffer there.
void CpuExecutable::pointTo(int buffer, void* data) {
  for (Ready& ready : forward_) {
    auto place = ready.buffers.begin();
    for (const auto* list : {&ready.info->inputs, &ready.info->outputs, &ready.info->workspaces})
      for (int each : *list) {
        if (each == buffer)
          *place = data;
        ++place;
      }
  }
}

/// What apply uses has one size, so it needs no call's.
void CpuExecutable::bindApply() {
  placeTemporaries(layoutArena(plan_, {}, 0, static_cast<int>(plan_.forward.size())), {});
  apply_ = prepareAll(plan_.apply, {});
}

/// Those of the layout get their places. When the arena moves for it, nothing else is bound any more.
void CpuExecutable::placeTemporaries(const ArenaLayout& layout, const Bindings& bindings) {
  if (static_cast<int64_t>(arena_.bytes()) < layout.bytes || !arena_.data()) {
    bindings_.reset();
    forward_.clear();
    apply_.clear();
    for (size_t i = 0; i < tensors_.size(); ++i)
      if (plan_.buffers[i].kind == BufferKind::Temporary && plan_.buffers[i].firstLaunch >= 0)
        tensors_[i] = Tensor();
    arena_ = Tensor();
    arena_ = allocate(allocator_, DType::U8, {std::max<int64_t>(layout.bytes, 1)}, Contents::Any, "the temporaries of a call");
  }
  for (size_t i = 0; i < tensors_.size(); ++i)
    if (layout.offsets[i] >= 0)
      tensors_[i] = Tensor::borrow(static_cast<uint8_t*>(arena_.data()) + layout.offsets[i], shapeOf(plan_.buffers[i], bindings), plan_.buffers[i].dtype);
}

std::vector<CpuExecutable::Ready> CpuExecutable::prepareAll(const std::vector<LaunchInfo>& launches, const Bindings& bindings) {
  std::vector<Ready> ready;
  for (const LaunchInfo& launch : launches)
    ready.push_back(prepareLaunch(launch, bindings));
  return ready;
}

CpuExecutable::Ready CpuExecutable::prepareLaunch(const LaunchInfo& launch, const Bindings& bindings) {
  Ready ready{&launch, kernels_.at(launch.kernel).function(), {}, {}, {}, {}, {}};
  for (const auto* list : {&launch.inputs, &launch.outputs, &launch.workspaces})
    for (int buffer : *list)
      ready.buffers.push_back(tensorOf(buffer, "launch with").data());
  for (const Size& size : launch.sizes)
    ready.sizes.push_back(size.evaluate(bindings));
  for (const std::string& path : launch.streams)
    ready.streams.push_back(streamOf(path));
  for (const StageInfo& stage : launch.stages) {
    int64_t items = stage.items.evaluate(bindings);
    bool small = items <= 1 || stage.operations.evaluate(bindings) < kInlineOperations;
    ready.stages.push_back({items, !small && workers_->count() > 1});
  }
  auto buffer = [&](int number) -> const BufferInfo& { return plan_.buffers[static_cast<size_t>(number)]; };
  auto isKept = [&](int number) { return buffer(number).kind == BufferKind::Parameter || buffer(number).kind == BufferKind::State; };
  auto isRouting = [&](int number) { return buffer(number).isRouting; }; // then items take as long as their experts have rows: shares are uneven
  if (std::any_of(launch.outputs.begin(), launch.outputs.end(), isKept) && std::none_of(launch.inputs.begin(), launch.inputs.end(), isRouting))
    ready.taking = Workers::Taking::FromTheLate;
  growScratch(launch, bindings);
  return ready;
}

void CpuExecutable::growScratch(const LaunchInfo& launch, const Bindings& bindings) {
  int64_t wanted = 0;
  for (const StageInfo& stage : launch.stages)
    wanted = std::max(wanted, stage.scratchBytes.evaluate(bindings));
  if (wanted <= scratchStride_)
    return;
  if (wanted > (int64_t{1} << 48))
    throw Error(Fault::Data, fmt::format("{}: {} bytes of scratch", launch.label, wanted));
  int64_t stride = (wanted + kPage - 1) / kPage * kPage;
  scratchStride_ = 0;
  scratch_ = Tensor();
  scratch_ = allocate(allocator_, DType::U8, {workers_->count(), stride}, Contents::Any, "the scratch of the workers");
  scratchStride_ = stride;
}

Tensor& CpuExecutable::tensorOf(int buffer, const char* doing) {
  if (buffer < 0 || static_cast<size_t>(buffer) >= tensors_.size())
    throw Error(Fault::Internal, fmt::format("cannot {} buffer {} of {}", doing, buffer, tensors_.size()));
  Tensor& tensor = tensors_[static_cast<size_t>(buffer)];
  const BufferInfo& info = plan_.buffers[static_cast<size_t>(buffer)];
  if (!tensor.defined())
    throw Error(Fault::Internal, fmt::format("cannot {} {}: it has no memory (not bound, or released)", doing, info.name));
  return tensor;
}

void CpuExecutable::write(int buffer, const Tensor& tensor) {
  if (buffer >= 0 && static_cast<size_t>(buffer) < tensors_.size()) {
    const BufferInfo& info = plan_.buffers[static_cast<size_t>(buffer)];
    Tensor& absent = tensors_[static_cast<size_t>(buffer)]; // not written yet, or released
    if (info.kind == BufferKind::Parameter && !absent.defined())
      absent = memoryOf(info, shapeOf(info, {}));
  }
  Tensor& to = tensorOf(buffer, "write");
  checkFits(tensor, to, buffer);
  if (lent_.erase(buffer))
    pointTo(buffer, to.data());
  if (to.bytes() > 0)
    std::memcpy(to.data(), tensor.data(), to.bytes());
}

Tensor CpuExecutable::read(int buffer) const {
  auto lent = lent_.find(buffer);
  const Tensor& from = lent != lent_.end() ? lent->second : const_cast<CpuExecutable*>(this)->tensorOf(buffer, "read");
  return clone(allocator_, from, plan_.buffers[static_cast<size_t>(buffer)].name);
}

/// Less than a page is copied rather than every launch told of it. So is memory that does not begin with a cache line: what is read again and again would lie
/// across lines.
void CpuExecutable::lend(int buffer, const Tensor& tensor) {
  constexpr uintptr_t line = 64;
  if (tensor.bytes() < static_cast<size_t>(kPage) || reinterpret_cast<uintptr_t>(tensor.data()) % line != 0)
    return write(buffer, tensor);
  const Tensor& own = tensorOf(buffer, "lend");
  checkFits(tensor, own, buffer);
  lent_[buffer] = tensor.reshaped(own.shape());
  pointTo(buffer, tensor.data());
}

void CpuExecutable::endLoans() {
  for (const auto& [buffer, lent] : lent_)
    pointTo(buffer, tensors_[static_cast<size_t>(buffer)].data());
  lent_.clear();
}

Tensor CpuExecutable::take(int buffer) {
  const Tensor& from = tensorOf(buffer, "read");
  if (plan_.buffers[static_cast<size_t>(buffer)].kind != BufferKind::Output)
    return read(buffer);
  std::shared_ptr<Tensor>& owner = taken_[static_cast<size_t>(buffer)];
  if (owner && owner.use_count() > 1)
    return read(buffer); // one result by a second name
  if (!owner)
    owner = std::make_shared<Tensor>(from);
  return Tensor::share(owner, from.data(), from.shape(), from.dtype());
}

void CpuExecutable::checkFits(const Tensor& tensor, const Tensor& memory, int buffer) const {
  if (memory.dtype() != tensor.dtype() || memory.elements() != tensor.elements())
    throw Error(Fault::Internal, fmt::format("{} is written to {} of {}", describe(tensor), plan_.buffers[static_cast<size_t>(buffer)].name, describe(memory)));
}

void CpuExecutable::launch(LaunchList list, int index, const CallScalars& scalars) {
  const auto& infos = plan_.launches(list);
  if (list == LaunchList::Apply && apply_.empty() && !infos.empty())
    bindApply();
  size_t ready = list == LaunchList::Forward ? forward_.size() : infos.size();
  if (index < 0 || static_cast<size_t>(index) >= ready)
    throw Error(Fault::Internal, fmt::format("launch {} of {}{}", index, infos.size(), bindings_ ? "" : ", and no sizes are bound"));
  if (list != LaunchList::Prepare)
    return run((list == LaunchList::Forward ? forward_ : apply_)[static_cast<size_t>(index)], scalars);
  const LaunchInfo& launch = plan_.prepare[static_cast<size_t>(index)];
  // Temporaries that only prepare launches use have memory of their own.
  for (const auto* buffers : {&launch.inputs, &launch.outputs, &launch.workspaces})
    for (int buffer : *buffers) {
      const BufferInfo& info = plan_.buffers[static_cast<size_t>(buffer)];
      Tensor& tensor = tensors_[static_cast<size_t>(buffer)];
      if (info.kind == BufferKind::Temporary && !tensor.defined())
        tensor = memoryOf(info, shapeOf(info, {}));
    }
  run(prepareLaunch(launch, {}), scalars);
}

void CpuExecutable::run(const Ready& ready, const CallScalars& scalars) {
  KernelCall call{ready.buffers.data(), ready.sizes.data(), ready.streams.data(), scalars.seed, scalars.step};
  auto* scratch = static_cast<uint8_t*>(scratch_.data());
  for (size_t stage = 0; stage < ready.stages.size(); ++stage) {
    int64_t items = ready.stages[stage].items;
    if (items <= 0)
      continue;
    // All that workers need is in it: another core's lines are read one behind the other.
    auto work = [this, call, info = ready.info, function = ready.function, scratch, stage](int worker, int64_t begin, int64_t end) {
      Trace::Span span(trace_.get(), info->kernel, "stage");
      if (span)
        span.add("layer", info->label).add("stage", static_cast<int64_t>(stage)).add("items", end - begin).add("first_item", begin);
      function(&call, static_cast<int64_t>(stage), begin, end, scratch + worker * scratchStride_);
    };
    if (ready.stages[stage].onThreads)
      workers_->run(items, std::ref(work), ready.taking);
    else
      Workers::runInline(items, std::ref(work));
  }
}

void CpuExecutable::releaseUnusedParameters() {
  for (int unused : plan_.unusedParameters())
    tensors_[static_cast<size_t>(unused)] = Tensor();
}

} // namespace moec
