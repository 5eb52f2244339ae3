#pragma once
// The devices "ptx-emulator:sm_90a": a CudaDevice over the PTX emulator's table. The one place of the runtime that knows the emulator; a moec
// that is built without it has the same functions, which say so.

#include "runtime/device/Device.h"

namespace moec {

/// Error(Usage) for none and for a target that is not emulated, with the known ones; Error(Device) in a build without the emulator.
std::shared_ptr<Device> openEmulatedDevice(const std::string& target, const DeviceOptions& options);
std::vector<DeviceDescription> listEmulatedDevices();

} // namespace moec
