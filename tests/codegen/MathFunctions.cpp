#include "tests/codegen/MathFunctions.h"

#include "codegen/cpu/VectorMath.h"

#include <algorithm>

namespace moec::testing {

namespace cpu = codegen::cpu;

namespace {

template <class R> const R kPi = std::acos(R(-1));

template <class R> R sigmoidOf(R x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }
template <class R> R softplusOf(R x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }
/// 0 where x is -inf: the limit of x times what vanishes faster.
template <class R> R timesVanishing(R x, R factor) { return std::isinf(x) && x < 0 ? R(0) : x * factor; }
template <class R> R siluOf(R x) { return timesVanishing(x, sigmoidOf(x)); }
template <class R> R normalUpTo(R x) { return std::erfc(-x / std::sqrt(R(2))) / 2; }
template <class R> R geluOf(R x) { return timesVanishing(x, normalUpTo(x)); }
template <class R> R timesDensity(R x) { return std::isinf(x) ? R(0) : x * std::exp(-x * x / 2) / std::sqrt(2 * kPi<R>); }
template <class R> R geluGradOf(R x) { return normalUpTo(x) + timesDensity(x); }
template <class R> R geluGradTerms(R x) { return std::max(normalUpTo(x), std::fabs(timesDensity(x))); }

template <class R> R exponentOf(R x) { return 2 * std::sqrt(2 / kPi<R>) * (x + R(0.044715) * x * x * x); }
template <class R> R geluTanhOf(R x) { return timesVanishing(x, sigmoidOf(exponentOf(x))); }
/// x s (1 - s) u' of docs/SPEC.md; beyond the clamp it is 0 in any format.
template <class R> R timesSlope(R x) {
  R y = std::clamp<R>(x, -100, 100);
  return y * sigmoidOf(exponentOf(y)) * sigmoidOf(-exponentOf(y)) * 2 * std::sqrt(2 / kPi<R>) * (1 + 3 * R(0.044715) * y * y);
}
template <class R> R geluTanhGradOf(R x) { return std::isnan(x) ? x : sigmoidOf(exponentOf(x)) + timesSlope(x); }
template <class R> R geluTanhGradTerms(R x) { return std::max(sigmoidOf(exponentOf(x)), std::fabs(timesSlope(x))); }

cpu::Value eluOne(cpu::KernelBuilder& k, cpu::Value x) { return cpu::elu(k, x, 1); }
template <class R> R eluOf(R x) { return x > 0 ? x : std::expm1(x); }

template <class R> R expOf(R x) { return std::exp(x); }
template <class R> R expm1Of(R x) { return std::expm1(x); }
template <class R> R logOf(R x) { return std::log(x); }
template <class R> R tanhOf(R x) { return std::tanh(x); }
template <class R> R erfOf(R x) { return std::erf(x); }

#define MOEC_TRUTH(f) f<double>, f<long double>
const MathFunction kFunctions[] = {
    {"exp", cpu::exp, MOEC_TRUTH(expOf), 1.2, 2},
    {"expm1", cpu::expm1, MOEC_TRUTH(expm1Of), 1.75, 2.5},
    {"log", cpu::log, MOEC_TRUTH(logOf), 1.0, 1.5},
    {"tanh", cpu::tanh, MOEC_TRUTH(tanhOf), 1.3, 2},
    {"sigmoid", cpu::sigmoid, MOEC_TRUTH(sigmoidOf), 1.9, 2.5},
    {"softplus", cpu::softplus, MOEC_TRUTH(softplusOf), 1.95, 2.5},
    {"erf", cpu::erf, MOEC_TRUTH(erfOf), 1.3, 2},
    {"gelu", cpu::gelu, MOEC_TRUTH(geluOf), 2, 6},
    // f64: the exponent is a rounded cubic of six roundings, seven without FMA: half a unit each, and a unit of it costs as many as it is large.
    {"geluTanh", cpu::geluTanh, MOEC_TRUTH(geluTanhOf), 2, 3, 3.5, nullptr, nullptr, exponentOf<double>},
    {"silu", cpu::silu, MOEC_TRUTH(siluOf), 1.95, 3},
    {"elu", eluOne, MOEC_TRUTH(eluOf), 1.15, 2.5},
    {"geluGrad", cpu::geluGrad, MOEC_TRUTH(geluGradOf), 2.3, 6, 0, MOEC_TRUTH(geluGradTerms)},
    {"geluTanhGrad", cpu::geluTanhGrad, MOEC_TRUTH(geluTanhGradOf), 3.3, 6, 3.5, MOEC_TRUTH(geluTanhGradTerms), exponentOf<double>},
};
#undef MOEC_TRUTH

} // namespace

std::span<const MathFunction> mathFunctions() { return kFunctions; }

MappedKernel mathKernel(DType dtype, const std::string& target, bool vectors) {
  std::vector<MappedKernel::Code> codes;
  for (const MathFunction& function : kFunctions)
    codes.push_back([code = function.code](cpu::KernelBuilder& k, const cpu::Values& x) { return code(k, x[0]); });
  return MappedKernel(codes, dtype, target, 1, vectors);
}

void WorstUlps::take(double error, double x, bool isSubnormal) {
  if (isSubnormal)
    subnormal = std::max(subnormal, error);
  else if (error > ulps) {
    ulps = error;
    where = x;
  }
}

void WorstUlps::take(const WorstUlps& other) {
  take(other.ulps, other.where, false);
  take(other.subnormal, 0, true);
}

template <class T> WorstUlps worstOf(const MathFunction& function, const T* x, const T* y, size_t count) {
  constexpr bool isWide = sizeof(T) == 8;
  using Real = std::conditional_t<isWide, long double, double>;
  WorstUlps worst;
  for (size_t i = 0; i < count; ++i) {
    Real want, term = 0;
    if constexpr (isWide) {
      want = function.wideTruth(x[i]);
      if (function.wideTerms)
        term = function.wideTerms(x[i]);
    } else {
      want = function.truth(x[i]);
      if (static_cast<T>(want) == y[i]) // most are
        continue;
      if (function.terms)
        term = function.terms(x[i]);
    }
    double error = ulpsBetween(y[i], want, term);
    if (isWide && x[i] < 0 && function.exponent && std::isfinite(error))
      error -= function.perExponent * std::fabs(function.exponent(x[i]));
    worst.take(error, x[i], std::fabs(want) < std::numeric_limits<T>::min());
  }
  return worst;
}
template WorstUlps worstOf<float>(const MathFunction&, const float*, const float*, size_t);
template WorstUlps worstOf<double>(const MathFunction&, const double*, const double*, size_t);

template <class T> std::vector<T> edges() {
  constexpr T infinity = std::numeric_limits<T>::infinity(), least = std::numeric_limits<T>::denorm_min();
  std::vector<T> positive = {
      0, infinity, std::numeric_limits<T>::quiet_NaN(), least, 3 * least, std::numeric_limits<T>::max(), std::numeric_limits<T>::min() / 2, T(1e4), T(1e-30)};
  for (int exponent = std::numeric_limits<T>::min_exponent; exponent < std::numeric_limits<T>::max_exponent; ++exponent)
    positive.push_back(std::ldexp(T(1), exponent));
  for (double place : {0.5,     0.625,   1.25, 4.0,      10.0,     10.9,  14.6,  14.7,  28.0,     30.0,     39.0,  40.0,     50.0,     87.3365,
                       88.3763, 88.7228, 89.0, 103.2789, 103.9721, 104.0, 109.0, 170.0, 708.3964, 709.7827, 710.0, 744.4401, 745.1332, 1400.0})
    positive.push_back(static_cast<T>(place));
  std::vector<T> all;
  for (T x : positive)
    for (T near : {std::nextafter(x, T(0)), x, std::nextafter(x, infinity)}) {
      all.push_back(near);
      all.push_back(-near);
    }
  return all;
}
template std::vector<float> edges<float>();
template std::vector<double> edges<double>();

} // namespace moec::testing
