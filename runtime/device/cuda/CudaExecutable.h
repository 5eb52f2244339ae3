#pragma once
// One plan's memory and kernels on a GPU: temporaries in one arena, all else in memory of its own, everything in the order of one stream.

#include "runtime/device/Device.h"
#include "runtime/device/cuda/BufferLives.h"
#include "runtime/device/cuda/CudaModule.h"

#include <map>
#include <optional>

namespace moec {

class CudaExecutable : public Executable {
public:
  /// Loads every kernel of the plan. Error(Data) naming the kernel that is missing or broken, Error(Device) when the driver refuses one.
  CudaExecutable(Program program, const Plan& plan, std::shared_ptr<const CudaContext> context, const Allocator& outputs = {});
  ~CudaExecutable() override;

  const Plan& plan() const override { return plan_; }
  void bind(const Bindings& bindings) override;
  void write(int buffer, const Tensor& tensor) override;
  Tensor read(int buffer) const override;
  void launch(LaunchList list, int index, const CallScalars& scalars) override;
  void releaseUnusedParameters() override;
  /// What all of it is given to, in order: for events around launches.
  cuda::Stream stream() const { return stream_.get(); }

private:
  /// Where a buffer of the plan lies.
  struct Place {
    DeviceMemory own; // none: in the arena
    cuda::DevicePtr pointer = 0;
    Shape shape;
    int64_t bytes = 0;
    bool defined = false;
  };
  struct Stage {
    cuda::Function function;
    unsigned blocks, threads, sharedBytes;
  };
  /// A launch with everything evaluated.
  struct Ready {
    std::vector<cuda::DevicePtr> pointers; // inputs, outputs, workspaces
    std::vector<int64_t> sizes;
    std::vector<uint32_t> streams;
    std::vector<Stage> stages;
  };
  /// Host memory that a copy goes through, and when the GPU has done with it.
  struct Staging {
    PinnedMemory memory;
    cuda::Event copied = nullptr;
  };

  void loadKernels();
  void takeMemory(size_t buffer, const Bindings& bindings);
  void takePrepareMemory();
  void bindApply();
  void placeTemporaries(const ArenaLayout& layout, const Bindings& bindings);
  std::vector<Ready> withPointers(std::vector<std::pair<Ready, const LaunchInfo*>> evaluated) const;
  const Place& placeOf(int buffer, const char* doing) const;
  std::vector<std::pair<Ready, const LaunchInfo*>> evaluate(const std::vector<LaunchInfo>& launches, const Bindings& bindings) const;
  void setPointers(Ready& ready, const LaunchInfo& launch) const;
  void launchStage(const LaunchInfo& launch, LaunchList list, int index, const Stage& stage, std::vector<void*>& parameters);
  [[noreturn]] void reportFindings(const LaunchInfo& launch, LaunchList list, int index, const std::vector<cuda::LaunchFinding>& findings) const;

  Program program_; // keeps plan_ alive
  const Plan& plan_;
  std::shared_ptr<const CudaContext> context_;
  std::map<std::string, CudaModule> modules_;       // by symbol
  std::map<std::string, cuda::Function> functions_; // by symbol + "/" + stage's number
  DeviceMemory arena_;
  std::vector<Place> places_;                    // by buffer
  std::unique_ptr<BufferLives> lives_;           // of an emulated GPU; goes before the memory does
  std::vector<Ready> prepare_, forward_, apply_; // empty until ready
  std::optional<Bindings> bindings_;
  std::map<int, Staging> inputs_; // by buffer
  mutable PinnedMemory outputs_;
  Allocator outputMemory_;           // of what read() gives
  const LaunchInfo* last_ = nullptr; // what the stream was given last
  CudaStream stream_;
};

} // namespace moec
