// Owner of: the accuracy of the generated mathematical functions, against libm in a longer format. Here on a sample; MathSweepTest.cpp takes all of f32.
#include "codegen/cpu/VectorMath.h"
#include "tests/codegen/MathFunctions.h"

#include <bit>
#include <gtest/gtest.h>
#include <random>

namespace moec::testing {
namespace {

/// Every `step`th of f32's bit patterns, and the edges.
std::vector<float> sampleF32(uint64_t step) {
  std::vector<float> x = edges<float>();
  for (uint64_t word = 0; word < uint64_t{1} << 32; word += step)
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(word)));
  return x;
}

/// All magnitudes, and as many where the functions do not yet have their limits.
std::vector<double> sampleF64() {
  std::vector<double> x = edges<double>();
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> uniform(-20, 20);
  for (int i = 0; i < 5000; ++i) {
    x.push_back(std::bit_cast<double>(random()));
    x.push_back(uniform(random));
  }
  return x;
}

template <class T> void holdToTruth(const MappedKernel& kernel, const std::vector<T>& x) {
  size_t i = 0;
  std::vector<Longer<T>> want(x.size());
  for (const MathTruth& truth : mathTruths()) {
    std::vector<T> y = kernel(i++, x);
    truthsOf(truth, x.data(), want.data(), x.size());
    WorstUlps worst = worstOf(truth, x.data(), want.data(), y.data(), x.size());
    EXPECT_LE(worst.ulps, sizeof(T) == 4 ? truth.ulps : truth.wideUlps) << truth.name << " at " << worst.where;
    EXPECT_LE(worst.subnormal, sizeof(T) == 4 ? 1.5 : 2.5) << truth.name << ", results below the normal numbers";
  }
}

template <class T> void expectSameBits(const MappedKernel& one, const MappedKernel& other, const std::vector<T>& x, const std::string& what) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  size_t i = 0;
  for (const MathTruth& truth : mathTruths()) {
    std::vector<T> a = one(i, x), b = other(i, x);
    ++i;
    for (size_t at = 0; at < x.size(); ++at)
      ASSERT_TRUE(std::bit_cast<Bits>(a[at]) == std::bit_cast<Bits>(b[at]) || (std::isnan(a[at]) && std::isnan(b[at])))
          << truth.name << "(" << x[at] << ") is " << a[at] << " and " << b[at] << " " << what;
  }
}

TEST(VectorMath, f32) { holdToTruth(mathKernel(DType::F32, "cpu:x86-64-v3"), sampleF32(16411)); }
TEST(VectorMath, f64) { holdToTruth(mathKernel(DType::F64, "cpu:x86-64-v3"), sampleF64()); }
TEST(VectorMath, f32WithoutFma) { holdToTruth(mathKernel(DType::F32, "cpu:x86-64-v2"), sampleF32(131071)); }
TEST(VectorMath, f64WithoutFma) { holdToTruth(mathKernel(DType::F64, "cpu:x86-64-v2"), sampleF64()); }

TEST(VectorMath, scalarsAndWideVectorsHaveTheSameBits) {
  MappedKernel kernel = mathKernel(DType::F32, "cpu:x86-64-v3"), wide = mathKernel(DType::F64, "cpu:x86-64-v3");
  std::vector<float> x = sampleF32(131071);
  expectSameBits(kernel, mathKernel(DType::F32, "cpu:x86-64-v3", false), x, "as a scalar");
  const std::string target = hostTarget() == "cpu:x86-64-v4" ? hostTarget() : "cpu:x86-64-v3+soft-avx512";
  expectSameBits(kernel, mathKernel(DType::F32, target), x, "for " + target);
  expectSameBits(wide, mathKernel(DType::F64, target), sampleF64(), "for " + target);
}

