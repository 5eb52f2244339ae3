#pragma once
#include "coefficients.cuh"
// Functions of a float or a double, by the same steps: exp, expm1, log, tanh, softplus and elu of a double by those of codegen/cpu/VectorMathF64.cpp, too,
// so that a GPU's results have a CPU's bits.
// NaN stays NaN, infinities have their limits (silu and gelu: 0 at -inf), results below the smallest normal number are right to the last denormal.

namespace math {

template <class T> struct Format;
template <> struct Format<float> {
  using Bits = unsigned;
  static constexpr int fractionBits = 23, bias = 127;
  static constexpr Bits infinity = 0x7f800000u, quietNan = 0x7fc00000u, sign = 0x80000000u;
};
template <> struct Format<double> {
  using Bits = unsigned long long;
  static constexpr int fractionBits = 52, bias = 1023;
  static constexpr Bits infinity = 0x7ff0000000000000ull, quietNan = 0x7ff8000000000000ull, sign = 0x8000000000000000ull;
};

__device__ __forceinline__ unsigned bitsOf(float x) { return (unsigned)__float_as_int(x); }
__device__ __forceinline__ unsigned long long bitsOf(double x) { return (unsigned long long)__double_as_longlong(x); }
__device__ __forceinline__ float fromBits(unsigned bits) { return __int_as_float((int)bits); }
__device__ __forceinline__ double fromBits(unsigned long long bits) { return __longlong_as_double((long long)bits); }

template <class T> __device__ __forceinline__ T infinity() { return fromBits(Format<T>::infinity); }
template <class T> __device__ __forceinline__ T absolute(T x) { return fromBits(bitsOf(x) & ~Format<T>::sign); }
template <class T> __device__ __forceinline__ T copySign(T x, T sign) {
  return fromBits((bitsOf(x) & ~Format<T>::sign) | (bitsOf(sign) & Format<T>::sign));
}
template <class T> __device__ __forceinline__ T pick(float narrow, double wide) {
  if constexpr (sizeof(T) == 4)
    return narrow;
  else
    return wide;
}

// x limited to [low, high]; NaN stays.
template <class T> __device__ __forceinline__ T clamp(T x, T low, T high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

//--- exp: x = n ln 2 + r, 2^n (1 + q) with q = exp(r) - 1 on |r| <= ln 2 / 2

template <class T> struct Reduced {
  T q;
  typename Format<T>::Bits n; // two's complement
};

template <class T> __device__ __forceinline__ Reduced<T> reduceExp(T x) {
  const T magic = pick<T>(0x1.8p23f, 0x1.8p52); // adding it rounds to an integer and leaves that in the low bits
  const T shifted = fma(x, Table<T>::inverseLn2, magic);
  const T n = shifted - magic;
  T r = fma(n, -pick<T>(Table<float>::ln2Short, Table<double>::ln2), x);
  r = fma(n, -pick<T>(Table<float>::ln2ShortRest, Table<double>::ln2Rest), r);
  const T q = fma(r * r, Table<T>::exp(r), r);
  return {q, bitsOf(shifted) - bitsOf(magic)};
}

// 2^e from e + bias, for normal numbers.
template <class T> __device__ __forceinline__ T powerOfTwo(typename Format<T>::Bits biased) { return fromBits(biased << Format<T>::fractionBits); }

// exp(x) as three factors. What it is multiplied with goes before the last, so that only the product is rounded to a denormal.
template <class T> struct Exponential {
  T mantissa, scale, lastScale;

  __device__ __forceinline__ T times(T factor) const { return factor * mantissa * scale * lastScale; }
  __device__ __forceinline__ T value() const { return mantissa * scale * lastScale; }
};

template <class T> __device__ __forceinline__ Exponential<T> exponential(T x) {
  // Beyond these 0 (of products with factors up to 1e4, too) and infinity come out by themselves.
  const Reduced<T> e = reduceExp(clamp(x, pick<T>(-170.0f, -1400.0), pick<T>(89.0f, 710.0)));
  // Two powers: 2^n itself may lie outside the normal numbers.
  const auto sum = e.n + 2 * Format<T>::bias, half = sum >> 1;
  return {e.q + T(1), powerOfTwo<T>(half), powerOfTwo<T>(sum - half)};
}

template <class T> __device__ __forceinline__ T exp(T x) { return exponential(x).value(); }

// exp(x) - 1, accurate near 0.
template <class T> __device__ __forceinline__ T expm1(T x) {
  const Reduced<T> e = reduceExp(clamp(x, pick<T>(-30.0f, -50.0), pick<T>(89.0f, 710.0)));
  // 2^n q + 2^n - 1 with halves, since 2^n may be too large by one.
  const T half = powerOfTwo<T>(e.n + (Format<T>::bias - 1));
  const T result = fma(e.q, half, half - T(0.5));
  return absolute(x) < pick<T>(0x1p-26f, 0x1p-55) ? x : result + result;
}

//--- log

template <class T> __device__ __forceinline__ T log(T x) {
  using Bits = typename Format<T>::Bits;
  constexpr int fraction = Format<T>::fractionBits, bias = Format<T>::bias;
  const bool small = x < pick<T>(0x1p-126f, 0x1p-1022);
  const T normal = small ? x * pick<T>(0x1p25f, 0x1p54) : x;
  // Subtracting the bits of sqrt(1/2) makes the exponent field floor(log2(x sqrt 2)); bias + 1 more keeps it positive.
  const Bits word = bitsOf(normal);
  const Bits exponent = (word - bitsOf(Table<T>::sqrtHalf) + (Bits(bias + 1) << fraction)) >> fraction;
  const T m = fromBits(word - ((exponent - Bits(bias + 1)) << fraction));
  const T unit = pick<T>(0x1p23f, 0x1p52); // an integer in its low bits is unit + integer
  T n = fromBits(exponent | bitsOf(unit)) - (unit + T(bias + 1));
  n = n - (small ? T(fraction + 2) : T(0));

  // log m = g - s (g - z P(z)) with g = m - 1, s = g / (2 + g), z = s^2.
  const T g = m - T(1), s = g / (g + T(2)), z = s * s;
  const T inner = s * (g - z * Table<T>::log(z));
  const T low = fma(n, Table<T>::ln2ShortRest, -inner);
  T result = n * Table<T>::ln2Short + (low + g);
  const T odd = x == T(0) ? -infinity<T>() : fromBits(Format<T>::quietNan);
  result = x > T(0) ? result : odd; // NaN too
  return x == infinity<T>() ? x : result;
}

//--- tanh, sigmoid, softplus

template <class T> __device__ __forceinline__ T tanh(T x) {
  const T magnitude = absolute(x), z = x * x;
  const T near = fma(x * z, Table<T>::tanh(z), x);
  const T far = T(1) - T(2) / (exp(magnitude + magnitude) + T(1));
  return magnitude < T(0.625) ? near : copySign(far, x);
}

template <class T> __device__ __forceinline__ T sigmoid(T x) {
  const T e = exp(-absolute(x));
  return (x < T(0) ? e : T(1)) / (e + T(1));
}

template <class T> __device__ __forceinline__ T relu(T x) { return x < T(0) ? T(0) : x; }

template <class T> __device__ __forceinline__ T softplus(T x) {
  // exp(-|x|) lies in [0, 1]: log1p without its special cases.
  const T e = exp(-absolute(x)), sum = e + T(1);
  const T lost = e - (sum - T(1)); // what the addition rounded away
  return relu(x) + (log(sum) + lost / sum);
}

//--- erf, gelu

// erfc(y) / exp(-y^2) for y in [0, 28].
template <class T> __device__ __forceinline__ T scaledErfc(T y) {
  const T r = T(1) / (y + T(2)), t = (y - T(2)) * r;
  return Table<T>::erfc(t) * r;
}

// Near 0 a polynomial, elsewhere 1 - erfc.
template <class T> __device__ __forceinline__ T erf(T x) {
  const T magnitude = absolute(x), z = x * x;
  const T inner = fma(z, Table<T>::erf(z), Table<T>::twoOverSqrtPiRest);
  const T near = fma(x, Table<T>::twoOverSqrtPi, x * inner);
  const T bounded = clamp(magnitude, T(0), T(28));
  const T square = bounded * bounded, rest = fma(bounded, bounded, -square); // the rounding of the square is put right
  const T c = scaledErfc(bounded);
  const T far = T(1) - exponential(-square).times(fma(-rest, c, c));
  return magnitude < T(1) ? near : copySign(far, x);
}

// x Phi(x); Phi(-|x|) = erfc(|x| / sqrt 2) / 2, relatively exact in the tail.
template <class T> __device__ __forceinline__ T gelu(T x) {
  const T bounded = clamp(x, T(-39), T(39));
  const T square = bounded * bounded, rest = fma(bounded, bounded, -square); // the rounding of the square is put right
  T c = scaledErfc(absolute(bounded) * Table<T>::sqrtHalf);
  const Exponential<T> e = exponential(square * T(-0.5));
  c = fma(rest * T(-0.5), c, c);
  const T half = c * T(0.5);
  return x < T(0) ? e.times(bounded * half) : x * (T(1) - e.times(half));
}

// x sigmoid(y) where y has the sign of x and grows with it: 0 at -inf.
template <class T> __device__ __forceinline__ T timesSigmoid(T x, T y) {
  const Exponential<T> e = exponential(-absolute(y));
  const T bounded = x < T(-1e4) ? T(-1e4) : x;
  return (y < T(0) ? e.times(bounded) : x) / (e.value() + T(1));
}

// (1 + tanh u) / 2 = sigmoid(2u).
template <class T> __device__ __forceinline__ T geluTanh(T x) {
  const T cubic = fma(x * x * T(0.044715), x, x);
  return timesSigmoid(x, cubic * (T(2) * Table<T>::sqrtTwoOverPi));
}

template <class T> __device__ __forceinline__ T silu(T x) { return timesSigmoid(x, x); }

//--- derivatives of gelu and of its approximation

// f(x) from f(-|x|), where f(x) + f(-x) = 1.
template <class T> __device__ __forceinline__ T fromMirrored(T x, T mirrored) { return x < T(0) ? mirrored : T(1) - mirrored; }

// Phi(x) + x phi(x); both are multiples of exp(-x^2/2).
template <class T> __device__ __forceinline__ T geluGrad(T x) {
  const T y = clamp(absolute(x), T(0), T(39));
  const T square = y * y, rest = fma(y, y, -square);
  const T c = scaledErfc(y * Table<T>::sqrtHalf);
  T sum = T(0.5) * fma(y, -Table<T>::sqrtTwoOverPi, c); // 1 / sqrt(2 pi) is half of sqrt(2 / pi)
  sum = fma(rest * T(-0.5), sum, sum);
  return fromMirrored(x, exponential(square * T(-0.5)).times(sum));
}

// At -y: with u = 2 sqrt(2/pi) (y + 0.044715 y^3), e = exp(-u) and d = 1 / (1 + e): e d - y u' e d^2.
template <class T> __device__ __forceinline__ T geluTanhGrad(T x) {
  const T y = clamp(absolute(x), T(0), T(30)), square = y * y; // at 30 it is 0
  const T twice = T(2) * Table<T>::sqrtTwoOverPi;
  const T u = fma(square * T(0.044715), y, y) * twice, slope = fma(square, T(3 * 0.044715), T(1)) * twice;
  const Exponential<T> e = exponential(-u);
  const T d = T(1) / (e.value() + T(1));
  return fromMirrored(x, e.times(d * (T(1) - y * slope * d)));
}

//--- the rest

template <class T> __device__ __forceinline__ T leakyRelu(T x, T slope) { return x < T(0) ? x * slope : x; }

template <class T> __device__ __forceinline__ T elu(T x, T alpha) {
  const T negative = alpha * expm1(clamp(x, T(-1e4), T(0)));
  return x > T(0) ? x : negative;
}

__device__ __forceinline__ float sqrt(float x) { return __fsqrt_rn(x); }
__device__ __forceinline__ double sqrt(double x) { return __dsqrt_rn(x); }

// Towards zero; what an int does not hold becomes its nearest number, NaN 0.
template <class T> __device__ __forceinline__ int toInt(T x) {
  return x >= T(2147483648.0) ? 0x7fffffff : x < T(-2147483648.0) ? -0x7fffffff - 1 : x != x ? 0 : (int)x;
}

// Of floats, integers and bools. A NaN operand is the result.
template <class T> __device__ __forceinline__ T minimum(T a, T b) { return a < b || a != a ? a : b; }
template <class T> __device__ __forceinline__ T maximum(T a, T b) { return a > b || a != a ? a : b; }

} // namespace math
