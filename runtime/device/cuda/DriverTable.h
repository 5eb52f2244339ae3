#pragma once
// The CUDA driver as lists of functions: those that moec calls, and others that users of the emulator may. Prototypes are our own, so no CUDA header is needed.
// Expanded into the struct `DriverTable`; its two fillings are the driver (Driver.h) and the PTX emulator (runtime/emulator).
// Knows nothing of moec.

#include <cstddef>
#include <cstdint>

namespace moec::cuda {

using Result = int; // CUresult
using Device = int;
using DevicePtr = unsigned long long;
using Context = struct CUctx_st*;
using Module = struct CUmod_st*;
using Function = struct CUfunc_st*;
using Stream = struct CUstream_st*;
using Event = struct CUevent_st*;

/// Values of CUresult that moec tells apart.
enum : Result {
  kSuccess = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kNotInitialized = 3,
  kNoDevice = 100,
  kInvalidDevice = 101,
  kInvalidImage = 200,
  kInvalidContext = 201,
  kNoBinaryForGpu = 209,
  kInvalidPtx = 218,
  kInvalidHandle = 400,
  kNotFound = 500,
  kNotReady = 600,
  kIllegalAddress = 700,
  kOutOfResources = 701,
  kMisalignedAddress = 716,
  kLaunchFailed = 719,
  kNotSupported = 801,
};

/// CUdevice_attribute
enum DeviceAttribute : int {
  kMaxThreadsPerBlock = 1,
  kMaxBlockDimX = 2,
  kMaxBlockDimY = 3,
  kMaxBlockDimZ = 4,
  kMaxGridDimX = 5,
  kMaxGridDimY = 6,
  kMaxGridDimZ = 7,
  kMaxSharedMemoryPerBlock = 8,
  kWarpSize = 10,
  kMaxRegistersPerBlock = 12,
  kClockRateKHz = 13,
  kMultiprocessorCount = 16,
  kL2CacheSize = 38,
  kMemoryClockRateKHz = 36,
  kMemoryBusWidth = 37,
  kMaxThreadsPerMultiprocessor = 39,
  kComputeCapabilityMajor = 75,
  kComputeCapabilityMinor = 76,
  kMaxSharedMemoryPerMultiprocessor = 81,
  kMaxSharedMemoryPerBlockOptin = 97,
};

/// CUfunction_attribute
enum FunctionAttribute : int {
  kFunctionMaxThreadsPerBlock = 0,
  kFunctionSharedBytes = 1,
  kFunctionConstBytes = 2,
  kFunctionLocalBytes = 3,
  kFunctionRegisters = 4,
  kFunctionPtxVersion = 5,
  kFunctionBinaryVersion = 6,
  kFunctionMaxDynamicSharedBytes = 8,
  kFunctionPreferredSharedCarveout = 9,
};

/// CUjit_option: those that cuModuleLoadDataEx is given.
enum JitOption : int {
  kJitInfoLogBuffer = 3,
  kJitInfoLogBufferBytes = 4,
  kJitErrorLogBuffer = 5,
  kJitErrorLogBufferBytes = 6,
};

/// CUlaunchConfig. Attributes (clusters and the like) are 64 bytes each; none is used yet.
struct LaunchConfig {
  unsigned gridX, gridY, gridZ;
  unsigned blockX, blockY, blockZ;
  unsigned sharedBytes;
  Stream stream;
  void* attributes;
  unsigned attributeCount;
};

// X(member, exported symbol, parameters)
#define MOEC_CUDA_DRIVER_FUNCTIONS(X)                                                                                                                  \
  X(init, cuInit, (unsigned flags))                                                                                                                    \
  X(driverGetVersion, cuDriverGetVersion, (int* version))                                                                                              \
  X(getErrorName, cuGetErrorName, (Result error, const char** name))                                                                                   \
  X(getErrorString, cuGetErrorString, (Result error, const char** text))                                                                               \
  X(deviceGetCount, cuDeviceGetCount, (int* count))                                                                                                    \
  X(deviceGet, cuDeviceGet, (Device * device, int ordinal))                                                                                            \
  X(deviceGetName, cuDeviceGetName, (char* name, int length, Device device))                                                                           \
  X(deviceGetAttribute, cuDeviceGetAttribute, (int* value, int attribute, Device device))                                                              \
  X(deviceTotalMem, cuDeviceTotalMem_v2, (size_t* bytes, Device device))                                                                               \
  X(primaryContextRetain, cuDevicePrimaryCtxRetain, (Context * context, Device device))                                                                \
  X(primaryContextRelease, cuDevicePrimaryCtxRelease_v2, (Device device))                                                                              \
  X(contextSetCurrent, cuCtxSetCurrent, (Context context))                                                                                             \
  X(contextGetCurrent, cuCtxGetCurrent, (Context * context))                                                                                           \
  X(contextSynchronize, cuCtxSynchronize, ())                                                                                                          \
  X(moduleLoadData, cuModuleLoadDataEx, (Module * module, const void* image, unsigned optionCount, int* options, void** values))                       \
  X(moduleUnload, cuModuleUnload, (Module module))                                                                                                     \
  X(moduleGetFunction, cuModuleGetFunction, (Function * function, Module module, const char* name))                                                    \
  X(functionGetAttribute, cuFuncGetAttribute, (int* value, int attribute, Function function))                                                          \
  X(functionSetAttribute, cuFuncSetAttribute, (Function function, int attribute, int value))                                                           \
  X(occupancyMaxActiveBlocks, cuOccupancyMaxActiveBlocksPerMultiprocessor, (int* blocks, Function function, int blockSize, size_t dynamicSharedBytes)) \
  X(memoryAllocate, cuMemAlloc_v2, (DevicePtr * pointer, size_t bytes))                                                                                \
  X(memoryFree, cuMemFree_v2, (DevicePtr pointer))                                                                                                     \
  X(hostAllocate, cuMemHostAlloc, (void** pointer, size_t bytes, unsigned flags))                                                                      \
  X(hostFree, cuMemFreeHost, (void* pointer))                                                                                                          \
  X(copyToDevice, cuMemcpyHtoD_v2, (DevicePtr target, const void* source, size_t bytes))                                                               \
  X(copyToHost, cuMemcpyDtoH_v2, (void* target, DevicePtr source, size_t bytes))                                                                       \
  X(copyToDeviceAsync, cuMemcpyHtoDAsync_v2, (DevicePtr target, const void* source, size_t bytes, Stream stream))                                      \
  X(copyToHostAsync, cuMemcpyDtoHAsync_v2, (void* target, DevicePtr source, size_t bytes, Stream stream))                                              \
  X(setBytes, cuMemsetD8_v2, (DevicePtr target, unsigned char value, size_t bytes))                                                                    \
  X(streamCreate, cuStreamCreate, (Stream * stream, unsigned flags))                                                                                   \
  X(streamDestroy, cuStreamDestroy_v2, (Stream stream))                                                                                                \
  X(streamSynchronize, cuStreamSynchronize, (Stream stream))                                                                                           \
  X(eventCreate, cuEventCreate, (Event * event, unsigned flags))                                                                                       \
  X(eventDestroy, cuEventDestroy_v2, (Event event))                                                                                                    \
  X(eventRecord, cuEventRecord, (Event event, Stream stream))                                                                                          \
  X(eventSynchronize, cuEventSynchronize, (Event event))                                                                                               \
  X(eventElapsedTime, cuEventElapsedTime, (float* milliseconds, Event start, Event end))                                                               \
  X(launchKernel, cuLaunchKernel,                                                                                                                      \
    (Function function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY, unsigned blockZ, unsigned sharedBytes,       \
     Stream stream, void** parameters, void** extra))

// What moec does not call, but other users of the emulator may. Where a driver lacks one, its member is null.
#define MOEC_CUDA_FURTHER_FUNCTIONS(X)                                                                            \
  X(moduleGetGlobal, cuModuleGetGlobal_v2, (DevicePtr * pointer, size_t* bytes, Module module, const char* name)) \
  X(memoryGetInfo, cuMemGetInfo_v2, (size_t* free, size_t* total))                                                \
  X(copyOnDeviceAsync, cuMemcpyDtoDAsync_v2, (DevicePtr target, DevicePtr source, size_t bytes, Stream stream))   \
  X(setBytesAsync, cuMemsetD8Async, (DevicePtr target, unsigned char value, size_t bytes, Stream stream))         \
  X(streamQuery, cuStreamQuery, (Stream stream))                                                                  \
  X(streamWaitEvent, cuStreamWaitEvent, (Stream stream, Event event, unsigned flags))                             \
  X(eventQuery, cuEventQuery, (Event event))                                                                      \
  X(launchKernelEx, cuLaunchKernelEx, (const LaunchConfig* config, Function function, void** parameters, void** extra))

struct DriverTable {
#define MOEC_MEMBER(member, symbol, parameters) Result(*member) parameters = nullptr;
  MOEC_CUDA_DRIVER_FUNCTIONS(MOEC_MEMBER)
  MOEC_CUDA_FURTHER_FUNCTIONS(MOEC_MEMBER)
#undef MOEC_MEMBER
};

} // namespace moec::cuda
