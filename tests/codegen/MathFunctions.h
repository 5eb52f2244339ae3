#pragma once
// The functions of codegen/cpu/VectorMath.h beside what they must give, and how far a result lies from that.

#include "tests/codegen/MappedKernel.h"

#include <cmath>
#include <limits>
#include <ostream>
#include <span>
#include <string>
#include <vector>

namespace moec::testing {

struct MathFunction {
  const char* name;
  codegen::cpu::Value (*code)(codegen::cpu::KernelBuilder&, codegen::cpu::Value);
  double (*truth)(double);               // for f32, with libm: some units of f64 off
  long double (*wideTruth)(long double); // for f64
  double ulps, wideUlps;                 // what f32 and f64 are held to
  double perExponent = 0;                // f64: more of them for each unit of the rounded exponent
  double (*terms)(double) = nullptr;     // of a sum that cancels: the size of its larger term, whose last place is the unit
  long double (*wideTerms)(long double) = nullptr;
  double (*exponent)(double) = nullptr;
};

inline void PrintTo(const MathFunction& function, std::ostream* out) { *out << function.name; }

std::span<const MathFunction> mathFunctions();
/// All of them in one image.
MappedKernel mathKernel(DType dtype, const std::string& target, bool vectors = true);

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
  double ulps = 0; // less what perExponent allows
  double where = 0;
  double subnormal = 0; // the worst of results below the smallest normal number

  void take(double error, double x, bool isSubnormal);
  void take(const WorstUlps& other);
};

/// Of results y at points x.
template <class T> WorstUlps worstOf(const MathFunction& function, const T* x, const T* y, size_t count);

/// Zeros, infinities, NaN, the ends of the normal and the denormal numbers, the ends of every binade, and the places where a function changes its formula.
template <class T> std::vector<T> edges();

} // namespace moec::testing
