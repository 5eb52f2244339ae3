#pragma once
// A linear model that trains with momentum, as a program with kernels written by hand (kernels/TinyTraining.cpp): one step whole, or accumulated and applied.

#include "runtime/core/Program.h"
#include "runtime/core/Tensor.h"

namespace moec {

/// The tiny program (TinyProgram.h) with a plan for training beside its own. Inputs x f32 (T, D), y f32 (T); parameter w f32 (D); states w.momentum and
/// w.average, which begins as w; with `accumulate` w.gradient; results loss and gradient_norm.
ProgramData tinyTrainingData(bool accumulate, int fault = 0);

/// x, and y = x·(1, 2, .. D)/D.
TensorMap tinyBatch(int64_t tokens, uint64_t seed);

/// The same in plain loops: one step of `w`, `momentum` and `average` with the mean of the batches' gradients.
struct TinyStep {
  std::vector<float> w, momentum, average;
  /// Gives the last batch's loss.
  double step(const std::vector<TensorMap>& batches, const std::vector<uint64_t>& seeds, double rate, int64_t number);
};

} // namespace moec
