// Owner of: losses and the gradients of what sees a whole row, in kernels of kind `rows`. Every result is held against the reference interpreter, for each
// target that this machine runs.
#include "tests/codegen/KernelCheck.h"
#include "tests/ir/TensorText.h"

#include <cmath>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace moec::testing {
namespace {

struct Case {
  const char* name;
  DType dtype;
  int64_t rows, width;
  bool symbolic; // both sizes
};

class RowGradients : public ::testing::TestWithParam<Case> {
protected:
  std::string rows() const { return GetParam().symbolic ? "t" : std::to_string(GetParam().rows); }
  std::string width() const { return GetParam().symbolic ? "v" : std::to_string(GetParam().width); }
  std::string element() const { return std::string(name(GetParam().dtype)); }
  std::string matrix() const { return tensorText({rows(), width()}, element()); }
  std::string vector() const { return tensorText({width()}, element()); }
  std::string column() const { return tensorText({rows()}, element()); }
  std::string labels(const char* type) const { return tensorText({rows()}, type); }

  void run(const std::string& arguments, const std::string& results, const std::string& body, std::vector<Tensor> inputs = {}, double leastScale = 0) {
    SCOPED_TRACE(body);
    for (const std::string& target : testTargets()) {
      ParsedKernel kernel = parseKernel("rows", arguments, results, body);
      CheckOptions options;
      options.bindings = {{"t", GetParam().rows}, {"v", GetParam().width}};
      options.terms = GetParam().width;
      options.leastScale = leastScale;
      options.target = target;
      options.inputs = inputs;
      check(kernel, options);
    }
  }
  /// Of one element a norm leaves the difference of equal numbers, which is measured by those.
  void runNorm(const std::string& arguments, const std::string& results, const std::string& body) {
    run(arguments, results, body, {}, GetParam().width == 1 ? 1 : 0);
  }
  /// Classes all over the row, and -100 in every third place.
  Tensor labelsOf(DType type) const {
    std::vector<int64_t> labels;
    for (int64_t row = 0; row < GetParam().rows; ++row)
      labels.push_back(row % 3 == 1 ? -100 : row * 7919 % GetParam().width);
    return Tensor::of(labels, {GetParam().rows}).cast(type);
  }
  Tensor numbers(Shape shape, uint32_t seed) const {
    Tensor wide = randomTensor(DType::F64, shape, seed);
    for (double& number : wide.as<double>())
      number *= 4;
    return wide.cast(GetParam().dtype);
  }
};

TEST_P(RowGradients, layerNorm) {
  std::string m = matrix(), v = vector();
  runNorm(fmt::format("%dy: {0}, %x: {0}", m), m, fmt::format("%y = moe.layer_norm_grad %dy, %x eps 1.0e-5 of {0}, {0}\n moe.yield %y : {0}", m));
  // Of computed operands, with ops behind.
  runNorm(fmt::format("%dy: {0}, %x: {0}, %w: {1}, %r: {0}", m, v), m,
          fmt::format("%a = moe.tanh %x : {0}\n %g = moe.mul %dy, %x : {0}, {0}\n"
                      "%n = moe.layer_norm_grad %g, %a weight %w : {1} eps 1.0e-5 of {0}, {0}\n %y = moe.add %n, %r : {0}, {0}\n moe.yield %y : {0}",
                      m, v));
}

TEST_P(RowGradients, rmsNorm) {
  std::string m = matrix(), v = vector();
  runNorm(fmt::format("%dy: {0}, %x: {0}, %w: {1}", m, v), m + ", " + m,
          fmt::format("%a = moe.rms_norm_grad %dy, %x weight %w : {1} eps 1.0e-6 of {0}, {0}\n %b = moe.rms_norm_grad %x, %dy eps 1.0e-1 of {0}, {0}\n"
                      "moe.yield %a, %b : {0}, {0}",
                      m, v));
}

/// The gradients of a norm's rows, weight and bias: the last two are sums over all rows, of what the kernel computes and of an argument.
TEST_P(RowGradients, normWithSumsOverItsRows) {
  std::string m = matrix(), v = vector();
  std::string sums = fmt::format("%p = moe.mul %dy, %n : {0}, {0}\n %w = moe.reduce sum %p axis 0 : {0}\n %b = moe.reduce sum %dy axis 0 : {0}\n"
                                 "%y = moe.add %g, %r : {0}, {0}\n moe.yield %w, %y, %b : {1}, {0}, {1}",
                                 m, v);
  std::string arguments = fmt::format("%dy: {0}, %x: {0}, %weight: {1}, %r: {0}", m, v), results = fmt::format("{1}, {0}, {1}", m, v);
  runNorm(arguments, results,
          fmt::format("%g = moe.layer_norm_grad %dy, %x weight %weight : {1} eps 1.0e-5 of {0}, {0}\n %n = moe.layer_norm %x eps 1.0e-5 of {0}\n", m, v) +
              sums);
  runNorm(arguments, results, fmt::format("%n = moe.rms_norm %x eps 1.0e-1 of {0}\n %g = moe.rms_norm_grad %dy, %x eps 1.0e-6 of {0}, {0}\n", m) + sums);
}

TEST_P(RowGradients, softmax) {
  std::string m = matrix();
  run(fmt::format("%dy: {0}, %x: {0}", m), m + ", " + m,
      fmt::format("%p = moe.softmax %x : {0}\n %y = moe.softmax_grad %dy, %p : {0}, {0}\n moe.yield %p, %y : {0}, {0}", m));
  run(fmt::format("%dy: {0}, %p: {0}", m), m, fmt::format("%y = moe.softmax_grad %dy, %p : {0}, {0}\n moe.yield %y : {0}", m));
}

TEST_P(RowGradients, logSumExp) {
  std::string m = matrix(), c = column();
  run("%x: " + m, c + ", " + c,
      fmt::format("%s = moe.mul %x, %x : {0}, {0}\n %y = moe.log_sum_exp %s : {0}\n %z = moe.mul %y, %y : {1}, {1}\n moe.yield %y, %z : {1}, {1}", m, c));
}

TEST_P(RowGradients, crossEntropy) {
  std::string m = matrix(), c = column();
  Tensor scores = numbers({GetParam().rows, GetParam().width}, 3);
  for (const char* type : {"i64", "i32"})
    for (const char* smoothing : {"0.0", "1.25e-1"})
      run(fmt::format("%l: {}, %x: {}", labels(type), m), c,
          fmt::format("%y = moe.cross_entropy %x, %l smoothing {2} ignore -100 : {0}, {1}\n moe.yield %y : {3}", m, labels(type), smoothing, c),
          {labelsOf(std::string(type) == "i64" ? DType::I64 : DType::I32), scores});
}

// Beside the loss, whose passes it joins, and alone on what the kernel computes. Equal scores stand on both sides of labels.
TEST_P(RowGradients, isTop) {
  std::string m = matrix(), c = column();
  int64_t rows = GetParam().rows, width = GetParam().width;
  Tensor some = Tensor(DType::F64, {rows, width}), of = labelsOf(DType::I64);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < width; ++i)
      some.as<double>()[static_cast<size_t>(row * width + i)] = static_cast<double>((row * 31 + i * i * 7) % 5);
  for (int64_t row = 0; row < rows; row += 2) // as high as the highest, or higher
    if (int64_t label = of.as<int64_t>()[static_cast<size_t>(row)]; label >= 0)
      some.as<double>()[static_cast<size_t>(row * width + label)] = row % 4 == 0 ? 4 : 5;
  Tensor scores = some.cast(GetParam().dtype);
  for (const char* type : {"i64", "i32"}) {
    Tensor labels = labelsOf(std::string(type) == "i64" ? DType::I64 : DType::I32);
    run(fmt::format("%l: {}, %x: {}", this->labels(type), m), c + ", " + this->labels("i1"),
        fmt::format(
            "%e = moe.cross_entropy %x, %l smoothing 0.0 ignore -100 : {0}, {1}\n %y = moe.is_top %x, %l ignore -100 : {0}, {1}\n moe.yield %e, %y : {2}, {3}",
            m, this->labels(type), c, this->labels("i1")),
        {labels, scores});
    run(fmt::format("%l: {}, %x: {}", this->labels(type), m), this->labels("i1"),
        fmt::format("%n = moe.neg %x : {0}\n %y = moe.is_top %n, %l ignore -100 : {0}, {1}\n moe.yield %y : {2}", m, this->labels(type), this->labels("i1")),
        {labels, scores});
  }
}

