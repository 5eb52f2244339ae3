#include "runtime/core/Philox.h"

#include "runtime/core/FixedMath.h"

#include <cmath>

namespace moec {

double normal(const std::array<uint32_t, 4>& words) {
  double u = uniformDouble(words);
  double v = uniformDouble({words[2], words[3], 0, 0});
  return std::sqrt(-2.0 * fixedLog(1.0 - u)) * fixedCosTurns(v);
}

} // namespace moec
