#pragma once
// A GPU, real or emulated, opened for measuring; a model loaded on it; times between two moments of a stream.

#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/cuda/CudaExecutable.h"
#include "runtime/emulator/Emulator.h"

#include <functional>
#include <memory>
#include <string>

namespace moec::bench {

struct Gpu {
  std::shared_ptr<CudaDevice> device;
  std::shared_ptr<const CudaContext> context;
  emulator::Emulator* emulator = nullptr; // null: a real one

  std::string target() const { return device->targets().front(); }
};
/// Error(Usage) for a device that is no GPU, and what openDevice throws.
Gpu openGpu(const std::string& name);

/// A program with weights and inputs on a GPU. Launches go in the order of a call, each as often as one likes: a buffer
/// that no later launch reads is another's memory.
class LoadedModel {
public:
  LoadedModel(const Gpu& gpu, const Program& program, const Bindings& sizes);

  const Plan& plan() const { return executable_->plan(); }
  const TensorMap& weights() const { return weights_; }
  const TensorMap& inputs() const { return inputs_; }
  cuda::Stream stream() const { return executable_->stream(); }
  void launch(size_t index) { executable_->launch(LaunchList::Forward, static_cast<int>(index), {}); }
  void forward();
  /// The program's output, of the last forward().
  Tensor output(const std::string& name) const;

private:
  std::unique_ptr<CudaExecutable> executable_;
  TensorMap weights_, inputs_;
};

/// Seconds that a stream takes for what `work` gives to it, by events before and behind.
class StreamTimer {
public:
  StreamTimer(std::shared_ptr<const CudaContext> context, cuda::Stream stream);
  ~StreamTimer();
  StreamTimer(const StreamTimer&) = delete;
  StreamTimer& operator=(const StreamTimer&) = delete;
  double seconds(const std::function<void()>& work) const;
  /// Of one of `repeats` runs.
  double secondsOf(int repeats, const std::function<void()>& work) const;
  /// How often `work` is repeated between the events so that their resolution (half a microsecond) and the start do not
  /// show: a millisecond's worth.
  int repeatsOf(const std::function<void()>& work) const;

private:
  std::shared_ptr<const CudaContext> context_;
  cuda::Stream stream_;
  cuda::Event start_ = nullptr, end_ = nullptr;
};

} // namespace moec::bench
