#pragma once
// The CPU as a device: picks a program's best plan for this machine, runs its launches on a pool of threads.
// Bits never depend on the number of threads: a stage's items are independent, and their work does not know who does it.

#include "runtime/device/Device.h"
#include "runtime/device/cpu/Workers.h"

namespace moec {

class CpuDevice : public Device {
public:
  /// Error(Usage) for options that contradict each other.
  explicit CpuDevice(const DeviceOptions& options);

  std::string name() const override { return "cpu"; }
  std::vector<std::string> targets() const override { return {"cpu"}; }
  std::unique_ptr<Executable> load(const Program& program, Purpose purpose = Purpose::Inference) override;
  int threads() const { return workers_->count(); }
  /// Its threads, for other work between launches.
  Workers& workers() { return *workers_; }

private:
  std::shared_ptr<Workers> workers_;
  Allocator allocator_;
  std::filesystem::path kernelFiles_;
};

/// The best plan of the program that this machine runs. Error(Device) lists the program's targets and what each lacks here.
const Plan& choosePlan(const Program& program, Purpose purpose = Purpose::Inference);

} // namespace moec
