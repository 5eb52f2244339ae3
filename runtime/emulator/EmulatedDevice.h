#pragma once
// One emulated GPU: the functions of the driver table over the emulator's memory, modules and launches. Every method is named after the
// member of the table it stands behind.

#include "runtime/emulator/Emulator.h"
#include "runtime/emulator/machine/Warp.h"

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <set>

namespace moec::emulator {

/// What a GPU of a target has.
struct TargetLimits {
  const char* name;
  const char* device;
  int major, minor;
  bool specific; // sm_90a and the like: runs PTX made for exactly this target too
  int multiprocessors, threadsPerMultiprocessor;
  int sharedPerBlock, sharedPerBlockOptin, sharedPerMultiprocessor;
};

class EmulatedDevice final : public Emulator {
public:
  explicit EmulatedDevice(const TargetLimits& limits);
  ~EmulatedDevice() override;

  const cuda::DriverTable& table() override { return table_; }
  void setOptions(const Options& options) override;
  Options options() const override;
  void registerBuffer(cuda::DevicePtr pointer, size_t bytes, const std::string& name) override;
  void unregisterBuffer(cuda::DevicePtr pointer) override;
  std::vector<Finding> findings() const override;
  void clearFindings() override;
  std::vector<KernelCounters> counters() const override;
  void resetCounters() override;
  std::string lastError() const override;
  void setTable(const cuda::DriverTable& table) { table_ = table; }
  cuda::Result fail(cuda::Result code, const std::string& message);

  using Result = cuda::Result;
  using Device = cuda::Device;
  using DevicePtr = cuda::DevicePtr;
  using Context = cuda::Context;
  using Module = cuda::Module;
  using Function = cuda::Function;
  using Stream = cuda::Stream;
  using Event = cuda::Event;
  using LaunchConfig = cuda::LaunchConfig;
#define MOEC_METHOD(member, symbol, parameters) cuda::Result member parameters;
  MOEC_CUDA_DRIVER_FUNCTIONS(MOEC_METHOD)
  MOEC_CUDA_FURTHER_FUNCTIONS(MOEC_METHOD)
#undef MOEC_METHOD

private:
  struct LoadedFunction;
  struct LoadedModule;
  struct RecordedEvent {
    std::chrono::steady_clock::time_point when;
    bool recorded = false;
  };
  struct Sums; // counters of one kernel

  cuda::Result load(LoadedModule& module, const std::string& text);
  void placeVariables(LoadedModule& module);
  cuda::Result checkCopy(cuda::DevicePtr pointer, size_t bytes, const char* what);
  cuda::Result checkLaunch(const LoadedFunction& function, const uint32_t (&grid)[3], const uint32_t (&block)[3], uint32_t sharedBytes);
  cuda::Result launch(LoadedFunction& function, const uint32_t (&grid)[3], const uint32_t (&block)[3], uint32_t sharedBytes, void** parameters);
  cuda::Result collect(Launch& launch);
  void count(const Launch& launch);
  LoadedFunction* functionOf(cuda::Function handle);

  TargetLimits limits_;
  cuda::DriverTable table_;
  mutable std::recursive_mutex mutex_; // everything the device does is done one after the other
  Options options_;
  Memory memory_;
  uint32_t epoch_ = 0;
  std::vector<std::unique_ptr<LoadedModule>> modules_;
  std::set<RecordedEvent*> events_;
  std::set<void*> hostBlocks_;
  uintptr_t streams_ = 0;
  std::map<std::string, Finding> findings_;
  std::map<std::string, Sums> sums_;
  std::vector<Worker> workers_;
  std::string lastError_;
  cuda::Context current_ = nullptr;
};

} // namespace moec::emulator
