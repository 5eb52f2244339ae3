#pragma once
#include "prelude.cuh"
// Polynomials with coefficients known when the text is compiled.

namespace math {

__device__ __forceinline__ float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ __forceinline__ double fma(double a, double b, double c) { return __fma_rn(a, b, c); }

// Every second coefficient from `First`, by Horner's rule.
template <int First, class T, int N> __device__ __forceinline__ T chain(const T (&c)[N], T square) {
  constexpr int last = First + (N - 1 - First) / 2 * 2;
  T sum = c[last];
#pragma unroll
  for (int i = last; i > First; i -= 2)
    sum = fma(sum, square, c[i - 2]);
  return sum;
}

// c[0] + c[1] x + ...: even and odd powers apart, so that two chains run side by side.
template <class T, int N> __device__ __forceinline__ T polynomial(const T (&c)[N], T x) {
  const T square = x * x;
  const T odd = chain<1>(c, square);
  return fma(odd, x, chain<0>(c, square));
}

} // namespace math
