#pragma once
// What the functions of codegen/cpu/VectorMath.h must give, by libm in a longer format, and how far a result lies from that. Knows nothing of kernels: it is
// compiled with optimization, for a sweep calls it many billion times.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

namespace moec::testing {

/// The format in which the truth for a T is computed.
template <class T> using Longer = std::conditional_t<sizeof(T) == 8, long double, double>;

struct MathTruth {
  const char* name;
  double (*of)(double);               // for f32: some units of f64 off
  long double (*wideOf)(long double); // for f64
  double ulps, wideUlps;              // what f32 and f64 are held to
  double (*terms)(double) = nullptr;  // of a sum that cancels: the size of its larger term, whose last place is the unit
  long double (*wideTerms)(long double) = nullptr;
};

std::span<const MathTruth> mathTruths();

/// want[i] for x[i].
template <class T> void truthsOf(const MathTruth& truth, const T* x, Longer<T>* want, size_t count);

/// The distance of `got` from `want` in units of the last place that a T has at `want`, or at a larger term of it. Denormals have one unit.
template <class T, class Real> double ulpsBetween(T got, Real want, Real term = 0) {
  T rounded = static_cast<T>(want);
  if (got == rounded || (std::isnan(got) && std::isnan(rounded)))
    return 0;
  if (!std::isfinite(got) || !std::isfinite(rounded))
    return std::numeric_limits<double>::infinity();
  int exponent = std::ilogb(std::max(std::fabs(want), term)) + 1;
  exponent = std::max(exponent, std::numeric_limits<T>::min_exponent);
  return static_cast<double>(std::ldexp(std::fabs(static_cast<Real>(got) - want), std::numeric_limits<T>::digits - exponent));
}

struct WorstUlps {
  double ulps = 0;
  double where = 0;
  double subnormal = 0; // the worst of results below the smallest normal number

  void take(double error, double x, bool isSubnormal);
  void take(const WorstUlps& other);
};

/// Of results y at points x.
template <class T> WorstUlps worstOf(const MathTruth& truth, const T* x, const Longer<T>* want, const T* y, size_t count);

/// x[i] has the bits first + i.
void consecutive(uint32_t first, std::span<float> x);
/// By turns of [-2, 2), [-20, 20), [-750, 750) and every magnitude.
void scattered(uint64_t seed, std::span<double> x);
/// Zeros, infinities, NaN, the ends of the normal and the denormal numbers, the ends of every binade, and the places where a function changes its formula.
template <class T> std::vector<T> edges();

} // namespace moec::testing
