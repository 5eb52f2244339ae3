#pragma once
// One input of a program from a file, whatever the file is: a picture, .npy, safetensors or JSON numbers, told apart by
// content.

#include "runtime/core/Plan.h"
#include "runtime/core/Tensor.h"

#include <filesystem>

namespace moec {

/// The tensor for `input`, of its dtype and of a shape that fits. A single sample gets a batch axis of 1 when the
/// input's first size is a symbol. Of a safetensors file, or of a JSON file of results ({"x": {"dtype": ..., "values": ...}}), the tensor of the input's
/// name is taken, or the only one.
/// Error(Data) says file, what was found and what was expected; a dtype is never converted silently.
Tensor readInput(const InputInfo& input, const std::filesystem::path& path);

} // namespace moec
