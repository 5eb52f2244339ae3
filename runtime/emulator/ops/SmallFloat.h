#pragma once
// f16, bf16 and tf32 by integer arithmetic: exact decoding, and encoding with the rounding asked for. Included by the opcode files.

#include "runtime/emulator/ops/Lanes.h"

namespace moec::emulator::MOEC_LANES {

struct SmallFormat {
  int exponentBits, mantissaBits;
};
constexpr SmallFormat kF16{5, 10}, kBF16{8, 7}, kTF32{8, 10};

/// Decodes bits of a format with at most 8 exponent bits; exact in float.
inline float decodeF16(uint32_t bits) {
  uint32_t sign = (bits & 0x8000) << 16, exponent = bits >> 10 & 31, mantissa = bits & 0x3ff;
  if (exponent == 31)
    return std::bit_cast<float>(sign | 0x7f800000 | mantissa << 13);
  if (exponent == 0) {
    float value = float(mantissa) * 0x1p-24f;
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}
inline float decodeBF16(uint32_t bits) { return std::bit_cast<float>(bits << 16); }

/// Rounds a double to a small format. Overflow goes to infinity, or to the largest number where the mode rounds that way; no NaN comes in.
inline uint32_t encodeSmall(double x, SmallFormat format, Rounding mode) {
  uint64_t bits = std::bit_cast<uint64_t>(x);
  bool negative = bits >> 63;
  int width = format.exponentBits + format.mantissaBits;
  uint32_t sign = negative ? 1u << width : 0;
  int bias = (1 << (format.exponentBits - 1)) - 1;
  uint32_t infinity = ((1u << format.exponentBits) - 1) << format.mantissaBits;
  int exponent = int(bits >> 52 & 0x7ff) - 1023;
  uint64_t mantissa = bits & ((1ull << 52) - 1);
  if (exponent == 1024)
    return sign | infinity;
  if (exponent == -1023)
    mantissa == 0 ? exponent = -2000 : exponent = -1022;
  else
    mantissa |= 1ull << 52;
  if (exponent < -1500)
    return sign;
  int lowest = 1 - bias; // exponent of the smallest normal number
  int drop = 52 - format.mantissaBits + (exponent < lowest ? lowest - exponent : 0);
  uint64_t kept = drop > 63 ? 0 : mantissa >> drop;
  uint64_t rest = drop > 63 ? mantissa : mantissa & ((1ull << drop) - 1);
  uint64_t half = drop > 63 ? ~0ull : 1ull << (drop - 1);
  bool up = false;
  if (mode == Rounding::Nearest || mode == Rounding::None)
    up = rest > half || (rest == half && (kept & 1));
  else if (mode == Rounding::Up)
    up = rest && !negative;
  else if (mode == Rounding::Down)
    up = rest && negative;
  kept += up;
  // A carry out of the mantissa goes into the exponent by itself.
  uint64_t code = exponent < lowest ? kept : kept + (uint64_t(exponent + bias - 1) << format.mantissaBits);
  if (code >= infinity) {
    bool toLargest = mode == Rounding::Zero || (mode == Rounding::Up && negative) || (mode == Rounding::Down && !negative);
    return sign | (toLargest ? infinity - 1 : infinity);
  }
  return sign | uint32_t(code);
}

constexpr uint32_t kSmallNan = 0x7fff; // of f16 and bf16
inline uint32_t encodeF16(double x, Rounding mode = Rounding::Nearest) { return x != x ? kSmallNan : encodeSmall(x, kF16, mode); }
inline uint32_t encodeBF16(double x, Rounding mode = Rounding::Nearest) { return x != x ? kSmallNan : encodeSmall(x, kBF16, mode); }

/// a * b + c such that a later rounding to a format of at most 25 bits is as if done once: the sum's last bit is made odd when inexact.
inline double fmaOdd(float a, float b, float c) {
  double product = double(a) * double(b), addend = c, sum = product + addend;
  if (!std::isfinite(sum))
    return sum;
  double bb = sum - product, error = (product - (sum - bb)) + (addend - bb);
  uint64_t bits = std::bit_cast<uint64_t>(sum);
  if (error != 0 && !(bits & 1)) {
    bool away = (error > 0) == (sum > 0);
    bits += away ? 1 : -1ull;
  }
  return std::bit_cast<double>(bits);
}

struct F16 {
  static float decode(uint32_t bits) { return decodeF16(bits & 0xffff); }
  static uint32_t encode(double x) { return encodeF16(x); }
  static constexpr uint32_t one = 0x3c00;
  static uint32_t flush(uint32_t bits) { return (bits & 0x7c00) ? bits : bits & 0x8000; }
};
struct BF16 {
  static float decode(uint32_t bits) { return decodeBF16(bits & 0xffff); }
  static uint32_t encode(double x) { return encodeBF16(x); }
  static constexpr uint32_t one = 0x3f80;
  static uint32_t flush(uint32_t bits) { return bits; }
};

} // namespace moec::emulator::MOEC_LANES
