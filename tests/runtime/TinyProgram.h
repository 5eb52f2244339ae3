#pragma once
// A small mixture of two experts as a program with kernels written by hand (kernels/TinyKernels.cpp), and what it computes in plain loops.

#include "runtime/core/Program.h"
#include "runtime/core/Tensor.h"

#include <string>

namespace moec {

/// Bytes of the image with the planted fault (0: none).
std::vector<uint8_t> tinyImage(int fault = 0);

/// Inputs x f32 (T, D), label i64 (T) for the loss; parameter w f32 (D); outputs y f32 (T, D) and total f64 (1).
ProgramData tinyProgramData(int fault = 0);

/// x with rows for expert 0, for expert 1 and to be dropped.
Tensor tinyTokens(int64_t tokens, uint64_t seed);

struct TinyAnswer {
  std::vector<float> y;
  double total = 0;
};
TinyAnswer tinyAnswer(const Tensor& x, const Tensor& w, uint64_t seed, uint32_t step);

inline constexpr int64_t kTinyWidth = 8;

} // namespace moec
