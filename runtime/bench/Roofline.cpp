#include "runtime/bench/Roofline.h"

#include <algorithm>

namespace moec::bench {

// NVIDIA H100 Tensor Core GPU data sheet, column H100 SXM: FP64 34 teraFLOPS, FP32 67 teraFLOPS (neither of them the
// Tensor Core row), GPU memory bandwidth 3.35 TB/s.
const Peaks& h100Sxm() {
  static const Peaks peaks{"H100 SXM", 67e12, 34e12, 3.35e12};
  return peaks;
}

const char* nameOf(Bound::Side side) { return side == Bound::Side::Memory ? "memory" : "arithmetic"; }

Bound boundOf(const Work& work, const Peaks& peaks) {
  double arithmetic = std::max(work.flops32 / peaks.flops32, work.flops64 / peaks.flops64), memory = work.bytes / peaks.bytes;
  return {arithmetic > memory ? Bound::Side::Arithmetic : Bound::Side::Memory, std::max(arithmetic, memory), arithmetic + memory};
}

} // namespace moec::bench
