#pragma once
// Tells a watch, launch by launch, which bytes are which buffer of the plan. A buffer's life begins empty at the launch that first writes it, so
// that a kernel that reads what an earlier call left there is found. In a plan for training a buffer of experts' rows begins as NaN instead: between the
// gradients of two ops of experts stand elementwise kernels that know no routing. They take along rows behind its count, which must not matter; where they do,
// a result is NaN.

#include "runtime/core/Plan.h"
#include "runtime/device/Device.h"
#include "runtime/device/cuda/LaunchWatch.h"

namespace moec {

class BufferLives {
public:
  BufferLives(const Plan& plan, cuda::LaunchWatch& watch);
  ~BufferLives();
  BufferLives(const BufferLives&) = delete;
  BufferLives& operator=(const BufferLives&) = delete;

  /// Where a buffer lies from now on; its life there has not begun when it shares its memory with others.
  void place(int buffer, cuda::DevicePtr pointer, int64_t bytes, bool sharesMemory);
  /// It has no memory any more. Before the memory is freed.
  void remove(int buffer);
  void beforeLaunch(LaunchList list, int index);
  /// The host is about to write all of it.
  void beforeWrite(int buffer);

private:
  struct Life {
    cuda::DevicePtr pointer = 0;
    int64_t bytes = 0;
    bool sharesMemory = false, live = false;
    int firstWriter[3] = {-1, -1, -1}; // by LaunchList: the launch that writes it when nobody has read it before; -1: none
  };
  void begin(size_t buffer);
  void end(size_t buffer);
  void findFirstWriters(LaunchList list);

  const Plan& plan_;
  cuda::LaunchWatch& watch_;
  std::vector<Life> lives_;
};

} // namespace moec
