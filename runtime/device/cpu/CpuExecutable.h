#pragma once
// One plan's memory and kernels on the CPU.

#include "runtime/device/Device.h"
#include "runtime/device/cpu/KernelImage.h"
#include "runtime/device/cpu/Workers.h"

#include <map>

namespace moec {

class CpuExecutable : public Executable {
public:
  /// Opens every kernel of the plan. Error(Data) naming the kernel that is missing or broken.
  /// `kernelFiles`: DeviceOptions::kernelFiles.
  CpuExecutable(Program program, const Plan& plan, std::shared_ptr<Workers> workers, const Allocator& allocator = {},
                const std::filesystem::path& kernelFiles = {});

  const Plan& plan() const override { return plan_; }
  void bind(const Bindings& bindings) override;
  void write(int buffer, const Tensor& tensor) override;
  Tensor read(int buffer) const override;
  void lend(int buffer, const Tensor& tensor) override;
  void endLoans() override;
  Tensor take(int buffer) override;
  void launch(LaunchList list, int index, const CallScalars& scalars) override;
  void releaseUnusedParameters() override;
  bool preparesOneByOne() const override { return true; }
  void trace(std::shared_ptr<Trace> trace) override { trace_ = std::move(trace); }

private:
  struct Stage {
    int64_t items;
    bool onThreads;
  };
  /// A launch with everything evaluated.
  struct Ready {
    const LaunchInfo* info;
    KernelFunction function;
    std::vector<void*> buffers;
    std::vector<int64_t> sizes;
    std::vector<uint32_t> streams;
    std::vector<Stage> stages;
    Workers::Taking taking;
  };

  void placeKept();
  Tensor memoryOf(const BufferInfo& buffer, Shape shape) const;
  Tensor& tensorOf(int buffer, const char* doing);
  void checkFits(const Tensor& tensor, const Tensor& memory, int buffer) const;
  bool isStillTaken(size_t buffer) const;
  void replaceTaken(const Bindings& bindings);
  void pointTo(int buffer, void* data);
  void bindApply();
  void placeTemporaries(const ArenaLayout& layout, const Bindings& bindings);
  std::vector<Ready> prepareAll(const std::vector<LaunchInfo>& launches, const Bindings& bindings);
  void run(const Ready& ready, const CallScalars& scalars);
  Ready prepareLaunch(const LaunchInfo& launch, const Bindings& bindings);
  void growScratch(const LaunchInfo& launch, const Bindings& bindings);

  Program program_; // keeps plan_ alive
  const Plan& plan_;
  std::shared_ptr<Workers> workers_;
  Allocator allocator_;
  std::map<std::string, KernelImage> kernels_;      // by symbol
  std::vector<Tensor> tensors_;                     // by buffer; undefined until it has memory
  std::map<int, Tensor> lent_;                      // in the place of these
  std::map<size_t, std::shared_ptr<Tensor>> taken_; // outputs, with those who have them as owners
  Tensor arena_, scratch_;                          // bytes
  int64_t scratchStride_ = 0;                       // bytes of scratch a worker
  std::vector<Ready> forward_, apply_;              // empty until bound
  std::optional<Bindings> bindings_;
  std::shared_ptr<Trace> trace_;
};

} // namespace moec
