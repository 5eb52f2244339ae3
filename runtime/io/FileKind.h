#pragma once
// What a file is, by its first bytes; never by its name.

#include <cstdint>
#include <span>
#include <string>

namespace moec {

enum class FileKind { Png, Jpeg, Npy, SafeTensors, Json, Program, Unknown };

FileKind fileKind(std::span<const uint8_t> bytes);

/// For messages: `a GIF picture`, `a zip archive (an .npz?)`, `47 49 46 38 ("GIF8")`, `an empty file`.
std::string describeFirstBytes(std::span<const uint8_t> bytes);

} // namespace moec
