#pragma once
// The two interfaces between a session and what runs launches: Device (a place to run) and Executable (one program on it).

#include "runtime/core/Program.h"
#include "runtime/core/Trace.h"
#include "runtime/device/Host.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace moec {

/// Scalars of a call.
struct CallScalars {
  uint64_t seed = 0;
  uint32_t step = 0;
};

/// One program on one device. Belongs to one thread. Buffers are the plan's, by index.
/// Order of calls: write() the parameters, launch() every Prepare launch, then per call: bind(), write() or lend() the inputs,
/// launch() every Forward launch in order, read() or take() the outputs. Of a plan for training: write() the parameters and states, then calls of both lists;
/// those of Apply need no bind().
class Executable {
public:
  virtual ~Executable() = default;
  virtual const Plan& plan() const = 0;
  /// Gives the symbols values; lays out temporaries. Contents of temporaries and outputs become undefined when a value changed.
  virtual void bind(const Bindings& bindings) = 0;
  /// Copies a whole buffer in. The tensor's dtype and element count match the bound buffer (Error(Internal)).
  virtual void write(int buffer, const Tensor& tensor) = 0;
  /// Copies a whole buffer out, in its bound shape. Temporaries hold what the last launch that wrote their memory left.
  virtual Tensor read(int buffer) const = 0;
  /// write() of an input of Forward whose memory the caller leaves as it is until endLoans() or the next bind(): launches may read it where it lies.
  virtual void lend(int buffer, const Tensor& tensor) { write(buffer, tensor); }
  /// Behind it what a lent input holds is undefined, and no launch of Forward comes before the next bind().
  virtual void endLoans() {}
  /// read() of an output of Forward, which may give the buffer's own memory away, to one at a time: the next bind() takes other memory where somebody still
  /// has it.
  virtual Tensor take(int buffer) { return read(buffer); }
  virtual void launch(LaunchList list, int index, const CallScalars& scalars) = 0;
  /// Frees plain parameters that no forward launch reads.
  virtual void releaseUnusedParameters() = 0;
  /// Whether a Prepare launch needs no other parameters than its own: they may be written, packed and released one after the other.
  virtual bool preparesOneByOne() const { return false; }
  /// Adds what single threads do in a launch to the trace, from now on; a null trace ends it. A device without threads of its own has nothing to add.
  virtual void trace(std::shared_ptr<Trace>) {}
};

/// Told of a launch behind it, and of the time that it took the calling thread.
using LaunchClock = std::function<void(LaunchList list, size_t index, std::chrono::nanoseconds time)>;

class Device {
public:
  virtual ~Device() = default;
  /// As the user names it: "cpu", "cuda:0", "ptx-emulator:sm_90a", "reference", "check(cpu,reference)".
  virtual std::string name() const = 0;
  /// What to compile a program for that is to run here: "cpu", "cuda:sm_90a". Empty: any plan will do.
  virtual std::vector<std::string> targets() const = 0;
  /// Throws Error(Device) when no plan of the program for this purpose fits, naming what is missing; Error(Usage) when it has none for that purpose at all.
  virtual std::unique_ptr<Executable> load(const Program& program, Purpose purpose = Purpose::Inference) = 0;
};

struct DeviceOptions {
  int threads = 0;              // 0: as many as this process may use (affinity and cgroup limit)
  bool checks = true;           // of the PTX emulator: what a GPU lets pass is an error; off: results only
  uint64_t maxInstructions = 0; // of the PTX emulator: warp instructions of a launch, past them the kernel is taken to hang; 0: the emulator's own limit
  /// For what a session keeps on the CPU (weights, packed weights, temporaries, scratch, inputs) and for outputs of every device. Not for what exists only
  /// while weights are drawn, for memory of GPUs and their emulator, and for the reference device.
  Allocator allocator = {};
  /// In place of moec's own threads on the CPU; `threads` is then 0. Error(Usage) for the PTX emulator, whose threads are its own.
  std::shared_ptr<ThreadPool> pool = {};
  /// Of the CPU: a folder where the kernels' images are written, and opened from; they stay there, so that profilers find the kernels' names. Empty: images
  /// live in memory only.
  std::filesystem::path kernelFiles = {};
};

/// Parses a device name and opens it. Error(Usage) for an unknown name (lists the known), Error(Device) for a missing one.
std::shared_ptr<Device> openDevice(const std::string& name, const DeviceOptions& options = {});

struct DeviceDescription {
  std::string name, description;
  bool available = true;
  std::string reason; // why not available
};
std::vector<DeviceDescription> listDevices();

} // namespace moec
