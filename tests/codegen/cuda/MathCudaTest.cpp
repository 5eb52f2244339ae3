// Owner of: the functions of math.cuh. In f64 those of one form with the CPU's have its bits, whose accuracy is VectorMathTest's business. Where the CPU has
// functions of its own, in f32 and for some in f64, the truth is the CPU's f64.
#include "tests/codegen/cuda/CudaKernelCheck.h"

#include <bit>
#include <cmath>
#include <fmt/format.h>
#include <random>

namespace moec::testing {
namespace {

struct Function {
  const char* op;
  const char* parameter = "";
  double low = -20, high = 20;      // half of the points; the others are of all magnitudes
  double ulps = 2.5;                // of f32
  double perExponent = 0;           // more of them left of 0 for each unit of geluExponent
  double (*term)(double) = nullptr; // of a sum that cancels: the size of its larger term, whose last place is the unit
  double wideUlps = 0;              // of f64; 0: the bits of the CPU
  double widePerExponent = 0;
};

double geluExponent(double x) { return 2 * std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x); }
double geluGradTerm(double x) { return std::max(std::erfc(-x / std::sqrt(2.0)) / 2, std::abs(x) * std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0))); }
double geluTanhGradTerm(double x) {
  double s = 1 / (1 + std::exp(-geluExponent(x))), slope = 2 * std::sqrt(2 / std::acos(-1.0)) * (1 + 3 * 0.044715 * x * x);
  return std::isfinite(s * slope * x) ? std::max(s, std::abs(x) * slope * s / (1 + std::exp(geluExponent(x)))) : s;
}

void PrintTo(const Function& function, std::ostream* out) { *out << function.op; }

const Function kFunctions[] = {
    {"exp"},
    {"log", "", 0, 10},
    {"sqrt", "", 0, 100},
    {"tanh", "", -3, 3},
    {.op = "sigmoid", .wideUlps = 4},
    {"softplus"},
    {"relu"},
    {.op = "erf", .low = -4, .high = 4, .wideUlps = 2.5},
    {.op = "gelu", .low = -6, .high = 6, .ulps = 6, .wideUlps = 9},
    {.op = "gelu_tanh", .low = -4, .high = 4, .ulps = 3, .perExponent = 3, .wideUlps = 4, .widePerExponent = 4},
    {.op = "silu", .ulps = 3, .wideUlps = 5},
    {.op = "gelu_grad", .low = -6, .high = 6, .ulps = 6, .term = geluGradTerm, .wideUlps = 8},
    {.op = "gelu_tanh_grad", .low = -4, .high = 4, .ulps = 6, .perExponent = 3, .term = geluTanhGradTerm, .wideUlps = 7, .widePerExponent = 4},
    {"leaky_relu", "slope 0.1"},
    {"elu", "alpha 1.5", -5, 2},
};

template <class T> std::vector<T> points(const Function& function) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  constexpr T infinity = std::numeric_limits<T>::infinity(), least = std::numeric_limits<T>::denorm_min(), largest = std::numeric_limits<T>::max();
  std::vector<T> x = {0,
                      -T(0),
                      1,
                      -1,
                      infinity,
                      -infinity,
                      std::numeric_limits<T>::quiet_NaN(),
                      least,
                      -least,
                      largest,
                      -largest,
                      std::numeric_limits<T>::min(),
                      T(0.625),
                      T(-39),
                      T(39),
                      T(-170),
                      T(89),
                      T(710),
                      T(-1400),
                      T(-1e4)};
  std::mt19937_64 random(11);
  std::uniform_real_distribution<double> uniform(function.low, function.high);
  while (x.size() < 1 << 17) {
    x.push_back(static_cast<T>(uniform(random)));
    x.push_back(std::bit_cast<T>(static_cast<Bits>(random())));
  }
  // Every binade's ends.
  for (int exponent = std::numeric_limits<T>::min_exponent; exponent < std::numeric_limits<T>::max_exponent; ++exponent)
    for (T sign : {T(1), T(-1)})
      for (T m : {T(1), std::nextafter(T(1), T(0)), std::nextafter(T(1), T(2))})
        x.push_back(sign * std::ldexp(m, exponent));
  return x;
}

