#pragma once
// Compiles CUDA text to PTX by clang or NVRTC and runs it on an emulated device through the driver table. For tests of the emulator.

#include "runtime/emulator/Emulator.h"

#include <gtest/gtest.h>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

namespace moec::emulator::test {

/// Who makes PTX of CUDA text.
struct Producer {
  std::string name;   // "clang sm_80", "nvrtc sm_100a"
  std::string target; // of the emulator that runs it
  bool nvrtc = false;
};
inline void PrintTo(const Producer& one, std::ostream* stream) { *stream << one.name; }
const std::vector<Producer>& producers();

/// Words that both producers understand (TID, BID, THREADS, BLOCKS, SYNC, SYNCWARP, SHFL_XOR, BALLOT, ATOMIC_ADD ...) stand before `text`.
/// Lines are counted from the first line of `text`. An empty string, and the reason in `problem`, when the producer is not there.
std::string compile(const Producer& producer, const std::string& text, std::string* problem);
/// The number of the first line that holds `mark`.
int lineOf(const std::string& text, const std::string& mark);

/// An emulated device with its findings cleared, and memory that is freed at the end.
class Device {
public:
  explicit Device(const std::string& target);
  ~Device();
  Emulator& emulator() { return *emulator_; }
  const cuda::DriverTable& table() { return emulator_->table(); }

  cuda::DevicePtr allocate(size_t bytes);
  template <class T> cuda::DevicePtr upload(const std::vector<T>& values) {
    cuda::DevicePtr pointer = allocate(values.size() * sizeof(T));
    table().copyToDevice(pointer, values.data(), values.size() * sizeof(T));
    return pointer;
  }
  template <class T> std::vector<T> download(cuda::DevicePtr pointer, size_t count) {
    std::vector<T> values(count);
    EXPECT_EQ(table().copyToHost(values.data(), pointer, count * sizeof(T)), cuda::kSuccess);
    return values;
  }
  /// Loads PTX; a failure is a test failure.
  cuda::Function load(const std::string& ptx, const std::string& kernel);
  template <class... A> cuda::Result launch(cuda::Function function, unsigned grid, unsigned block, unsigned shared, A... arguments) {
    void* parameters[] = {&arguments..., nullptr};
    return table().launchKernel(function, grid, 1, 1, block, 1, 1, shared, nullptr, parameters, nullptr);
  }

private:
  Emulator* emulator_;
  std::vector<cuda::DevicePtr> pointers_;
  std::vector<cuda::Module> modules_;
};

} // namespace moec::emulator::test
