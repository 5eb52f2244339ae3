#pragma once
// The alphabet of byte-level tokenizers: each byte is a printable character, that of its own number where it has one, else one from U+0100 on (Radford et al.,
// 2019, GPT-2).

#include <optional>
#include <string>
#include <string_view>

namespace moec::data {

/// Each byte as its character.
std::string toByteLevel(std::string_view bytes);
/// The bytes of a text of such characters; nothing for a text with others.
std::optional<std::string> fromByteLevel(std::string_view text);

} // namespace moec::data
