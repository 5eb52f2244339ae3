// Owner of: the accuracy of the generated mathematical functions, against long double libm.
#include "codegen/cpu/VectorMath.h"
#include "codegen/cpu/ObjectCompiler.h"
#include "tests/codegen/KernelCheck.h"

#include <bit>
#include <cmath>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <random>
#include <sys/mman.h>
#include <unistd.h>

namespace moec::testing {
namespace {

namespace cpu = codegen::cpu;
using Real = long double;

struct Function {
  const char* name;
  cpu::Value (*code)(cpu::KernelBuilder&, cpu::Value);
  Real (*truth)(Real);
  double low, high; // where uniform points are drawn; points of all magnitudes are drawn besides
  bool positiveOnly = false;
  double ulps = 2.5;             // f64 and f32 alike
  double perArgument = 0;        // more of them for each unit of exponent(x)
  Real (*terms)(Real) = nullptr; // of a sum that cancels: the size of its larger term, whose last place is the unit
};

Real sigmoidOf(Real x) { return x >= 0 ? 1 / (1 + expl(-x)) : expl(x) / (1 + expl(x)); }
const Real kPi = acosl(-1.0L);
Real geluExponent(Real x) { return 2 * sqrtl(2 / kPi) * (x + 0.044715 * x * x * x); }

Real normalUpTo(Real x) { return erfcl(-x / sqrtl(2)) / 2; }
Real timesDensity(Real x) { return std::isinf(x) ? 0 : x * expl(-x * x / 2) / sqrtl(2 * kPi); }
Real geluGradOf(Real x) { return normalUpTo(x) + timesDensity(x); }
/// x s (1 - s) 2z' of docs/SPEC.md; beyond the clamp below it is 0 in any format.
Real timesSlope(Real x) {
  Real y = std::clamp<Real>(x, -100, 100), s = sigmoidOf(geluExponent(y));
  return y * s * sigmoidOf(-geluExponent(y)) * 2 * sqrtl(2 / kPi) * (1 + 3 * 0.044715 * y * y);
}
Real geluTanhGradOf(Real x) { return std::isnan(x) ? x : sigmoidOf(geluExponent(x)) + timesSlope(x); }

const Function kFunctions[] = {
    {"exp", cpu::exp, expl, -20, 20},
    {"expm1", cpu::expm1, expm1l, -3, 3},
    {"log", cpu::log, logl, 0.01, 10, true},
    {"log1p", cpu::log1p, log1pl, 0, 3, true},
    {"tanh", cpu::tanh, tanhl, -3, 3},
    {"sigmoid", cpu::sigmoid, sigmoidOf, -20, 20},
    {"softplus", cpu::softplus, [](Real x) { return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x)); }, -20, 20},
    {"erf", cpu::erf, erfl, -4, 4},
    {"gelu", cpu::gelu, [](Real x) { return x / 2 * erfcl(-x / sqrtl(2)); }, -6, 6, false, 6},
    // The exponent is a rounded cubic: each unit of it costs up to three.
    {"geluTanh", cpu::geluTanh, [](Real x) { return x * sigmoidOf(geluExponent(x)); }, -3, 3, false, 3, 3},
    {"geluGrad", cpu::geluGrad, geluGradOf, -6, 6, false, 6, 0, [](Real x) { return std::max(normalUpTo(x), fabsl(timesDensity(x))); }},
    {"geluTanhGrad", cpu::geluTanhGrad, geluTanhGradOf, -3, 3, false, 6, 3, [](Real x) { return std::max(sigmoidOf(geluExponent(x)), fabsl(timesSlope(x))); }},
    {"silu", cpu::silu, [](Real x) { return x * sigmoidOf(x); }, -20, 20, false, 3},
};

void PrintTo(const Function& function, std::ostream* out) { *out << function.name; }

/// A kernel that applies one function to an array of n numbers.
class Applied {
public:
  Applied(const Function& function, DType dtype, bool vectors) {
    std::string element = dtype == DType::F32 ? "f32" : "f64";
    std::string type = "tensor<?x" + element + ", #moe.sizes<\"n\">>";
    kernel_ = parseKernel("rows", "%x: " + type, type, "%y = moe.neg %x : " + type + "\n moe.yield %y : " + type);
    const cpu::CpuTarget& target = *cpu::findTarget("cpu:x86-64-v3");
    cpu::KernelBuilder k(kernel_.op, "apply", target);
    int64_t lanes = vectors ? k.lanes(dtype) : 1;
    k.stage(Size(1), Size(1), [&](cpu::Value) {
      k.vectorLoop(k.size(Size::symbol("n")), lanes, [&](cpu::Value i, cpu::Value mask) {
        cpu::Value x = k.loadElements(dtype, k.at(k.input(0), i, dtype), lanes, mask);
        k.storeElements(dtype, function.code(k, x), k.at(k.output(0), i, dtype), mask);
      });
    });
    std::string error;
    auto module = k.finish(error);
    auto image = failed(module) ? mlir::FailureOr<std::vector<uint8_t>>(mlir::failure()) : cpu::compileToImage(*module, target, "apply", error);
    if (failed(image))
      throw std::runtime_error(error);
    int file = memfd_create("kernel", MFD_CLOEXEC);
    if (write(file, image->data(), image->size()) != static_cast<ssize_t>(image->size()))
      throw std::runtime_error("cannot write the image");
    library_ = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
    close(file);
    if (!library_)
      throw std::runtime_error(dlerror());
    function_ = reinterpret_cast<KernelFunction>(dlsym(library_, "apply"));
  }
  ~Applied() { dlclose(library_); }

