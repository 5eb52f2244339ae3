#include "tests/codegen/MathTruths.h"

#include <bit>
#include <random>

namespace moec::testing {

namespace {

template <class R> const R kPi = std::acos(R(-1));

template <class R> R sigmoidOf(R x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }
template <class R> R softplusOf(R x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }
/// 0 where x is -inf: the limit of x times what vanishes faster.
template <class R> R timesVanishing(R x, R factor) { return std::isinf(x) && x < 0 ? R(0) : x * factor; }
template <class R> R siluOf(R x) { return timesVanishing(x, sigmoidOf(x)); }
/// The upper half of the digits.
template <class R> R upperHalf(R x) {
  R shifted = x * (std::ldexp(R(1), (std::numeric_limits<R>::digits + 1) / 2) + 1);
  return shifted - (shifted - x);
}
/// a b less its rounded self (Dekker): fma on long double is a hundred times slower.
template <class R> R lostOf(R a, R b) {
  R aHigh = upperHalf(a), bHigh = upperHalf(b), aLow = a - aHigh, bLow = b - bHigh;
  return ((aHigh * bHigh - a * b) + aHigh * bLow + aLow * bHigh) + aLow * bLow;
}

/// What x / sqrt(2) and x^2 lose where they are rounded is put back: far from 0 a unit of an exponent counts as many times as the exponent is large.
template <class R> R normalUpTo(R x) {
  static const R root = std::sqrt(R(0.5)), rootRest = (R(0.5) - root * root - lostOf(root, root)) / (2 * root);
  R z = -x * root;
  if (std::is_same_v<R, double> || !std::isfinite(z)) // of f32 it is a millionth of a unit
    return std::erfc(z) / 2;
  R lost = lostOf(-x, root) - x * rootRest;
  return std::erfc(z) / 2 - lost * std::exp(-z * z) / std::sqrt(kPi<R>);
}
template <class R> R geluOf(R x) { return timesVanishing(x, normalUpTo(x)); }
template <class R> R timesDensity(R x) {
  if (std::isinf(x))
    return 0;
  return x * std::exp(-x * x / 2) * (1 - lostOf(x, x) / 2) / std::sqrt(2 * kPi<R>);
}
template <class R> R geluGradOf(R x) { return normalUpTo(x) + timesDensity(x); }
template <class R> R geluGradTerms(R x) { return std::max(normalUpTo(x), std::fabs(timesDensity(x))); }

/// A number, and what it lost where it was rounded.
template <class R> struct Pair {
  R head, lost;
};

/// 2 sqrt(2/pi) (x + 0.044715 x^3) with the f64 that 0.044715 is; x^2 and all behind it in two parts.
template <class R> Pair<R> exponentOf(R x) {
  constexpr R factor = 0.044715, linearHead = 0x1.9884533d43651p+0, linearTail = -0x1.cbc0d30ebfd15p-54; // 2 sqrt(2/pi)
  const R linear = linearHead + linearTail, linearRest = (linearHead - linear) + linearTail;
  R square = x * x, term = factor * square, termLost = lostOf(factor, square) + factor * lostOf(x, x);
  R sum = 1 + term, ofTerm = sum - 1, sumLost = (1 - (sum - ofTerm)) + (term - ofTerm) + termLost;
  R cubic = x * sum, cubicLost = lostOf(x, sum) + x * sumLost;
  return {linear * cubic, lostOf(linear, cubic) + linear * cubicLost + linearRest * cubic};
}
template <class R> R sigmoidOf(Pair<R> x) {
  R s = sigmoidOf(x.head);
  return s + s * (1 - s) * x.lost;
}
/// Beyond this both functions have their limits in any format.
template <class R> R bounded(R x) { return std::clamp<R>(x, -100, 100); }
template <class R> R geluTanhOf(R x) { return timesVanishing(x, sigmoidOf(exponentOf(bounded(x)))); }
/// x s (1 - s) u' of docs/SPEC.md.
template <class R> R timesSlope(R x) {
  R y = bounded(x);
  return y * sigmoidOf(exponentOf(y)) * sigmoidOf(exponentOf(-y)) * 2 * std::sqrt(2 / kPi<R>) * (1 + 3 * R(0.044715) * y * y);
}
template <class R> R geluTanhGradOf(R x) { return std::isnan(x) ? x : sigmoidOf(exponentOf(bounded(x))) + timesSlope(x); }
template <class R> R geluTanhGradTerms(R x) { return std::max(sigmoidOf(exponentOf(bounded(x))), std::fabs(timesSlope(x))); }

template <class R> R eluOf(R x) { return x > 0 ? x : std::expm1(x); }

template <class R> R expOf(R x) { return std::exp(x); }
template <class R> R expm1Of(R x) { return std::expm1(x); }
template <class R> R logOf(R x) { return std::log(x); }
template <class R> R tanhOf(R x) { return std::tanh(x); }
template <class R> R erfOf(R x) { return std::erf(x); }

#define MOEC_TRUTH(f) f<double>, f<long double>
const MathTruth kTruths[] = {
    {"exp", MOEC_TRUTH(expOf), 1.2, 2},
    {"expm1", MOEC_TRUTH(expm1Of), 1.75, 2.5},
    {"log", MOEC_TRUTH(logOf), 1.0, 1.5},
    {"tanh", MOEC_TRUTH(tanhOf), 1.3, 2},
    {"sigmoid", MOEC_TRUTH(sigmoidOf), 1.9, 1.9},
    {"softplus", MOEC_TRUTH(softplusOf), 1.95, 2.5},
    {"erf", MOEC_TRUTH(erfOf), 1.3, 1.75},
    {"gelu", MOEC_TRUTH(geluOf), 2, 2.75},
    {"geluTanh", MOEC_TRUTH(geluTanhOf), 2.25, 2.5},
    {"silu", MOEC_TRUTH(siluOf), 1.95, 1.9},
    {"elu", MOEC_TRUTH(eluOf), 1.15, 2.5},
    {"geluGrad", MOEC_TRUTH(geluGradOf), 2.05, 3.5, MOEC_TRUTH(geluGradTerms)},
    {"geluTanhGrad", MOEC_TRUTH(geluTanhGradOf), 3.3, 5.5, MOEC_TRUTH(geluTanhGradTerms)},
};
#undef MOEC_TRUTH

} // namespace

std::span<const MathTruth> mathTruths() { return kTruths; }

template <class T> void truthsOf(const MathTruth& truth, const T* x, Longer<T>* want, size_t count) {
  for (size_t i = 0; i < count; ++i)
    if constexpr (sizeof(T) == 8)
      want[i] = truth.wideOf(x[i]);
    else
      want[i] = truth.of(x[i]);
}
template void truthsOf<float>(const MathTruth&, const float*, double*, size_t);
template void truthsOf<double>(const MathTruth&, const double*, long double*, size_t);

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

template <class T> WorstUlps worstOf(const MathTruth& truth, const T* x, const Longer<T>* want, const T* y, size_t count) {
  constexpr bool isWide = sizeof(T) == 8;
  WorstUlps worst;
  for (size_t i = 0; i < count; ++i) {
    if (static_cast<T>(want[i]) == y[i] && !isWide) // most are: an error of half a unit at most says nothing
      continue;
    Longer<T> term = 0;
    if constexpr (isWide) {
      if (truth.wideTerms)
        term = truth.wideTerms(x[i]);
    } else if (truth.terms) {
      term = truth.terms(x[i]);
    }
    double error = ulpsBetween(y[i], want[i], term);
    worst.take(error, x[i], std::fabs(want[i]) < std::numeric_limits<T>::min());
  }
  return worst;
}
template WorstUlps worstOf<float>(const MathTruth&, const float*, const double*, const float*, size_t);
template WorstUlps worstOf<double>(const MathTruth&, const double*, const long double*, const double*, size_t);

void consecutive(uint32_t first, std::span<float> x) {
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = std::bit_cast<float>(first + static_cast<uint32_t>(i));
}

void scattered(uint64_t seed, std::span<double> x) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> near(-2, 2), middle(-20, 20), far(-750, 750);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = i % 4 == 0 ? near(random) : i % 4 == 1 ? middle(random) : i % 4 == 2 ? far(random) : std::bit_cast<double>(random());
}

template <class T> std::vector<T> edges() {
  constexpr T infinity = std::numeric_limits<T>::infinity(), least = std::numeric_limits<T>::denorm_min();
  std::vector<T> positive = {
      0, infinity, std::numeric_limits<T>::quiet_NaN(), least, 3 * least, std::numeric_limits<T>::max(), std::numeric_limits<T>::min() / 2, T(1e4), T(1e-30)};
  for (int exponent = std::numeric_limits<T>::min_exponent; exponent < std::numeric_limits<T>::max_exponent; ++exponent)
    positive.push_back(std::ldexp(T(1), exponent));
  for (double place : {0.5,     0.625,   1.6875, 4.0,      7.0,      10.0,  10.9,  14.6,  14.7,     21.75,    28.0,  30.0,     39.0,     40.0,  50.0,  87.3365,
                       88.3763, 88.7228, 89.0,   103.2789, 103.9721, 104.0, 109.0, 170.0, 708.3964, 709.7827, 710.0, 744.4401, 745.1332, 746.0, 760.0, 1400.0})
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