TEST_P(RowGradients, crossEntropyGrad) {
  std::string m = matrix(), c = column();
  Tensor scores = numbers({GetParam().rows, GetParam().width}, 3), dy = numbers({GetParam().rows}, 5);
  for (const char* type : {"i64", "i32"})
    for (const char* smoothing : {"0.0", "1.25e-1"})
      run(fmt::format("%l: {}, %x: {}, %dy: {}", labels(type), m, c), m,
          fmt::format("%y = moe.cross_entropy_grad %dy, %x, %l smoothing {2} ignore -100 : {3}, {0}, {1}\n moe.yield %y : {0}", m, labels(type), smoothing, c),
          {labelsOf(std::string(type) == "i64" ? DType::I64 : DType::I32), scores, dy});
}

// The loss leaves the exponentials of its sum to the gradient.
TEST_P(RowGradients, crossEntropyBesideItsGradient) {
  std::string m = matrix(), c = column();
  Tensor scores = numbers({GetParam().rows, GetParam().width}, 3), dy = numbers({GetParam().rows}, 5);
  for (const char* smoothing : {"0.0", "1.25e-1"})
    run(fmt::format("%l: {}, %x: {}, %dy: {}", labels("i64"), m, c), c + ", " + m,
        fmt::format("%e = moe.cross_entropy %x, %l smoothing {2} ignore -100 : {0}, {1}\n"
                    "%y = moe.cross_entropy_grad %dy, %x, %l smoothing {2} ignore -100 : {3}, {0}, {1}\n moe.yield %e, %y : {3}, {0}",
                    m, labels("i64"), smoothing, c),
        {labelsOf(DType::I64), scores, dy});
  // Two of the same scores, of which one is made in another place of the label; behind ops that the kernel computes.
  run(fmt::format("%l: {}, %x: {}, %dy: {}", labels("i64"), m, c), m + ", " + c + ", " + m,
      fmt::format("%n = moe.neg %x : {0}\n %e = moe.cross_entropy %n, %l smoothing 0.0 ignore -100 : {0}, {1}\n"
                  "%y = moe.cross_entropy_grad %dy, %n, %l smoothing 0.0 ignore -100 : {2}, {0}, {1}\n"
                  "%z = moe.cross_entropy_grad %e, %n, %l smoothing 0.5 ignore -100 : {2}, {0}, {1}\n moe.yield %y, %e, %z : {0}, {2}, {0}",
                  m, labels("i64"), c),
      {labelsOf(DType::I64), scores, dy});
}

