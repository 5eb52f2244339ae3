// Owner of: the functions of math.cuh. Their accuracy is VectorMathTest's business: here they must have the bits of the CPU's kernels.
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
  double low = -20, high = 20; // half of the points; the others are of all magnitudes
};

void PrintTo(const Function& function, std::ostream* out) { *out << function.op; }

const Function kFunctions[] = {
    {"exp"},
    {"log", "", 0, 10},
    {"sqrt", "", 0, 100},
    {"tanh", "", -3, 3},
    {"sigmoid"},
    {"softplus"},
    {"relu"},
    {"erf", "", -4, 4},
    {"gelu", "", -6, 6},
    {"gelu_tanh", "", -4, 4},
    {"silu"},
    {"gelu_grad", "", -6, 6},
    {"gelu_tanh_grad", "", -4, 4},
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

  template <class T> void sweep(const char* element) {
    const Function& function = GetParam();
    std::string type = fmt::format("tensor<?x{}, #moe.sizes<\"n\">>", element);
    auto kernel = [&] {
      return parseKernel("loops", "%x: " + type, type, fmt::format("%y = moe.{} %x {} : {}\n moe.yield %y : {}", function.op, function.parameter, type, type));
    };
    std::vector<T> x = points<T>(function);
    int64_t count = static_cast<int64_t>(x.size());
    Tensor input = Tensor::of(x, {count});
    Bindings bindings = {{"n", count}};
    ParsedKernel cpu = kernel(), cuda = kernel();
    std::vector<Tensor> inputs;
    inputs.push_back(std::move(input));
    LoadedKernel loaded(cpu.op);
    LoadedKernel::Call call;
    call.bindings = bindings;
    std::vector<Tensor> wants = loaded.run(inputs, call);
    CudaRun run = runOnEmulator(cuda.op, inputs, {.check = {.bindings = bindings}});
    EXPECT_TRUE(run.findings.empty());
    std::span<const T> want = std::as_const(wants[0]).as<const T>(), got = std::as_const(run.outputs[0]).as<const T>();
    int shown = 0;
    for (size_t i = 0; i < x.size() && shown < 5; ++i) {
      using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
      if (std::bit_cast<Bits>(got[i]) == std::bit_cast<Bits>(want[i]) || (std::isnan(got[i]) && std::isnan(want[i])))
        continue;
      ADD_FAILURE() << fmt::format("{} {} of {:a}: {:a}, the CPU has {:a}", function.op, element, x[i], got[i], want[i]);
      ++shown;
    }
  }
};

TEST_P(MathCuda, f32HasTheBitsOfTheCpu) { sweep<float>("f32"); }
TEST_P(MathCuda, f64HasTheBitsOfTheCpu) { sweep<double>("f64"); }

INSTANTIATE_TEST_SUITE_P(Functions, MathCuda, ::testing::ValuesIn(kFunctions), [](const auto& info) { return std::string(info.param.op); });

} // namespace
} // namespace moec::testing
