#pragma once
// The zoo's kernels as benchmarks of the emulator; they need NVRTC.

namespace moec::bench {

void registerZoo();

} // namespace moec::bench
