#pragma once
// Text to Json: strict JSON without duplicate keys, at most 16 MiB and 256 levels deep.

#include "models/json/Diagnostics.h"
#include "models/json/Json.h"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace moec::models {

constexpr size_t kLargestText = size_t{16} << 20; // bytes
constexpr int kDeepest = 256;                     // objects and lists inside each other

/// Nothing when the text is no such JSON; `diagnostics` then says why and where.
std::optional<Json> parseJson(std::string_view text, Diagnostics& diagnostics);
/// The file's text. A file over kLargestText is refused before it is read.
std::optional<std::string> readText(const std::filesystem::path& path, Diagnostics& diagnostics);

} // namespace moec::models