INSTANTIATE_TEST_SUITE_P(Shapes, RowGradients,
                         ::testing::Values(Case{"f32", DType::F32, 5, 64, false}, Case{"f32Odd", DType::F32, 7, 37, false},
                                           Case{"f32Narrow", DType::F32, 4, 3, false}, Case{"f32One", DType::F32, 1, 1, false},
                                           Case{"f32Symbolic", DType::F32, 11, 133, true}, Case{"f32Long", DType::F32, 6, 8003, false},
                                           Case{"f32Longest", DType::F32, 2, 50000, true}, Case{"f64", DType::F64, 5, 37, false},
                                           Case{"f64Long", DType::F64, 3, 8003, true}, Case{"bf16", DType::BF16, 6, 70, false},
                                           Case{"bf16Long", DType::BF16, 2, 8003, false}),
                         [](const auto& info) { return std::string(info.param.name); });

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(RowLosses, isTopOfNanAndInfinities) {
  double inf = kInfinity, nan = std::nan("");
  CheckOptions options;
  options.exact = true;
  options.inputs = {Tensor::of<double>({nan, 1, 2, nan, 1, 2, inf, inf, 0, -inf, -inf, -inf, -0.0, 0, -1}, {5, 3}).cast(DType::F32),
                    Tensor::of<int64_t>({0, 2, 1, 0, 0}, {5})};
  const char* arguments = "%x: tensor<5x3xf32>, %l: tensor<5xi64>";
  check(parseKernel("rows", arguments, "tensor<5xi1>", "%y = moe.is_top %x, %l ignore -100 : tensor<5x3xf32>, tensor<5xi64>\n moe.yield %y : tensor<5xi1>"),
        options);
  // Beside a loss, whose highest element is NaN where one is.
  check(parseKernel("rows", arguments, "tensor<5xi1>", R"(
    %e = moe.cross_entropy %x, %l smoothing 0.0 ignore -100 : tensor<5x3xf32>, tensor<5xi64>
    %y = moe.is_top %x, %l ignore -100 : tensor<5x3xf32>, tensor<5xi64>
    moe.yield %y : tensor<5xi1>)"),
        options);
}

