// The parts of the driver that are not modules and launches: device, memory, streams, events. Everything is done at once, so a stream is
// always idle.

#include "runtime/emulator/EmulatedDevice.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>

namespace moec::emulator {

using cuda::Result;

namespace {
struct ErrorName {
  Result code;
  const char *name, *text;
};
constexpr ErrorName kErrors[] = {
    {cuda::kSuccess, "CUDA_SUCCESS", "no error"},
    {cuda::kInvalidValue, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {cuda::kOutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {cuda::kNotInitialized, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {cuda::kNoDevice, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {cuda::kInvalidDevice, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {cuda::kInvalidImage, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {cuda::kInvalidContext, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {cuda::kNoBinaryForGpu, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {cuda::kInvalidPtx, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {cuda::kInvalidHandle, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {cuda::kNotFound, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {cuda::kNotReady, "CUDA_ERROR_NOT_READY", "device not ready"},
    {cuda::kIllegalAddress, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {cuda::kOutOfResources, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {cuda::kMisalignedAddress, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {cuda::kLaunchFailed, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {cuda::kNotSupported, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
};
} // namespace

Result EmulatedDevice::init(unsigned flags) { return flags ? fail(cuda::kInvalidValue, "cuInit takes 0") : Result(cuda::kSuccess); }
Result EmulatedDevice::driverGetVersion(int* version) {
  *version = 13000;
  return cuda::kSuccess;
}
Result EmulatedDevice::getErrorName(Result error, const char** name) {
  for (const ErrorName& known : kErrors)
    if (known.code == error) {
      *name = known.name;
      return cuda::kSuccess;
    }
  *name = nullptr;
  return cuda::kInvalidValue;
}
Result EmulatedDevice::getErrorString(Result error, const char** text) {
  for (const ErrorName& known : kErrors)
    if (known.code == error) {
      *text = known.text;
      return cuda::kSuccess;
    }
  *text = nullptr;
  return cuda::kInvalidValue;
}

Result EmulatedDevice::deviceGetCount(int* count) {
  *count = 1;
  return cuda::kSuccess;
}
Result EmulatedDevice::deviceGet(cuda::Device* device, int ordinal) {
  if (ordinal != 0)
    return fail(cuda::kInvalidDevice, "an emulator is one device, number 0");
  *device = 0;
  return cuda::kSuccess;
}
Result EmulatedDevice::deviceGetName(char* name, int length, cuda::Device) {
  if (length > 0) {
    std::strncpy(name, limits_.device, size_t(length) - 1);
    name[length - 1] = '\0';
  }
  return cuda::kSuccess;
}
Result EmulatedDevice::deviceGetAttribute(int* value, int attribute, cuda::Device) {
  switch (attribute) {
  case cuda::kMaxThreadsPerBlock:
  case cuda::kMaxBlockDimX:
  case cuda::kMaxBlockDimY:
    *value = 1024;
    break;
  case cuda::kMaxBlockDimZ:
    *value = 64;
    break;
  case cuda::kMaxGridDimX:
    *value = 0x7fffffff;
    break;
  case cuda::kMaxGridDimY:
  case cuda::kMaxGridDimZ:
    *value = 65535;
    break;
  case cuda::kMaxSharedMemoryPerBlock:
    *value = limits_.sharedPerBlock;
    break;
  case cuda::kWarpSize:
    *value = 32;
    break;
  case cuda::kMaxRegistersPerBlock:
    *value = 65536;
    break;
  case cuda::kMultiprocessorCount:
    *value = limits_.multiprocessors;
    break;
  case cuda::kMaxThreadsPerMultiprocessor:
    *value = limits_.threadsPerMultiprocessor;
    break;
  case cuda::kComputeCapabilityMajor:
    *value = limits_.major;
    break;
  case cuda::kComputeCapabilityMinor:
    *value = limits_.minor;
    break;
  case cuda::kMaxSharedMemoryPerMultiprocessor:
    *value = limits_.sharedPerMultiprocessor;
    break;
  case cuda::kMaxSharedMemoryPerBlockOptin:
    *value = limits_.sharedPerBlockOptin;
    break;
  default:
    return fail(cuda::kNotSupported, fmt::format("device attribute {} has no meaning for an emulator", attribute));
  }
  return cuda::kSuccess;
}
Result EmulatedDevice::deviceTotalMem(size_t* bytes, cuda::Device) {
  *bytes = memory_.capacity();
  return cuda::kSuccess;
}

Result EmulatedDevice::primaryContextRetain(cuda::Context* context, cuda::Device) {
  *context = reinterpret_cast<cuda::Context>(this);
  return cuda::kSuccess;
}
Result EmulatedDevice::primaryContextRelease(cuda::Device) { return cuda::kSuccess; }
Result EmulatedDevice::contextSetCurrent(cuda::Context context) {
  std::lock_guard lock(mutex_);
  if (context && context != reinterpret_cast<cuda::Context>(this))
    return fail(cuda::kInvalidContext, "the context belongs to another device");
  current_ = context;
  return cuda::kSuccess;
}
Result EmulatedDevice::contextGetCurrent(cuda::Context* context) {
  std::lock_guard lock(mutex_);
  *context = current_;
  return cuda::kSuccess;
}
Result EmulatedDevice::contextSynchronize() { return cuda::kSuccess; }

Result EmulatedDevice::memoryGetInfo(size_t* free, size_t* total) {
  std::lock_guard lock(mutex_);
  *total = memory_.capacity();
  *free = memory_.capacity() - memory_.used();
  return cuda::kSuccess;
}
Result EmulatedDevice::memoryAllocate(cuda::DevicePtr* pointer, size_t bytes) {
  std::lock_guard lock(mutex_);
  if (!bytes)
    return fail(cuda::kInvalidValue, "an allocation of no bytes");
  *pointer = memory_.allocate(bytes, fmt::format("allocation of {} bytes", bytes));
  return *pointer ? Result(cuda::kSuccess)
                  : fail(cuda::kOutOfMemory, fmt::format("{} bytes do not fit, {} of {} are in use", bytes, memory_.used(), memory_.capacity()));
}
Result EmulatedDevice::memoryFree(cuda::DevicePtr pointer) {
  std::lock_guard lock(mutex_);
  return !pointer || memory_.release(pointer) ? Result(cuda::kSuccess) : fail(cuda::kInvalidValue, fmt::format("{:#x} is no allocation", pointer));
}
Result EmulatedDevice::hostAllocate(void** pointer, size_t bytes, unsigned) {
  std::lock_guard lock(mutex_);
  *pointer = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!*pointer)
    return fail(cuda::kOutOfMemory, "the host is out of memory");
  hostBlocks_.insert(*pointer);
  return cuda::kSuccess;
}
Result EmulatedDevice::hostFree(void* pointer) {
  std::lock_guard lock(mutex_);
  if (!hostBlocks_.erase(pointer))
    return fail(cuda::kInvalidValue, "no such host allocation");
  std::free(pointer);
  return cuda::kSuccess;
}

Result EmulatedDevice::checkCopy(cuda::DevicePtr pointer, size_t bytes, const char* what) {
  if (bytes && !memory_.covers(pointer, bytes))
    return fail(cuda::kInvalidValue, fmt::format("{} of {} bytes at {:#x}: {}", what, bytes, pointer, memory_.describe(pointer ? pointer + bytes - 1 : 0)));
  return cuda::kSuccess;
}
Result EmulatedDevice::copyToDevice(cuda::DevicePtr target, const void* source, size_t bytes) {
  std::lock_guard lock(mutex_);
  if (Result result = checkCopy(target, bytes, "copy to the device"); result != cuda::kSuccess || !bytes)
    return result;
  std::memcpy(memory_.host(target), source, bytes);
  memory_.setWritten(target, bytes, true);
  return cuda::kSuccess;
}
Result EmulatedDevice::copyToHost(void* target, cuda::DevicePtr source, size_t bytes) {
  std::lock_guard lock(mutex_);
  if (Result result = checkCopy(source, bytes, "copy to the host"); result != cuda::kSuccess || !bytes)
    return result;
  std::memcpy(target, memory_.host(source), bytes);
  return cuda::kSuccess;
}
Result EmulatedDevice::copyToDeviceAsync(cuda::DevicePtr target, const void* source, size_t bytes, cuda::Stream) { return copyToDevice(target, source, bytes); }
Result EmulatedDevice::copyToHostAsync(void* target, cuda::DevicePtr source, size_t bytes, cuda::Stream) { return copyToHost(target, source, bytes); }
Result EmulatedDevice::copyOnDeviceAsync(cuda::DevicePtr target, cuda::DevicePtr source, size_t bytes, cuda::Stream) {
  std::lock_guard lock(mutex_);
  if (Result result = checkCopy(target, bytes, "copy on the device"); result != cuda::kSuccess)
    return result;
  if (Result result = checkCopy(source, bytes, "copy on the device"); result != cuda::kSuccess || !bytes)
    return result;
  std::memmove(memory_.host(target), memory_.host(source), bytes);
  std::memmove(memory_.written(target), memory_.written(source), bytes);
  return cuda::kSuccess;
}
Result EmulatedDevice::setBytes(cuda::DevicePtr target, unsigned char value, size_t bytes) {
  std::lock_guard lock(mutex_);
  if (Result result = checkCopy(target, bytes, "fill"); result != cuda::kSuccess || !bytes)
    return result;
  std::memset(memory_.host(target), value, bytes);
  memory_.setWritten(target, bytes, true);
  return cuda::kSuccess;
}
Result EmulatedDevice::setBytesAsync(cuda::DevicePtr target, unsigned char value, size_t bytes, cuda::Stream) { return setBytes(target, value, bytes); }

Result EmulatedDevice::streamCreate(cuda::Stream* stream, unsigned) {
  std::lock_guard lock(mutex_);
  *stream = reinterpret_cast<cuda::Stream>(++streams_ * 16);
  return cuda::kSuccess;
}
Result EmulatedDevice::streamDestroy(cuda::Stream) { return cuda::kSuccess; }
Result EmulatedDevice::streamSynchronize(cuda::Stream) { return cuda::kSuccess; }
Result EmulatedDevice::streamQuery(cuda::Stream) { return cuda::kSuccess; }
Result EmulatedDevice::streamWaitEvent(cuda::Stream, cuda::Event, unsigned) { return cuda::kSuccess; }

Result EmulatedDevice::eventCreate(cuda::Event* event, unsigned) {
  std::lock_guard lock(mutex_);
  auto* made = new RecordedEvent();
  events_.insert(made);
  *event = reinterpret_cast<cuda::Event>(made);
  return cuda::kSuccess;
}
Result EmulatedDevice::eventDestroy(cuda::Event event) {
  std::lock_guard lock(mutex_);
  auto* known = reinterpret_cast<RecordedEvent*>(event);
  if (!events_.erase(known))
    return fail(cuda::kInvalidHandle, "no such event");
  delete known;
  return cuda::kSuccess;
}
Result EmulatedDevice::eventRecord(cuda::Event event, cuda::Stream) {
  std::lock_guard lock(mutex_);
  auto* known = reinterpret_cast<RecordedEvent*>(event);
  if (!events_.count(known))
    return fail(cuda::kInvalidHandle, "no such event");
  known->when = std::chrono::steady_clock::now();
  known->recorded = true;
  return cuda::kSuccess;
}
Result EmulatedDevice::eventSynchronize(cuda::Event) { return cuda::kSuccess; }
Result EmulatedDevice::eventQuery(cuda::Event) { return cuda::kSuccess; }
/// Time the emulation took: says nothing of a GPU.
Result EmulatedDevice::eventElapsedTime(float* milliseconds, cuda::Event start, cuda::Event end) {
  std::lock_guard lock(mutex_);
  auto *from = reinterpret_cast<RecordedEvent*>(start), *to = reinterpret_cast<RecordedEvent*>(end);
  if (!events_.count(from) || !events_.count(to) || !from->recorded || !to->recorded)
    return fail(cuda::kInvalidHandle, "an event was not recorded");
  *milliseconds = std::chrono::duration<float, std::milli>(to->when - from->when).count();
  return cuda::kSuccess;
}

} // namespace moec::emulator
