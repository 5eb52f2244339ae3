#pragma once
// Fills figures from a plan, and from what the emulator counted while it ran.

#include "bench/gpu/Figures.h"
#include "bench/gpu/Gpu.h"
#include "runtime/core/Program.h"
#include "runtime/emulator/Emulator.h"

#include <string>
#include <vector>

namespace moec::bench {

/// Kernels of a plan in the order of their first launch; equal ones once. `measured` are the sizes of the bounds.
ModelFigures figuresOf(const std::string& model, const std::string& device, const Plan& plan, const Bindings& sizes, const Bindings& measured);

/// Writes into the stages what the emulator counted for their functions, one launch each. A stage that was not launched
/// keeps nothing.
void addCounters(ModelFigures& figures, const Program& program, const std::vector<emulator::KernelCounters>& counters);

/// A line for each stage of which the driver, asked for the loaded function, says something else than the plan. None
/// for an emulated GPU, which runs no machine code.
std::vector<std::string> driverDiffers(const Gpu& gpu, const Program& program, const ModelFigures& figures);

} // namespace moec::bench