class MathCuda : public ::testing::TestWithParam<Function> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }

  template <class T> std::span<const T> ofCpu(const char* element, const std::vector<T>& x) {
    kernels_.push_back(kernelOn(element));
    LoadedKernel loaded(kernels_.back().op);
    LoadedKernel::Call call;
    call.bindings = {{"n", static_cast<int64_t>(x.size())}};
    cpu_ = loaded.run({Tensor::of(x, {static_cast<int64_t>(x.size())})}, call);
    return std::as_const(cpu_[0]).as<const T>();
  }

  template <class T> std::span<const T> ofCuda(const char* element, const std::vector<T>& x) {
    kernels_.push_back(kernelOn(element));
    std::vector<Tensor> inputs{Tensor::of(x, {static_cast<int64_t>(x.size())})};
    run_ = runOnEmulator(kernels_.back().op, inputs, {.check = {.bindings = {{"n", static_cast<int64_t>(x.size())}}}});
    EXPECT_TRUE(run_.findings.empty());
    return std::as_const(run_.outputs[0]).as<const T>();
  }

private:
  ParsedKernel kernelOn(const char* element) {
    std::string type = fmt::format("tensor<?x{}, #moe.sizes<\"n\">>", element);
    return parseKernel("loops", "%x: " + type, type,
                       fmt::format("%y = moe.{} %x {} : {}\n moe.yield %y : {}", GetParam().op, GetParam().parameter, type, type));
  }

  std::vector<ParsedKernel> kernels_;
  std::vector<Tensor> cpu_;
  CudaRun run_;
};

/// Both may be off in f64: `ulps` is then that of both together.
template <class T>
void expectNear(const Function& function, const std::vector<T>& x, std::span<const T> got, std::span<const double> want, double ulps, double perExponent) {
  constexpr int leastExponent = std::numeric_limits<T>::min_exponent - 1, fractionBits = std::numeric_limits<T>::digits - 1;
  int shown = 0;
  for (size_t i = 0; i < x.size() && shown < 5; ++i) {
    T rounded = static_cast<T>(want[i]);
    if (got[i] == rounded || (std::isnan(got[i]) && std::isnan(rounded)))
      continue;
    double allowed = ulps + (x[i] < 0 ? perExponent * std::abs(geluExponent(x[i])) : 0);
    double unit = std::max(std::abs(want[i]), function.term ? function.term(x[i]) : 0);
    unit = std::ldexp(1.0, std::max(std::ilogb(unit), leastExponent) - fractionBits);
    if (std::isfinite(got[i]) && std::abs(got[i] - want[i]) <= allowed * unit)
      continue;
    ADD_FAILURE() << fmt::format("{} of {:a}: {:a}, expected {:a} to {} units of {:a}", function.op, x[i], got[i], want[i], allowed, unit);
    ++shown;
  }
}

void expectSameBits(const Function& function, const std::vector<double>& x, std::span<const double> got, std::span<const double> want) {
  int shown = 0;
  for (size_t i = 0; i < x.size() && shown < 5; ++i) {
    if (std::bit_cast<uint64_t>(got[i]) == std::bit_cast<uint64_t>(want[i]) || (std::isnan(got[i]) && std::isnan(want[i])))
      continue;
    ADD_FAILURE() << fmt::format("{} of {:a}: {:a}, the CPU has {:a}", function.op, x[i], got[i], want[i]);
    ++shown;
  }
}

TEST_P(MathCuda, f64IsThatOfTheCpu) {
  const Function& function = GetParam();
  std::vector<double> x = points<double>(function);
  std::span<const double> want = ofCpu("f64", x), got = ofCuda("f64", x);
  if (function.wideUlps > 0)
    expectNear(function, x, got, want, function.wideUlps, function.widePerExponent);
  else
    expectSameBits(function, x, got, want);
}

TEST_P(MathCuda, f32IsNearTheF64OfTheCpu) {
  const Function& function = GetParam();
  std::vector<float> x = points<float>(function);
  std::span<const double> want = ofCpu("f64", std::vector<double>(x.begin(), x.end()));
  expectNear(function, x, ofCuda("f32", x), want, function.ulps, function.perExponent);
}

INSTANTIATE_TEST_SUITE_P(Functions, MathCuda, ::testing::ValuesIn(kFunctions), [](const auto& info) { return std::string(info.param.op); });

} // namespace
} // namespace moec::testing