TEST(RowLosses, infinitiesAndNan) {
  double inf = kInfinity;
  std::vector<float> x;
  for (double number : {1.0, 2.0, -inf,     3.0,         0.0, /**/ -inf, -inf, -inf,      -inf,  -inf, /**/ 1.0, inf, 2.0,
                        3.0, 4.0, /**/ 1.0, double(NAN), 2.0, 3.0,       inf,  /**/ 1e30, -1e30, 1e30, 0.0,      1.0})
    x.push_back(static_cast<float>(number));
  CheckOptions options;
  options.inputs = {Tensor::of(x, {5, 5}), Tensor::of(std::vector<int64_t>{0, 1, 0, 0, 1}, {5}), Tensor::of(std::vector<float>{1, 1, 1, 1, 0}, {5})};
  check(parseKernel("rows", "%x: tensor<5x5xf32>, %l: tensor<5xi64>, %dy: tensor<5xf32>", "tensor<5xf32>, tensor<5xf32>", R"(
    %y = moe.log_sum_exp %x : tensor<5x5xf32>
    %c = moe.cross_entropy %x, %l smoothing 0.0 ignore -1 : tensor<5x5xf32>, tensor<5xi64>
    moe.yield %y, %c : tensor<5xf32>, tensor<5xf32>)"),
        options);
  check(parseKernel("rows", "%x: tensor<5x5xf32>, %l: tensor<5xi64>, %dy: tensor<5xf32>", "tensor<5x5xf32>", R"(
    %y = moe.cross_entropy_grad %dy, %x, %l smoothing 0.0 ignore -1 : tensor<5xf32>, tensor<5x5xf32>, tensor<5xi64>
    moe.yield %y : tensor<5x5xf32>)"),
        options);
  check(parseKernel("rows", "%x: tensor<5x5xf32>, %l: tensor<5xi64>, %dy: tensor<5xf32>", "tensor<5xf32>, tensor<5x5xf32>", R"(
    %c = moe.cross_entropy %x, %l smoothing 0.0 ignore -1 : tensor<5x5xf32>, tensor<5xi64>
    %y = moe.cross_entropy_grad %dy, %x, %l smoothing 0.0 ignore -1 : tensor<5xf32>, tensor<5x5xf32>, tensor<5xi64>
    moe.yield %c, %y : tensor<5xf32>, tensor<5x5xf32>)"),
        options);
}

TEST(RowLosses, ignoredRowsAreZerosWhateverTheyHold) {
  CheckOptions options;
  options.inputs = {Tensor::of(std::vector<float>{NAN, 1, 2, 3, 4, INFINITY}, {2, 3}), Tensor::of(std::vector<int32_t>{1, 1}, {2}),
                    Tensor::of(std::vector<float>{NAN, 1}, {2})};
  check(parseKernel("rows", "%x: tensor<2x3xf32>, %l: tensor<2xi32>, %dy: tensor<2xf32>", "tensor<2x3xf32>", R"(
    %y = moe.cross_entropy_grad %dy, %x, %l smoothing 0.0 ignore 1 : tensor<2xf32>, tensor<2x3xf32>, tensor<2xi32>
    moe.yield %y : tensor<2x3xf32>)"),
        options);
  check(parseKernel("rows", "%x: tensor<2x3xf32>, %l: tensor<2xi32>, %dy: tensor<2xf32>", "tensor<2xf32>, tensor<2x3xf32>", R"(
    %e = moe.cross_entropy %x, %l smoothing 0.0 ignore 1 : tensor<2x3xf32>, tensor<2xi32>
    %y = moe.cross_entropy_grad %dy, %x, %l smoothing 0.0 ignore 1 : tensor<2xf32>, tensor<2x3xf32>, tensor<2xi32>
    moe.yield %e, %y : tensor<2xf32>, tensor<2x3xf32>)"),
        options);
}

