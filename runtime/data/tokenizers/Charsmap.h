#pragma once
// SentencePiece's compiled table of replacements: a double array over UTF-8 (Darts) whose values are places in a block of texts that end with a zero byte.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moec::data {

class Charsmap {
public:
  /// `bytes`: the array's size in bytes (u32, little-endian), the array, the texts. Throws std::runtime_error for what would be read beyond its end.
  explicit Charsmap(std::string_view bytes);

  /// What takes the place of the shortest beginning of `text` that stands in the table; nothing where none does.
  std::optional<std::string_view> replacement(std::string_view text) const;

private:
  std::vector<uint32_t> units_;
  std::string texts_;
};

} // namespace moec::data
