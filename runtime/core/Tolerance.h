#pragma once
// How far two right answers of one dtype may lie apart. The only place with such numbers: compare max |a-b| <= tolerance * max |b| per tensor.

#include "runtime/core/DType.h"

namespace moec {

constexpr double tolerance(DType type) {
  switch (type) {
  case DType::F64:
    return 1e-12;
  case DType::F32:
    return 1e-5;
  case DType::BF16:
    return 2e-2;
  case DType::I64:
  case DType::I32:
  case DType::U8:
  case DType::Bool:
    return 0;
  }
  return 0;
}

/// Of gradients, which are sums over many tokens of terms that cancel.
constexpr double gradientTolerance(DType type) {
  switch (type) {
  case DType::F64:
    return 1e-10;
  case DType::F32:
    return 1e-5;
  default:
    return tolerance(type);
  }
}

/// Of losses and parameters after twenty steps of training, in each of which what was apart comes further apart.
constexpr double trainedTolerance(DType type) {
  switch (type) {
  case DType::F64:
    return 1e-9;
  case DType::F32:
    return 1e-4;
  default:
    return tolerance(type);
  }
}

/// What a bf16 model's gradients of a whole step may differ by, in tolerances of one op: each op on the way there and back rounds.
constexpr double wholeStepFactor = 16;

/// What roundings alone make of a gradient whose terms cancel is allowed this often, for what one draw of them shows is not the most; and up to so many
/// tolerances, for what moves further is another choice.
constexpr double roundingFactor = 8, mostForRounding = 1000;

} // namespace moec
