#pragma once
#include "prelude.cuh"
// Draws of runtime/core/Philox.h and FixedMath.h, operation by operation: the bits are the same on every device.

namespace draws {

struct Words { unsigned a, b, c, d; };

__device__ __forceinline__ Words philox(unsigned long long seed, unsigned step, unsigned stream, unsigned long long element) {
  Words w = {(unsigned)element, (unsigned)(element >> 32), stream, step};
  unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const unsigned long long p0 = 0xD2511F53ull * w.a, p1 = 0xCD9E8D57ull * w.c;
    w = {(unsigned)(p1 >> 32) ^ w.b ^ k0, (unsigned)p1, (unsigned)(p0 >> 32) ^ w.d ^ k1, (unsigned)p0};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return w;
}

// 53 bits in [0, 1).
__device__ __forceinline__ double uniform(unsigned high, unsigned low) {
  return (double)(((unsigned long long)high << 32 | low) >> 11) * 0x1p-53;
}

template <int N> __device__ __forceinline__ double horner(const double (&terms)[N], double x) {
  double sum = 0.0;
#pragma unroll
  for (int i = 0; i < N; ++i)
    sum = sum * x + terms[i];
  return sum;
}

// ln x for a normal x > 0.
__device__ __forceinline__ double log(double x) {
  constexpr double terms[] = {1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3, 1.0};
  const unsigned long long bits = (unsigned long long)__double_as_longlong(x), fraction = bits & 0xFFFFFFFFFFFFFull;
  const bool large = fraction >= 0x6A09E667F3BCDull; // m >= sqrt(2): halve it
  const double m = __longlong_as_double((long long)(fraction | (large ? 0x3FE0000000000000ull : 0x3FF0000000000000ull)));
  const double e = (double)((int)(bits >> 52) - (large ? 1022 : 1023));
  const double s = (m - 1.0) / (m + 1.0);
  const double sum = horner(terms, s * s);
  return e * 0x1.62e42fefp-1 + (2.0 * s * sum + e * 0x1.473de6af278edp-34);
}

// cos(2 pi v) for v in [0, 1).
__device__ __forceinline__ double cosTurns(double v) {
  constexpr double cosTerms[] = {1.0 / 20922789888000, -1.0 / 87178291200, 1.0 / 479001600, -1.0 / 3628800, 1.0 / 40320,
                                 -1.0 / 720,           1.0 / 24,           -1.0 / 2,        1.0};
  constexpr double sinTerms[] = {1.0 / 355687428096000, -1.0 / 1307674368000, 1.0 / 6227020800, -1.0 / 39916800, 1.0 / 362880,
                                 -1.0 / 5040,           1.0 / 120,            -1.0 / 6,         1.0};
  const double w = 4.0 * v;
  const int q = (int)(w + 0.5);
  const double x = (w - (double)q) * 0x1.921fb54442d18p0, t = x * x;
  const double cosine = horner(cosTerms, t), sine = horner(sinTerms, t) * x;
  // Quarters 1 and 3 take the sine, 1 and 2 are negative.
  const double result = (q & 1) != 0 ? sine : cosine;
  return (q + 1 & 2) != 0 ? -result : result;
}

} // namespace draws

// Draw `element` of a stream in this call's seed and step.
__device__ __forceinline__ double uniformF64(unsigned long long seed, unsigned step, unsigned stream, unsigned long long element) {
  const draws::Words w = draws::philox(seed, step, stream, element);
  return draws::uniform(w.a, w.b);
}
__device__ __forceinline__ float uniformF32(unsigned long long seed, unsigned step, unsigned stream, unsigned long long element) {
  return (float)(draws::philox(seed, step, stream, element).a >> 8) * 0x1p-24f;
}
// Standard normal by Box-Muller, in double.
__device__ __forceinline__ double normalF64(unsigned long long seed, unsigned step, unsigned stream, unsigned long long element) {
  const draws::Words w = draws::philox(seed, step, stream, element);
  const double u = draws::uniform(w.a, w.b), v = draws::uniform(w.c, w.d);
  return __dsqrt_rn(-2.0 * draws::log(1.0 - u)) * draws::cosTurns(v);
}
__device__ __forceinline__ float normalF32(unsigned long long seed, unsigned step, unsigned stream, unsigned long long element) {
  return (float)normalF64(seed, step, stream, element);
}
