#pragma once
// Results written to a file whose name says the format: .npy (one tensor), .safetensors or .json (all of them).

#include "runtime/core/Tensor.h"

#include <filesystem>
#include <string>

namespace moec {

/// Error(Usage) for an ending that is none of these.
void checkTensorFile(const std::filesystem::path& path);

/// Written aside, synced, renamed. Error(Usage) for another ending, or for .npy and more than one tensor (lists them).
void writeTensors(const std::filesystem::path& path, const TensorMap& tensors);

/// {"scores": {"dtype": "f32", "shape": [1, 10], "values": [[...]]}, ...} on one line.
std::string toJsonText(const TensorMap& tensors);

} // namespace moec