/// Callers refuse such labels; a kernel that meets one anyway must not read outside its buffers.
TEST(RowLosses, labelsOutsideReadNothing) {
  ParsedKernel kernel = parseKernel("rows", "%x: tensor<3x4xf32>, %l: tensor<3xi64>, %dy: tensor<3xf32>", "tensor<3xf32>",
                                    "%y = moe.cross_entropy %x, %l smoothing 0.0 ignore -100 : tensor<3x4xf32>, tensor<3xi64>\n moe.yield %y : tensor<3xf32>");
  LoadedKernel loaded(kernel.op);
  int64_t far = int64_t{1} << 60;
  Tensor y = loaded.run({randomTensor(DType::F32, {3, 4}, 1), Tensor::of(std::vector<int64_t>{far, -far, 4}, {3}), randomTensor(DType::F32, {3}, 2)}, {})[0];
  for (float loss : y.as<float>())
    EXPECT_EQ(loss, 0);
}

/// Rows of three dimensions, more than an item has, none, and a row in each of many items.
TEST(RowSums, ofRowsOfManyDimensions) {
  const char* x = "tensor<?x65x24xf32, #moe.sizes<\"b\", \"65\", \"24\">>";
  const char* flat = "tensor<?x24xf32, #moe.sizes<\"65*b\", \"24\">>";
  ParsedKernel kernel = parseKernel("rows", fmt::format("%dy: {0}, %x: {0}, %s: tensor<1x65x24xf32>", x), fmt::format("{0}, tensor<24xf32>, tensor<24xf32>", x),
                                    fmt::format(R"(
    %g = moe.rms_norm_grad %dy, %x eps 1.0e-5 of {0}, {0}
    %n = moe.rms_norm %x eps 1.0e-5 of {0}
    %p = moe.mul %dy, %n : {0}, {0}
    %v = moe.reshape %p : {0} -> {1}
    %w = moe.reduce sum %v axis 0 : {1}
    %u = moe.reshape %dy : {0} -> {1}
    %b = moe.reduce sum %u axis 0 : {1}
    %y = moe.add %g, %s : {0}, tensor<1x65x24xf32>
    moe.yield %y, %w, %b : {0}, tensor<24xf32>, tensor<24xf32>)",
                                                x, flat));
  for (int64_t batch : {0, 1, 40})
    for (int64_t block : {0, 1, 7}) {
      CheckOptions options;
      options.bindings = {{"b", batch}};
      options.terms = std::max<int64_t>(1, 65 * batch);
      options.block = block;
      options.target = testTargets().back();
      check(kernel, options);
    }
}

/// Partial sums, which go from one thread to another, are few beside the rows.
TEST(RowSums, itemsHoldSomeRows) {
  const char* x = "tensor<?x256xf32, #moe.sizes<\"t\", \"256\">>";
  ParsedKernel kernel = parseKernel("rows", fmt::format("%dy: {0}, %x: {0}", x), fmt::format("{0}, tensor<256xf32>", x),
                                    fmt::format(R"(
    %g = moe.rms_norm_grad %dy, %x eps 1.0e-5 of {0}, {0}
    %b = moe.reduce sum %dy axis 0 : {0}
    moe.yield %g, %b : {0}, tensor<256xf32>)",
                                                x));
  Size items = LoadedKernel(kernel.op).image().stages.front().items;
  EXPECT_LE(items.evaluate({{"t", 1920}}), 1920 / 16);
  EXPECT_GE(items.evaluate({{"t", 1920}}), 16);
}

TEST(SelectGrad, addsAtItsIndices) {
  for (const char* element : {"f32", "f64", "bf16"})
    for (auto [choices, experts] : {std::pair{1, 1}, {2, 5}, {8, 67}, {11, 40}}) {
      std::string dy = tensorText({"t", std::to_string(choices)}, element), indices = tensorText({"t", std::to_string(choices)}, "i32"),
                  y = tensorText({"t", std::to_string(experts)}, element);
      ParsedKernel kernel = parseKernel(
          "rows", fmt::format("%i: {}, %dy: {}, %x: {}", indices, dy, y), y,
          fmt::format("%n = moe.neg %dy : {0}\n %s = moe.select_grad %n, %i experts {1} : {0}, {2}\n %y = moe.add %s, %x : {3}, {3}\n moe.yield %y : {3}", dy,
                      experts, indices, y));
      for (int64_t tokens : {1, 9}) {
        std::vector<int32_t> chosen;
        for (int64_t i = 0; i < tokens * choices; ++i)
          chosen.push_back(static_cast<int32_t>(i * i % experts)); // some twice in a row
        CheckOptions options;
        options.bindings = {{"t", tokens}};
        options.inputs = {Tensor::of(chosen, {tokens, choices})};
        check(kernel, options);
      }
    }
}

} // namespace
} // namespace moec::testing
