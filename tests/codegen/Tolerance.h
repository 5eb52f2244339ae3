#pragma once
// How far a kernel's result may lie from the reference's, by dtype and by how many terms were summed: relative to the largest value of a tensor.

#include "runtime/core/DType.h"

#include <cmath>
#include <cstdint>

namespace moec::testing {

/// Sums of `terms` products rounded one by one drift with their square root; a few more roundings for the functions behind.
inline double tolerance(DType type, int64_t terms) {
  double epsilon = type == DType::F64 ? 0x1p-53 : type == DType::F32 ? 0x1p-24 : 0x1p-8;
  return epsilon * (16 + 4 * std::sqrt(static_cast<double>(terms)));
}

} // namespace moec::testing
