#pragma once
// What passes between compileCudaApart() and the tool moec-nvrtc: containers, as files of a private folder.

#include "codegen/cuda/Nvrtc.h"

#include <filesystem>

namespace moec::codegen::cuda {

inline constexpr const char* kRequestFile = "request";
inline constexpr const char* kAnswerFile = "answer";

void writeRequest(const std::filesystem::path& folder, const CudaSource& source, const CudaTarget& target);
/// The whole of the tool: reads the request and writes the answer. Error(Data) for a request that is none.
void answerRequest(const std::filesystem::path& folder);
/// As compileCuda() in the other process gave it: nothing and `error`, or Error(Device).
std::optional<CompiledCuda> readAnswer(const std::filesystem::path& folder, std::string& error);

} // namespace moec::codegen::cuda
