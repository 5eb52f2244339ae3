#pragma once
// bf16 values as their 16 bits: the upper half of a float.

#include <bit>
#include <cstdint>

namespace moec {

inline float bf16ToFloat(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

/// Rounds to nearest even; NaN stays a (quiet) NaN.
inline uint16_t bf16FromFloat(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
    return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/// Rounds once: through a float rounded to odd, which keeps what the second rounding must know.
inline uint16_t bf16FromDouble(double value) {
  float nearest = static_cast<float>(value);
  uint32_t bits = std::bit_cast<uint32_t>(nearest);
  bool finite = (bits & 0x7F800000u) != 0x7F800000u;
  if (finite && static_cast<double>(nearest) != value) {
    bool awayFromZero = value < 0 ? nearest < value : nearest > value;
    bits -= awayFromZero;
    bits |= 1;
  }
  return bf16FromFloat(std::bit_cast<float>(bits));
}

} // namespace moec
