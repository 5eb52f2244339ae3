#pragma once
// Bytes as text inside JSON (RFC 4648, with padding).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

std::string encodeBase64(std::span<const uint8_t> bytes);
/// Nothing when the text is not exactly what encodeBase64 prints.
std::optional<std::vector<uint8_t>> decodeBase64(std::string_view text);

} // namespace moec
