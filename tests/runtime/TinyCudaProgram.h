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
/// A container of one kernel's image with this PTX.
std::vector<uint8_t> cudaImage(const std::string& ptx);

} // namespace moec
