// The emulated devices of a moec that is built without the emulator.

#include "runtime/core/Error.h"
#include "runtime/device/emulated/EmulatedGpu.h"

namespace moec {
namespace {
constexpr const char* kReason = "this moec is built without the PTX emulator (cmake -DMOEC_EMULATOR=ON has it)";
}

std::shared_ptr<Device> openEmulatedDevice(const std::string& target, const DeviceOptions&) {
  throw Error(Fault::Device, (target.empty() ? "ptx-emulator" : "ptx-emulator:" + target) + ": " + kReason);
}

std::vector<DeviceDescription> listEmulatedDevices() { return {{"ptx-emulator", "NVIDIA GPUs emulated on this CPU", false, kReason}}; }

} // namespace moec
