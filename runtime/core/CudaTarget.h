#pragma once
// The CUDA targets that kernels are compiled for, with the limits of their multiprocessors. Plain numbers; asks no device.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// Limits as in the CUDA C++ Programming Guide 13.0, "Technical Specifications per Compute Capability".
struct CudaTarget {
  std::string name;    // "cuda:sm_90a"
  std::string arch;    // "sm_90a"
  int major, minor;    // compute capability
  bool exact;          // an "a" target: runs on this compute capability alone; else on its major version from `minor` up
  std::string chip;    // what `multiprocessors` is of: "H100 SXM"
  int multiprocessors; // of that chip: persistent launches are sized for it
  int threads;         // resident in a multiprocessor
  int blocks;
  int64_t sharedBytes;        // of a multiprocessor
  int64_t sharedBytesOfBlock; // the most that a block may ask for
};

const std::vector<CudaTarget>& cudaTargets();
/// Null when there is none of this name.
const CudaTarget* findCudaTarget(std::string_view name);
/// The best target for a device of this compute capability, or null.
const CudaTarget* cudaTargetFor(int major, int minor);

inline constexpr int64_t kStaticSharedBytes = 48 * 1024; // the most that a block may take without asking

/// Blocks of a kernel that are resident in a multiprocessor at once: the least that threads, registers (65536, given to warps in steps of 256, to
/// four partitions), shared memory (steps of 128 bytes, 1 KiB reserved for each block) and the limit of blocks allow.
int blocksPerMultiprocessor(const CudaTarget& target, int threads, int registers, int64_t sharedBytes);

} // namespace moec
