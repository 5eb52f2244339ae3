// Owner of: the worst errors that docs/PRECISION.md states: of all 2^32 numbers of f32, and of 10^8 and all edges of f64, on every target that the machine
// runs. Label sweep-slow: minutes. Prints the page's figures.
#include "runtime/core/CpuTarget.h"
#include "tests/codegen/MathFunctions.h"

#include <atomic>
#include <cstring>
#include <gtest/gtest.h>
#include <memory>
#include <mutex>
#include <thread>

namespace moec::testing {
namespace {

constexpr size_t kBatch = 1 << 14;

/// The function's code for a target. Targets with FMA have the same bits: the errors of one are those of all.
template <class T> struct Form {
  std::string target;
  std::unique_ptr<MappedKernel> kernel;
  bool isFirstWithItsBits;
  WorstUlps worst;
};

class MathSweep : public ::testing::TestWithParam<MathFunction> {
protected:
  /// `fill(batch, x)` writes at most kBatch points into x, for each of `batches`.
  template <class T, class Fill> void sweep(const std::vector<std::string>& targets, uint64_t batches, const Fill& fill) {
    const MathTruth& truth = GetParam().truth;
    std::vector<Form<T>> forms = makeForms<T>(targets);
    if (forms.empty())
      GTEST_SKIP() << "[SKIP] this machine runs none of the targets";
    std::mutex mutex;
    std::atomic<uint64_t> next = 0;
    auto work = [&] {
      std::vector<T> x, y, withFma;
      std::vector<Longer<T>> want;
      std::vector<WorstUlps> own(forms.size());
      for (uint64_t batch = next++; batch < batches; batch = next++) {
        fill(batch, x);
        want.resize(x.size());
        truthsOf(truth, x.data(), want.data(), x.size());
        for (size_t i = 0; i < forms.size(); ++i) {
          y.resize(x.size());
          forms[i].kernel->template run<T>(0, {x.data()}, y.data(), y.size());
          if (forms[i].isFirstWithItsBits)
            own[i].take(worstOf(truth, x.data(), want.data(), y.data(), y.size()));
          else
            expectSameBits(x, withFma, y, forms[i].target);
          withFma.swap(y); // of v3, when v4 follows
        }
      }
      std::lock_guard lock(mutex);
      for (size_t i = 0; i < forms.size(); ++i)
        forms[i].worst.take(own[i]);
    };
    std::vector<std::thread> others;
    for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i)
      others.emplace_back(work);
    work();
    for (std::thread& thread : others)
      thread.join();
    for (Form<T>& form : forms) {
      if (!form.isFirstWithItsBits)
        form.worst = (&form - 1)->worst;
      EXPECT_LE(form.worst.ulps, sizeof(T) == 4 ? truth.ulps : truth.wideUlps) << form.target << " at " << form.worst.where;
      EXPECT_LE(form.worst.subnormal, sizeof(T) == 4 ? 1.5 : 2.5) << form.target << ", results below the normal numbers";
      std::printf("| %s | %s | %s | %.2f | %.9g | %.2f |\n", truth.name, sizeof(T) == 4 ? "f32" : "f64", form.target.c_str(), form.worst.ulps, form.worst.where,
                  form.worst.subnormal);
    }
  }

  template <class T> static std::vector<Form<T>> makeForms(const std::vector<std::string>& targets) {
    std::vector<Form<T>> forms;
    for (const std::string& target : targets)
      if (missingFeatures(target).empty()) {
        auto code = [](codegen::cpu::KernelBuilder& k, const codegen::cpu::Values& x) { return GetParam().code(k, x[0]); };
        forms.push_back({target,
                         std::make_unique<MappedKernel>(std::vector<MappedKernel::Code>{code}, sizeof(T) == 4 ? DType::F32 : DType::F64, target),
                         target != "cpu:x86-64-v4",
                         {}});
      }
    return forms;
  }

  template <class T> static void expectSameBits(const std::vector<T>& x, const std::vector<T>& a, const std::vector<T>& b, const std::string& target) {
    if (std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0)
      return;
    for (size_t i = 0; i < x.size(); ++i)
      EXPECT_TRUE(std::memcmp(&a[i], &b[i], sizeof(T)) == 0 || (std::isnan(a[i]) && std::isnan(b[i])))
          << target << ": " << b[i] << " at " << x[i] << ", and with other vectors " << a[i];
  }

  void all(const std::vector<std::string>& targets) {
    sweep<float>(targets, (uint64_t{1} << 32) / kBatch, [](uint64_t batch, std::vector<float>& x) {
      x.resize(kBatch);
      consecutive(static_cast<uint32_t>(batch * kBatch), x);
    });
  }

  void many(const std::vector<std::string>& targets) {
    sweep<double>(targets, 1 + 100'000'000 / kBatch, [](uint64_t batch, std::vector<double>& x) {
      if (batch == 0) {
        x = edges<double>();
      } else {
        x.resize(kBatch);
        scattered(batch, x);
      }
    });
  }
};

TEST_P(MathSweep, f32) { all({"cpu:x86-64-v3", "cpu:x86-64-v4"}); }
TEST_P(MathSweep, f32WithoutFma) { all({"cpu:x86-64-v2"}); }
TEST_P(MathSweep, f64) { many({"cpu:x86-64-v2", "cpu:x86-64-v3", "cpu:x86-64-v4"}); }

INSTANTIATE_TEST_SUITE_P(Functions, MathSweep, ::testing::ValuesIn(mathFunctions().begin(), mathFunctions().end()),
                         [](const auto& info) { return std::string(info.param.truth.name); });

} // namespace
} // namespace moec::testing
