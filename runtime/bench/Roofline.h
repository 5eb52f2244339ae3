#pragma once
// The least time that work takes on a chip: what its arithmetic units and its memory allow at best. Plain numbers; asks
// no device.

#include <string>

namespace moec::bench {

/// A chip at its best, per second.
struct Peaks {
  std::string chip;
  double flops32 = 0, flops64 = 0; // multiply-adds outside of the tensor cores, an FMA counts two
  double bytes = 0;                // of device memory
};
const Peaks& h100Sxm();

/// What must be done: useful arithmetic, and every input and output once.
struct Work {
  double flops32 = 0, flops64 = 0, bytes = 0;
};

struct Bound {
  enum class Side { Arithmetic, Memory } side = Side::Memory;
  double seconds = 0; // as if arithmetic and memory worked side by side, and nothing but them
  double inTurn = 0;  // one behind the other
};
const char* nameOf(Bound::Side side);

/// The slowest of fp32, fp64 and memory, as if they ran side by side; and the sum of memory and the slower of the others.
Bound boundOf(const Work& work, const Peaks& peaks);

} // namespace moec::bench
