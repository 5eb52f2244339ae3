#pragma once
// A GPU as a device: picks the program's plan for its compute capability. Does not know whether the table behind it is a driver or an emulator.

#include "runtime/core/CudaTarget.h"
#include "runtime/device/Device.h"
#include "runtime/device/cuda/CudaContext.h"

namespace moec {

class CudaDevice : public Device {
public:
  /// Error(Device) when there is no such GPU, or none that moec compiles for.
  explicit CudaDevice(CudaPlace place, const Allocator& outputs = {});

  std::string name() const override { return context_->name(); }
  std::vector<std::string> targets() const override { return {target_->name}; }
  std::unique_ptr<Executable> load(const Program& program, Purpose purpose = Purpose::Inference) override;
  const CudaContext& context() const { return *context_; }

private:
  std::shared_ptr<const CudaContext> context_;
  const CudaTarget* target_;
  Allocator outputs_;
};

/// "cuda:N" through this machine's driver. Error(Device) says what is missing: the driver, the GPU, a target for it.
std::shared_ptr<Device> openCudaDevice(int ordinal, const DeviceOptions& options);
/// One entry for each GPU of this machine; or one that says why there is none.
std::vector<DeviceDescription> listCudaDevices();

} // namespace moec