template <class T> void expectPairsBits(DType dtype, const std::string& target, const std::vector<T>& x) {
  using Code = MappedKernel::Code;
  using codegen::cpu::KernelBuilder;
  MappedKernel kernel({Code([](KernelBuilder& k, const codegen::cpu::Values& x) { return codegen::cpu::geluAndGrad(k, x[0])[0]; }),
                       Code([](KernelBuilder& k, const codegen::cpu::Values& x) { return codegen::cpu::geluAndGrad(k, x[0])[1]; }),
                       Code([](KernelBuilder& k, const codegen::cpu::Values& x) { return codegen::cpu::gelu(k, x[0]); }),
                       Code([](KernelBuilder& k, const codegen::cpu::Values& x) { return codegen::cpu::geluGrad(k, x[0]); })},
                      dtype, target);
  for (size_t i : {0, 1}) {
    std::vector<T> together = kernel(i, x), alone = kernel(i + 2, x);
    for (size_t at = 0; at < x.size(); ++at)
      ASSERT_TRUE(std::memcmp(&together[at], &alone[at], sizeof(T)) == 0 || (std::isnan(together[at]) && std::isnan(alone[at])))
          << (i == 0 ? "gelu(" : "its derivative(") << x[at] << ") is " << together[at] << " and alone " << alone[at] << " for " << target;
  }
}

TEST(VectorMath, geluAndItsDerivativeTogetherHaveTheirBits) {
  for (const char* target : {"cpu:x86-64-v2", "cpu:x86-64-v3"}) {
    expectPairsBits(DType::F32, target, sampleF32(16411));
    expectPairsBits(DType::F64, target, sampleF64());
  }
}

TEST(VectorMath, logOfZeroAndBelow) {
  MappedKernel kernel({[](codegen::cpu::KernelBuilder& k, const codegen::cpu::Values& x) { return codegen::cpu::log(k, x[0]); }}, DType::F32, "cpu:x86-64-v3");
  std::vector<float> y = kernel(0, std::vector<float>{0, -0.0f, -1, -std::numeric_limits<float>::infinity()});
  EXPECT_EQ(y[0], -std::numeric_limits<float>::infinity());
  EXPECT_EQ(y[1], -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(y[2]) && std::isnan(y[3]));
}

/// Triples whose exact sum lies near a tie, or far from one, and infinities.
template <class T> std::array<std::vector<T>, 3> triples() {
  std::array<std::vector<T>, 3> all;
  std::mt19937_64 random(7);
  std::uniform_real_distribution<T> mantissa(1, 2);
  std::uniform_int_distribution<int> shift(-60, 60), bit(0, std::numeric_limits<T>::digits + 2);
  for (int i = 0; i < 60000; ++i) {
    T a = mantissa(random), b = mantissa(random), c = std::ldexp(mantissa(random), shift(random));
    if (i % 3 == 0) // a product of few bits and what is half a unit of it
      a = std::round(a * 64) / 64, b = std::round(b * 64) / 64, c = std::ldexp(T(1), -bit(random));
    if (i % 3 == 1) // almost nothing is left of the product
      c = -a * b;
    all[0].push_back(random() & 1 ? a : -a);
    all[1].push_back(random() & 1 ? b : -b);
    all[2].push_back(random() & 1 ? c : -c);
  }
  constexpr T infinity = std::numeric_limits<T>::infinity(), largest = std::numeric_limits<T>::max();
  for (auto [a, b, c] : {std::array<T, 3>{infinity, 1, 1}, {1, 1, -infinity}, {infinity, 1, -infinity}, {largest, 2, 1}, {0, 5, 3}, {largest, 1, 0}}) {
    all[0].push_back(a);
    all[1].push_back(b);
    all[2].push_back(c);
  }
  return all;
}

template <class T> void holdFmaOnce(DType dtype) {
  MappedKernel kernel({[](codegen::cpu::KernelBuilder& k, const codegen::cpu::Values& x) { return k.fmaOnce(x[0], x[1], x[2]); }}, dtype, "cpu:x86-64-v2", 3);
  auto [a, b, c] = triples<T>();
  std::vector<T> y(a.size());
  kernel.run<T>(0, {a.data(), b.data(), c.data()}, y.data(), y.size());
  for (size_t i = 0; i < y.size(); ++i) {
    T want = std::fma(a[i], b[i], c[i]);
    ASSERT_TRUE(y[i] == want || (std::isnan(y[i]) && std::isnan(want))) << a[i] << " * " << b[i] << " + " << c[i] << ": got " << y[i] << ", expected " << want;
  }
}

TEST(FmaOnce, f32WithoutFma) { holdFmaOnce<float>(DType::F32); }
TEST(FmaOnce, f64WithoutFma) { holdFmaOnce<double>(DType::F64); }

} // namespace
} // namespace moec::testing
