// Owner of: the worst errors that docs/PRECISION.md states: of all 2^32 numbers of f32, and of 10^8 of f64. Label slow; prints the page's figures.
#include "tests/codegen/MathFunctions.h"

#include <atomic>
#include <bit>
#include <gtest/gtest.h>
#include <mutex>
#include <random>
#include <thread>

namespace moec::testing {
namespace {

constexpr size_t kBatch = 1 << 16;

class MathSweep : public ::testing::TestWithParam<MathFunction> {
protected:
  /// `fill(batch, x)` writes kBatch points, for each of `batches`.
  template <class T, class Fill> void sweep(DType dtype, const std::string& target, uint64_t batches, const Fill& fill) {
    const MathFunction& function = GetParam();
    MappedKernel kernel({[&](codegen::cpu::KernelBuilder& k, const codegen::cpu::Values& x) { return function.code(k, x[0]); }}, dtype, target);
    WorstUlps worst;
    std::mutex mutex;
    std::atomic<uint64_t> next = 0;
    auto work = [&] {
      std::vector<T> x(kBatch), y(kBatch);
      WorstUlps own;
      for (uint64_t batch = next++; batch < batches; batch = next++) {
        fill(batch, x);
        kernel.run<T>(0, {x.data()}, y.data(), kBatch);
        own.take(worstOf(function, x.data(), y.data(), kBatch));
      }
      std::lock_guard lock(mutex);
      worst.take(own);
    };
    std::vector<std::thread> others;
    for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i)
      others.emplace_back(work);
    work();
    for (std::thread& thread : others)
      thread.join();
    EXPECT_LE(worst.ulps, sizeof(T) == 4 ? function.ulps : function.wideUlps) << " at " << worst.where;
    EXPECT_LE(worst.subnormal, sizeof(T) == 4 ? 1.5 : 2.5);
    std::printf("| %s | %s | %s | %.2f | %.9g | %.2f |\n", function.name, sizeof(T) == 4 ? "f32" : "f64", target.c_str(), worst.ulps, worst.where,
                worst.subnormal);
  }

  void all(const std::string& target) {
    sweep<float>(DType::F32, target, (uint64_t{1} << 32) / kBatch, [](uint64_t batch, std::vector<float>& x) {
      for (size_t i = 0; i < kBatch; ++i)
        x[i] = std::bit_cast<float>(static_cast<uint32_t>(batch * kBatch + i));
    });
  }

  void many(const std::string& target) {
    sweep<double>(DType::F64, target, 100'000'000 / kBatch, [](uint64_t batch, std::vector<double>& x) {
      std::mt19937_64 random(batch);
      std::uniform_real_distribution<double> near(-2, 2), middle(-20, 20), far(-750, 750);
      for (size_t i = 0; i < kBatch; i += 4) {
        x[i] = near(random);
        x[i + 1] = middle(random);
        x[i + 2] = far(random);
        x[i + 3] = std::bit_cast<double>(random()); // every magnitude
      }
    });
  }
};

TEST_P(MathSweep, f32) { all(hostTarget()); }
TEST_P(MathSweep, f64) { many(hostTarget()); }
TEST_P(MathSweep, f64WithoutFma) { many("cpu:x86-64-v2"); }

INSTANTIATE_TEST_SUITE_P(Functions, MathSweep, ::testing::ValuesIn(mathFunctions().begin(), mathFunctions().end()),
                         [](const auto& info) { return std::string(info.param.name); });

} // namespace
} // namespace moec::testing
