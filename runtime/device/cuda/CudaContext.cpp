#include "runtime/device/cuda/CudaContext.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <utility>

namespace moec {

CudaContext::CudaContext(CudaPlace place) : place_(std::move(place)) {
  check(table().init(0), "start the driver");
  int count = 0;
  check(table().deviceGetCount(&count), "count the GPUs");
  if (place_.ordinal < 0 || place_.ordinal >= count)
    throw Error(Fault::Device, count == 0 ? fmt::format("{}: this machine has no NVIDIA GPU; without one use ptx-emulator:sm_90a", name())
                                          : fmt::format("{}: this machine has {} GPU{}, the last is cuda:{}", name(), count, count == 1 ? "" : "s", count - 1));
  check(table().deviceGet(&device_, place_.ordinal), "open the GPU");
  char chip[256] = {};
  check(table().deviceGetName(chip, sizeof chip - 1, device_), "ask its name");
  chip_ = chip;
  major_ = attribute(cuda::kComputeCapabilityMajor);
  minor_ = attribute(cuda::kComputeCapabilityMinor);
  multiprocessors_ = attribute(cuda::kMultiprocessorCount);
  check(table().deviceTotalMem(&memoryBytes_, device_), "ask for its memory");
  check(table().primaryContextRetain(&context_, device_), "make a context");
}

CudaContext::~CudaContext() { table().primaryContextRelease(device_); }

int CudaContext::attribute(int which) const {
  int value = 0;
  check(table().deviceGetAttribute(&value, which, device_), "ask for its limits");
  return value;
}

std::string CudaContext::describe(cuda::Result result) const {
  const char *word = nullptr, *text = nullptr;
  table().getErrorName(result, &word);
  table().getErrorString(result, &text);
  std::string why = watch() ? watch()->lastError() : text ? text : "";
  return fmt::format("{}{}{}", word ? word : fmt::format("CUDA error {}", result), why.empty() ? "" : ": ", why);
}

void CudaContext::check(cuda::Result result, std::string_view doing) const {
  if (result != cuda::kSuccess)
    throw Error(Fault::Device, fmt::format("{}: cannot {}: {}", name(), doing, describe(result)));
}

CudaContext::Current::Current(const CudaContext& context) : context_(context) {
  context.table().contextGetCurrent(&before_);
  if (before_ != context.context_)
    context.check(context.table().contextSetCurrent(context.context_), "make the context current");
}

CudaContext::Current::Current(const CudaContext& context, std::nothrow_t) noexcept : context_(context) {
  context.table().contextGetCurrent(&before_);
  if (before_ != context.context_)
    context.table().contextSetCurrent(context.context_);
}

CudaContext::Current::~Current() {
  if (before_ != context_.context_)
    context_.table().contextSetCurrent(before_);
}

DeviceMemory::DeviceMemory(std::shared_ptr<const CudaContext> context, size_t bytes, const std::string& what) : context_(std::move(context)), bytes_(bytes) {
  if (!bytes)
    return;
  CudaContext::Current current(*context_);
  context_->check(context_->table().memoryAllocate(&pointer_, bytes), fmt::format("take {} bytes for {}", bytes, what));
}

void DeviceMemory::reset() noexcept {
  if (pointer_) {
    CudaContext::Current current(*context_, std::nothrow);
    context_->table().memoryFree(pointer_); // waits for what still uses it
  }
  context_.reset();
  pointer_ = 0;
  bytes_ = 0;
}

void DeviceMemory::swap(DeviceMemory& other) noexcept {
  std::swap(context_, other.context_);
  std::swap(pointer_, other.pointer_);
  std::swap(bytes_, other.bytes_);
}

PinnedMemory::PinnedMemory(std::shared_ptr<const CudaContext> context, size_t bytes) : context_(std::move(context)), bytes_(bytes) {
  CudaContext::Current current(*context_);
  context_->check(context_->table().hostAllocate(&data_, bytes, 0), fmt::format("take {} bytes of pinned host memory", bytes));
}

PinnedMemory::~PinnedMemory() {
  if (!data_)
    return;
  CudaContext::Current current(*context_, std::nothrow);
  context_->table().hostFree(data_);
}

void PinnedMemory::swap(PinnedMemory& other) noexcept {
  std::swap(context_, other.context_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
}

CudaStream::CudaStream(std::shared_ptr<const CudaContext> context) : context_(std::move(context)) {
  constexpr unsigned kNonBlocking = 1; // ordered with nothing but itself
  CudaContext::Current current(*context_);
  context_->check(context_->table().streamCreate(&stream_, kNonBlocking), "make a stream");
}

CudaStream::~CudaStream() {
  CudaContext::Current current(*context_, std::nothrow);
  context_->table().streamSynchronize(stream_); // pinned memory is about to go
  context_->table().streamDestroy(stream_);
}

void CudaStream::finish(const std::string& doing) const { context_->check(context_->table().streamSynchronize(stream_), doing); }

} // namespace moec
