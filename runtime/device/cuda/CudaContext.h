#pragma once
// One GPU behind a driver table, opened: its context, its limits, and the memory that is taken from it. Knows no program.

#include "runtime/device/cuda/DriverTable.h"
#include "runtime/device/cuda/LaunchWatch.h"

#include <memory>
#include <new>
#include <string>
#include <string_view>

namespace moec {

/// What to open.
struct CudaPlace {
  std::string name;                         // as the user names the device: "cuda:0"
  const cuda::DriverTable* table = nullptr; // lives as long as the process
  int ordinal = 0;
  bool ptxOnly = false;                     // runs no machine code
  std::shared_ptr<cuda::LaunchWatch> watch; // null for a GPU
};

class CudaContext {
public:
  /// Error(Device) when the driver does not start or has no device of this number.
  explicit CudaContext(CudaPlace place);
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  const std::string& name() const { return place_.name; }
  const cuda::DriverTable& table() const { return *place_.table; }
  cuda::LaunchWatch* watch() const { return place_.watch.get(); }
  bool ptxOnly() const { return place_.ptxOnly; }
  int major() const { return major_; }
  int minor() const { return minor_; }
  const std::string& chip() const { return chip_; }
  int multiprocessors() const { return multiprocessors_; }
  size_t memoryBytes() const { return memoryBytes_; }

  /// Error(Device) "cuda:0: cannot <doing>: CUDA_ERROR_X: why" unless it is a success.
  void check(cuda::Result result, std::string_view doing) const;
  /// "CUDA_ERROR_X: why".
  std::string describe(cuda::Result result) const;

  /// The context is the calling thread's while this lives; then the one before is again.
  class Current {
  public:
    explicit Current(const CudaContext& context);
    /// For what gives back and cannot fail: where the context cannot be made current, neither can what follows be done, and nobody is told.
    Current(const CudaContext& context, std::nothrow_t) noexcept;
    ~Current();
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

  private:
    const CudaContext& context_;
    cuda::Context before_ = nullptr;
  };

private:
  int attribute(int which) const;

  CudaPlace place_;
  cuda::Device device_ = 0;
  cuda::Context context_ = nullptr;
  int major_ = 0, minor_ = 0, multiprocessors_ = 0;
  size_t memoryBytes_ = 0;
  std::string chip_;
};

/// Memory of a GPU. Freed with the object.
class DeviceMemory {
public:
  DeviceMemory() = default;
  /// No bytes: no memory, and a null pointer. `what` is named when there is not enough.
  DeviceMemory(std::shared_ptr<const CudaContext> context, size_t bytes, const std::string& what);
  ~DeviceMemory() { reset(); }
  DeviceMemory(DeviceMemory&& other) noexcept { swap(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    DeviceMemory(std::move(other)).swap(*this);
    return *this;
  }

  cuda::DevicePtr pointer() const { return pointer_; } // 256-byte aligned
  size_t bytes() const { return bytes_; }
  void reset() noexcept;

private:
  void swap(DeviceMemory& other) noexcept;

  std::shared_ptr<const CudaContext> context_;
  cuda::DevicePtr pointer_ = 0;
  size_t bytes_ = 0;
};

/// Memory of the host that the GPU copies from and to by itself, while the host goes on.
class PinnedMemory {
public:
  PinnedMemory() = default;
  PinnedMemory(std::shared_ptr<const CudaContext> context, size_t bytes);
  ~PinnedMemory();
  PinnedMemory(PinnedMemory&& other) noexcept { swap(other); }
  PinnedMemory& operator=(PinnedMemory&& other) noexcept {
    PinnedMemory(std::move(other)).swap(*this);
    return *this;
  }

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

private:
  void swap(PinnedMemory& other) noexcept;

  std::shared_ptr<const CudaContext> context_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

/// A stream and the moments on it. One thread.
class CudaStream {
public:
  explicit CudaStream(std::shared_ptr<const CudaContext> context);
  ~CudaStream();
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  cuda::Stream get() const { return stream_; }
  /// Returns when everything given to the stream is done.
  void finish(const std::string& doing) const;

private:
  std::shared_ptr<const CudaContext> context_;
  cuda::Stream stream_ = nullptr;
};

} // namespace moec