  template <class T> std::vector<T> operator()(std::vector<T> x) {
    std::vector<T> y(x.size());
    void* buffers[] = {x.data(), y.data()};
    int64_t size = static_cast<int64_t>(x.size());
    KernelCall call{buffers, &size, nullptr, 0, 0};
    function_(&call, 0, 0, 1, nullptr);
    return y;
  }

private:
  ParsedKernel kernel_;
  void* library_ = nullptr;
  KernelFunction function_ = nullptr;
};

/// The distance of `got` from `want` in units of the last place that the result has at `want`, or at a larger term of it.
template <class T> double ulpsBetween(T got, Real want, Real term = 0) {
  T rounded = static_cast<T>(want);
  if (got == rounded || (std::isnan(got) && std::isnan(rounded)))
    return 0;
  if (!std::isfinite(got) || !std::isfinite(rounded))
    return HUGE_VAL;
  int exponent = 0;
  frexpl(std::max(fabsl(want), term), &exponent);
  exponent = std::max(exponent, std::numeric_limits<T>::min_exponent); // denormals have one unit
  return static_cast<double>(fabsl(static_cast<Real>(got) - want) / ldexpl(1, exponent - std::numeric_limits<T>::digits));
}

template <class T> std::vector<T> pointsOf(const Function& function, size_t count) {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> uniform(function.low, function.high);
  std::vector<T> points;
  for (size_t i = 0; i < count / 2; ++i)
    points.push_back(static_cast<T>(uniform(random)));
  while (points.size() < count) { // all bit patterns: every magnitude, infinities, NaN
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    T x = std::bit_cast<T>(static_cast<Bits>(random()));
    points.push_back(function.positiveOnly ? std::abs(x) : x);
  }
  return points;
}

class VectorMath : public ::testing::TestWithParam<Function> {
protected:
  template <class T> void sweep(DType dtype) {
    const Function& function = GetParam();
    Applied applied(function, dtype, true);
    std::vector<T> x = pointsOf<T>(function, 1 << 20), y = applied(x);
    double worst = 0;
    T where = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      double error = ulpsBetween(y[i], function.truth(x[i]), function.terms ? function.terms(x[i]) : 0);
      if (error < HUGE_VAL && x[i] < 0 && function.perArgument > 0)
        error -= function.perArgument * static_cast<double>(fabsl(geluExponent(x[i])));
      if (std::isinf(x[i]) && x[i] < 0 && std::isnan(function.truth(x[i])))
        error = y[i] == 0 ? 0 : HUGE_VAL; // the limit of x times what vanishes faster
      if (error > worst) {
        worst = error;
        where = x[i];
      }
    }
    EXPECT_LE(worst, function.ulps) << function.name << " at " << where;
    RecordProperty("worst_ulps", std::to_string(worst));
    std::printf("  %s %s: worst %.2f ulps at %g\n", function.name, dtype == DType::F32 ? "f32" : "f64", worst, double(where));
  }
};

TEST_P(VectorMath, f32) { sweep<float>(DType::F32); }
TEST_P(VectorMath, f64) { sweep<double>(DType::F64); }

TEST_P(VectorMath, scalarsGiveTheBitsOfVectors) {
  Applied scalar(GetParam(), DType::F32, false), vector(GetParam(), DType::F32, true);
  std::vector<float> x = pointsOf<float>(GetParam(), 4099), a = scalar(x), b = vector(x);
  for (size_t i = 0; i < x.size(); ++i)
    ASSERT_TRUE(std::bit_cast<uint32_t>(a[i]) == std::bit_cast<uint32_t>(b[i]) || (std::isnan(a[i]) && std::isnan(b[i])))
        << x[i] << ": " << a[i] << " and " << b[i];
}

TEST_P(VectorMath, specialValues) {
  const Function& function = GetParam();
  Applied applied(function, DType::F64, true);
  double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  double least = std::numeric_limits<double>::denorm_min();
  std::vector<double> x = {0.0, infinity, nan, least, 1e-310, 1e308, 1};
  if (!function.positiveOnly)
    x.insert(x.end(), {-0.0, -infinity, -least, -1e-310, -1e308, -1});
  std::vector<double> y = applied(x);
  for (size_t i = 0; i < x.size(); ++i) {
    Real want = function.truth(x[i]);
    if (x[i] == -infinity && std::isnan(want))
      want = 0;
    double allowed = function.ulps +
                     (x[i] < 0 && std::isfinite(x[i]) && function.perArgument > 0 ? function.perArgument * static_cast<double>(fabsl(geluExponent(x[i]))) : 0);
    EXPECT_LE(ulpsBetween(y[i], want, function.terms ? function.terms(x[i]) : 0), allowed) << function.name << "(" << x[i] << ") = " << y[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Functions, VectorMath, ::testing::ValuesIn(kFunctions), [](const auto& info) { return std::string(info.param.name); });

TEST(VectorMathEdges, logOfZeroAndBelow) {
  Applied applied(kFunctions[2], DType::F32, true);
  std::vector<float> y = applied(std::vector<float>{0, -0.0f, -1, -std::numeric_limits<float>::infinity()});
  EXPECT_EQ(y[0], -std::numeric_limits<float>::infinity());
  EXPECT_EQ(y[1], -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(y[2]) && std::isnan(y[3]));
}

} // namespace
} // namespace moec::testing
