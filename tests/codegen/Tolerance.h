#pragma once
// How far a kernel's result may lie from the reference's, by dtype and by how many terms were summed: relative to the largest value of a tensor.

#include "runtime/core/DType.h"

#include <cmath>
#include <cstdint>

namespace moec::testing {

/// Sums of `terms` products rounded one by one drift with their square root; a few more roundings for the functions behind.
/// Kernels of bf16 sum in f32 and round each op's result, which may then be a neighbour of the reference's.
inline double tolerance(DType type, int64_t terms) {
  double sums = (type == DType::F64 ? 0x1p-53 : 0x1p-24) * (16 + 4 * std::sqrt(static_cast<double>(terms)));
  return type == DType::BF16 ? sums + 4 * 0x1p-8 : sums;
}

} // namespace moec::testing
