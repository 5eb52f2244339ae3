#pragma once
// Tensors as JSON numbers: nested lists, one level per size. NaN and the infinities, which JSON lacks, are the strings
// "NaN", "Infinity", "-Infinity".

#include "runtime/core/Tensor.h"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace moec {

/// Reads nested lists as `type`: floats round to nearest, integers must be written as integers in range, booleans as
/// true and false. Error(Data) for uneven lists (names the place), other values, or text that is not JSON (with its
/// byte).
Tensor parseJsonTensor(std::span<const uint8_t> text, DType type, const std::string& where);

/// Reads what writeTensors() and toJsonText(TensorMap) write: {"scores": {"dtype": "f32", "shape": [1, 2], "values": [[0.5, 1]]}, ...}. "dtype" stands
/// before "values", and "shape", which may be missing, says what they are. Error(Data) names the tensor.
TensorMap parseJsonTensors(std::span<const uint8_t> text, const std::string& where);

/// Nested lists on one line, each number in its shortest form that reads back the same.
std::string toJsonText(const Tensor& tensor);

} // namespace moec
