#pragma once
// What an NVRTC log says: the usage of each function as ptxas reports it, and messages as `file:line: error: ...`. Knows text alone.

#include "codegen/cuda/Nvrtc.h"

namespace moec::codegen::cuda {

std::vector<FunctionUsage> usageFrom(const std::string& log);
/// The log without ptxas's reports of usage, errors before warnings; every place is one of the source. `ptx` is what ptxas's line numbers are of.
std::string messagesFrom(const std::string& log, const CudaSource& source, const std::string& ptx);

} // namespace moec::codegen::cuda
