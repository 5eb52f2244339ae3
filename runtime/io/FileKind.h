#pragma once
// What a file is, by its first bytes; never by its name.

#include <cstdint>
#include <span>
#include <string>

namespace moec {

enum class FileKind { Png, Jpeg, Npy, SafeTensors, Json, Program, Unknown };

FileKind fileKind(std::span<const uint8_t> bytes);

/// For messages: `a GIF picture`, `a zip archive (.npz and PyTorch's .pt are such)`, `47 49 46 38 ("GIF8")`, `an empty file`.
std::string describeFirstBytes(std::span<const uint8_t> bytes);

/// Error(Data) for a file that no input is read from: its first bytes are those of a program, or unknown. Of the input no more is needed than its name.
void requireInputKind(std::span<const uint8_t> bytes, const std::string& input, const std::string& where);

} // namespace moec
