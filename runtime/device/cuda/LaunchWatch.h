#pragma once
// What an emulated GPU is told and asked beyond the driver's table: where buffers lie, and what a launch did wrong. A real GPU has no watch.
// Knows neither plans nor the emulator.

#include "runtime/device/cuda/DriverTable.h"

#include <functional>
#include <string>
#include <vector>

namespace moec::cuda {

/// A mistake of a kernel that a GPU dies of, or lets pass in silence.
struct LaunchFinding {
  std::string text; // kernel, place, what was found and what was allowed
  std::string file; // as the image names its CUDA text; empty: not known
  int line = 0;
};

class LaunchWatch {
public:
  virtual ~LaunchWatch() = default;
  /// [pointer, pointer + bytes) is a buffer of its own from here on, and nothing in it has been written.
  virtual void beginBuffer(DevicePtr pointer, size_t bytes, const std::string& name) = 0;
  /// What lies in such a buffer may be read from now on, and is no number: a result that depends on it shows it.
  virtual void fillWithNan(DevicePtr pointer, size_t bytes) = 0;
  virtual void endBuffer(DevicePtr pointer) = 0;
  /// Calls `launch`. What it did wrong is appended to `findings`; `problem` says in words why it failed.
  virtual Result launch(const std::function<Result()>& launch, std::vector<LaunchFinding>& findings, std::string& problem) = 0;
  /// In words, why the last call that failed did so.
  virtual std::string lastError() const = 0;
};

} // namespace moec::cuda
