#include "runtime/core/CudaTarget.h"

#include <algorithm>

namespace moec {

const std::vector<CudaTarget>& cudaTargets() {
  static const std::vector<CudaTarget> all = {
      {"cuda:sm_80", "sm_80", 8, 0, false, "A100", 108, 2048, 32, 164 * 1024, 163 * 1024},
      {"cuda:sm_90a", "sm_90a", 9, 0, true, "H100 SXM", 132, 2048, 32, 228 * 1024, 227 * 1024},
      {"cuda:sm_100a", "sm_100a", 10, 0, true, "B200", 148, 2048, 32, 228 * 1024, 227 * 1024},
      {"cuda:sm_120", "sm_120", 12, 0, false, "RTX 5090", 170, 1536, 24, 100 * 1024, 99 * 1024},
  };
  return all;
}

const CudaTarget* findCudaTarget(std::string_view name) {
  for (const CudaTarget& target : cudaTargets())
    if (target.name == name)
      return &target;
  return nullptr;
}

const CudaTarget* cudaTargetFor(int major, int minor) {
  for (const CudaTarget& target : cudaTargets())
    if (target.major == major && (target.exact ? target.minor == minor : target.minor <= minor))
      return &target;
  return nullptr;
}

int blocksPerMultiprocessor(const CudaTarget& target, int threads, int registers, int64_t sharedBytes) {
  constexpr int kWarp = 32, kPartitions = 4, kRegisters = 65536, kRegisterStep = 256;
  constexpr int64_t kSharedStep = 128, kSharedReserved = 1024;
  int warps = (threads + kWarp - 1) / kWarp;
  if (warps == 0 || sharedBytes > target.sharedBytesOfBlock)
    return 0;
  int blocks = std::min(target.blocks, target.threads / kWarp / warps);
  if (registers > 0) {
    int ofWarp = (registers * kWarp + kRegisterStep - 1) / kRegisterStep * kRegisterStep;
    int warpsThatFit = kRegisters / kPartitions / ofWarp * kPartitions;
    blocks = std::min(blocks, warpsThatFit / warps);
  }
  int64_t shared = (sharedBytes + kSharedReserved + kSharedStep - 1) / kSharedStep * kSharedStep;
  return static_cast<int>(std::min<int64_t>(blocks, target.sharedBytes / shared));
}

} // namespace moec
