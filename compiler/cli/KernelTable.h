#pragma once
// What a program's kernels take of a GPU, as a table for people and as JSON: for `compile` and `inspect`. Reads figures
// from the plan; computes none but the occupancy.

#include "compiler/cli/ProgramSummary.h"

#include <nlohmann/json.hpp>

namespace moec::cli {

/// A line per function of each kernel that has any, and a line that says who spills. `sizes`, when known, give the
/// launches' blocks. Empty for kernels of a CPU.
std::string functionTable(const std::vector<KernelSummary>& kernels, const Bindings* sizes = nullptr);
nlohmann::ordered_json functionJson(const FunctionSummary& function, const Bindings* sizes = nullptr);

} // namespace moec::cli
