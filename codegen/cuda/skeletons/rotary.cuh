#pragma once
#include "polynomial.cuh"
// Sine and cosine of an angle up to 2^31, in fp64: the quarter turn it lies in and what is left of it, whose Taylor series end below the last digit. Step by
// step those of codegen/cpu/PositionElements.cpp, so that a GPU's results have a CPU's bits.

struct SineCosine {
  double sine, cosine;
};

// Horner's rule over 1/first!, 1/(first + 2)! .. 1/last! with signs that change, the first of them negative.
template <int first, int last> __device__ __forceinline__ double factorialSeries(double z) {
  double factorial = 1;
#pragma unroll
  for (int n = 2; n <= last; ++n)
    factorial *= n;
  double sum = ((last - first) / 2 % 2 == 0 ? -1.0 : 1.0) / factorial;
#pragma unroll
  for (int n = last - 2; n >= first; n -= 2) {
    factorial /= (double)((n + 1) * (n + 2));
    sum = math::fma(sum, z, ((n - first) / 2 % 2 == 0 ? -1.0 : 1.0) / factorial);
  }
  return sum;
}

__device__ __forceinline__ SineCosine sineCosine(double angle) {
  const double shifted = angle * 0x1.45f306dc9c883p-1 + 0x1.8p52; // 2 / pi; the sum is rounded to an integer, which its low bits hold
  const double back = 0x1.8p52 - shifted;
  const unsigned turn = (unsigned)__double_as_longlong(shifted);
  double r = math::fma(back, 0x1.921fb54442d18p0, angle); // pi / 2, in two parts
  r = math::fma(back, 0x1.1a62633145c07p-54, r);
  const double z = r * r;
  const double sine = math::fma(r * z, factorialSeries<3, 17>(z), r), cosine = math::fma(z, factorialSeries<2, 18>(z), 1.0);
  const double s = turn & 1 ? cosine : sine, c = turn & 1 ? sine : cosine;
  return {turn & 2 ? -s : s, (turn + 1) & 2 ? -c : c};
}
