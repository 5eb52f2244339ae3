#pragma once
// What every tokenizer asks of a text and of ids.

#include <cstdint>
#include <string_view>

namespace moec::data {

/// Error(Data) that names the byte where a text is no UTF-8.
void requireText(std::string_view text);
/// Error(Usage) for an id outside of [0, vocabulary).
void requireId(int64_t id, int64_t vocabulary);

} // namespace moec::data
