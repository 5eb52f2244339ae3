#pragma once
// NumPy's .npy files, versions 1 to 3: little-endian, C order. One tensor a file.

#include "runtime/core/Tensor.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace moec {

/// Error(Data) for a damaged file, Fortran order, big-endian numbers or another element type than f8, f4, i8, i4, u1,
/// b1 (each names what it found).
Tensor readNpy(const std::filesystem::path& path);

/// The same from bytes kept alive by `owner`. `where` begins every message.
Tensor parseNpy(std::span<const uint8_t> bytes, std::shared_ptr<void> owner, const std::string& where);

/// Version 1, written aside, synced, renamed. NumPy has no bf16: such a tensor is written as f32, which holds every
/// bf16 value.
void writeNpy(const std::filesystem::path& path, const Tensor& tensor);

} // namespace moec
