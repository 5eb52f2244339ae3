#pragma once
// log, exp and cos by fixed polynomials in double: IEEE additions, multiplications and one division, never contracted to FMA, so that every
// machine and every generated kernel gets the same bits. Coefficients are the Taylor series' rationals, rounded to double.

#include <bit>
#include <cstdint>

namespace moec {

/// ln x for a normal x > 0. x = m 2^e with m in [sqrt(1/2), sqrt(2)); with s = (m-1)/(m+1), ln m = 2 atanh(s) =
/// 2s (1 + z/3 + z^2/5 + ...), z = s^2 <= 0.0295: eleven terms leave 1e-18. Highest power first, by Horner's rule.
constexpr double kLogTerms[] = {1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3, 1.0};
constexpr double kLn2High = 0x1.62e42fefp-1;      // 32 bits of ln 2: its product with an exponent is exact
constexpr double kLn2Low = 0x1.473de6af278edp-34; // ln 2 - kLn2High

constexpr double fixedLog(double x) {
  uint64_t bits = std::bit_cast<uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  uint64_t fraction = bits & 0xFFFFFFFFFFFFFull;
  if (fraction >= 0x6A09E667F3BCDull) { // m >= sqrt(2): halve it
    bits = fraction | 0x3FE0000000000000ull;
    ++exponent;
  } else {
    bits = fraction | 0x3FF0000000000000ull;
  }
  double m = std::bit_cast<double>(bits);
  double s = (m - 1.0) / (m + 1.0), z = s * s, sum = 0.0;
  for (double term : kLogTerms)
    sum = sum * z + term;
  double e = exponent;
  return e * kLn2High + (2.0 * s * sum + e * kLn2Low);
}

/// e^x for x <= 700; 0 below -708, where doubles lose digits. x = k ln 2 + r with |r| <= ln 2 / 2: the series of e^r to r^14 leaves 1e-19. Highest power first.
constexpr double kExpTerms[] = {1.0 / 87178291200, 1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
                                1.0 / 720,         1.0 / 120,        1.0 / 24,        1.0 / 6,        1.0 / 2,       1.0,          1.0};
constexpr double kPerLn2 = 0x1.71547652b82fep0;

constexpr double fixedExp(double x) {
  if (x < -708.0)
    return 0.0;
  double turns = x * kPerLn2;
  int k = static_cast<int>(turns < 0 ? turns - 0.5 : turns + 0.5);
  double r = (x - k * kLn2High) - k * kLn2Low, sum = 0.0;
  for (double term : kExpTerms)
    sum = sum * r + term;
  return sum * std::bit_cast<double>(static_cast<uint64_t>(k + 1023) << 52);
}

/// cos(2 pi v) for v in [0, 1). 4v = q + r with q the nearest integer and r in [-1/2, 1/2], exact in double; with
/// x = r pi/2 and t = x^2 <= 0.617 the series of cos and sin to t^8 leave 2e-18. Highest power first.
constexpr double kCosTerms[] = {1.0 / 20922789888000, -1.0 / 87178291200, 1.0 / 479001600, -1.0 / 3628800, 1.0 / 40320, -1.0 / 720, 1.0 / 24, -1.0 / 2, 1.0};
constexpr double kSinTerms[] = {
    1.0 / 355687428096000, -1.0 / 1307674368000, 1.0 / 6227020800, -1.0 / 39916800, 1.0 / 362880, -1.0 / 5040, 1.0 / 120, -1.0 / 6, 1.0};
constexpr double kHalfPi = 0x1.921fb54442d18p0;

constexpr double fixedCosTurns(double v) {
  double w = 4.0 * v;
  int q = static_cast<int>(w + 0.5);
  double x = (w - q) * kHalfPi, t = x * x;
  double cosine = 0.0, sine = 0.0;
  for (double term : kCosTerms)
    cosine = cosine * t + term;
  for (double term : kSinTerms)
    sine = sine * t + term;
  sine = sine * x;
  switch (q & 3) {
  case 0:
    return cosine;
  case 1:
    return -sine;
  case 2:
    return -cosine;
  default:
    return sine;
  }
}

} // namespace moec
