#pragma once
// The small program of TinyProgram.h for the target cuda:sm_80, with PTX written by hand (kernels/TinyKernels.ptx).

#include "runtime/core/Program.h"

#include <string>
#include <utility>

namespace moec {

/// A line of the PTX, by the mark that it ends in, and what stands there instead.
using PtxChange = std::pair<std::string, std::string>;

Plan tinyCudaPlan();
/// The plan alone, its kernels with the changes made.
ProgramData tinyCudaProgramData(const std::vector<PtxChange>& changes = {});
/// With a plan for training beside it (kernels/TinyTraining.ptx), which moves w (D) towards the mean of the rows of x (T, D): state w.gradient, @accumulate
/// with the result loss (w[0] - x[0][0]), @apply with gradient_norm (the first mean).
ProgramData tinyCudaTrainingData(const std::vector<PtxChange>& changes = {});
/// A container of one kernel's image with this PTX.
std::vector<uint8_t> cudaImage(const std::string& ptx);

} // namespace moec
