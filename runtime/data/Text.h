#pragma once
// Windows of a text's tokens.

#include "runtime/data/Dataset.h"
#include "runtime/data/Tokenizer.h"

#include <filesystem>

namespace moec::data {

/// UTF-8 text of a file, or of all *.txt files below a folder in the order of their names, joined. Error(Data) for what cannot be read or is empty.
std::string readText(const std::filesystem::path& path);

/// A record is a window: "tokens" i64 (window,), and "targets", those one place further on. `stride` tokens lie between the beginnings of two windows.
/// Error(Data) for fewer than window + 1 tokens.
DatasetPtr textWindows(std::vector<int64_t> tokens, int64_t vocabulary, int64_t window, int64_t stride, std::string name);

} // namespace moec::data
