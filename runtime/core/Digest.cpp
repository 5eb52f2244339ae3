#include "runtime/core/Digest.h"

#include <fmt/format.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace moec {

std::string Digest::hex() const { return fmt::format("{:016x}{:016x}", high, low); }

Digest digestOf(std::span<const uint8_t> bytes) {
  XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

Digest digestOf(std::string_view text) { return digestOf(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size())); }

} // namespace moec
