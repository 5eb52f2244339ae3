#pragma once
// What an NVRTC log says: the usage of each function as ptxas reports it, and messages as `file:line: error: ...`. Knows text alone.

#include "codegen/cuda/Nvrtc.h"

#include <string_view>

namespace moec::codegen::cuda {

std::vector<FunctionUsage> usageFrom(const std::string& log);
/// The log without ptxas's reports of usage, places in moec's form and without `folder` before them.
std::string messagesFrom(const std::string& log, std::string_view folder = {});

} // namespace moec::codegen::cuda
