#pragma once
// XXH3-128 of some bytes: finds damage and names content. Not a signature: it protects against accidents, not against people.

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace moec {

struct Digest {
  uint64_t high = 0, low = 0;
  auto operator<=>(const Digest&) const = default;
  /// 32 hexadecimal digits.
  std::string hex() const;
};

Digest digestOf(std::span<const uint8_t> bytes);
Digest digestOf(std::string_view text);

} // namespace moec
