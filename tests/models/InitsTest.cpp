// What the words of "init" draw, held to torch.nn.init's formulas: bounds, means, deviations, and orthonormal rows.

#include "models/BuildModel.h"
#include "runtime/Weights.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

using namespace moec;
using namespace moec::models;

namespace {

constexpr int64_t kIn = 96, kOut = 160, kExperts = 3;

/// The weight "layer.weight", or of experts "layer.experts.weight", drawn by this init of a layer from kIn to kOut.
std::vector<double> drawn(const std::string& init, bool inExperts = false, const std::string& part = "weight") {
  std::string block =
      inExperts ? fmt::format(R"({{"kind": "dense_experts", "name": "layer", "experts": {{"kind": "linear", "count": {}, "out": {}, "init": {{"{}": {}}}}}}})",
                              kExperts, kOut, part, init)
                : fmt::format(R"({{"kind": "linear", "name": "layer", "out": {}, "init": {{"{}": {}}}}})", kOut, part, init);
  std::string text = fmt::format(R"({{"name": "m", "dtype": "f64", "inputs": {{"x": {{"shape": ["batch", {}]}}}}, "model": [{}]}})", kIn, block);
  mlir::MLIRContext context;
  Diagnostics diagnostics;
  auto module = buildModel("model.json", text, {}, &context, diagnostics);
  EXPECT_TRUE(module) << diagnostics.text();
  if (!module)
    return {};
  for (auto parameter : module->getOps<ir::ParameterOp>()) {
    if (!parameter.getSymName().ends_with("." + part))
      continue;
    static constexpr std::pair<const char*, Init::Kind> kinds[] = {{"zeros", Init::Kind::Zeros},
                                                                   {"ones", Init::Kind::Ones},
                                                                   {"constant", Init::Kind::Constant},
                                                                   {"uniform", Init::Kind::Uniform},
                                                                   {"normal", Init::Kind::Normal},
                                                                   {"orthogonal", Init::Kind::Orthogonal},
                                                                   {"truncated_normal", Init::Kind::TruncatedNormal}};
    ParameterInfo info;
    info.name = parameter.getSymName().str();
    info.dtype = DType::F64;
    auto type = mlir::cast<mlir::RankedTensorType>(parameter.getType());
    info.shape.assign(type.getShape().begin(), type.getShape().end());
    for (const auto& [word, kind] : kinds)
      if (parameter.getInit().getKind().getValue() == word)
        info.init.kind = kind;
    info.init.a = parameter.getInit().getA().getValueAsDouble();
    info.init.b = parameter.getInit().getB().getValueAsDouble();
    return initialWeight(info, 5).toDoubles();
  }
  ADD_FAILURE() << "no " << part;
  return {};
}

struct Moments {
  double mean = 0, deviation = 0, kurtosis = 0, largest = 0;
};

Moments momentsOf(const std::vector<double>& values) {
  Moments moments;
  double count = static_cast<double>(values.size());
  for (double value : values) {
    moments.mean += value / count;
    moments.largest = std::max(moments.largest, std::abs(value));
  }
  double fourth = 0, second = 0;
  for (double value : values) {
    double away = value - moments.mean;
    second += away * away / count;
    fourth += away * away * away * away / count;
  }
  moments.deviation = std::sqrt(second);
  moments.kurtosis = fourth / (second * second);
  return moments;
}

/// Within five standard errors of a distribution with this deviation and kurtosis, and mean 0.
void expectMoments(const std::string& init, double deviation, double kurtosis, double bound, bool inExperts = false) {
  SCOPED_TRACE(init);
  std::vector<double> values = drawn(init, inExperts);
  ASSERT_EQ(values.size(), static_cast<size_t>(kIn * kOut * (inExperts ? kExperts : 1)));
  Moments moments = momentsOf(values);
  double count = static_cast<double>(values.size());
  EXPECT_NEAR(moments.mean, 0, 5 * deviation / std::sqrt(count));
  EXPECT_NEAR(moments.deviation, deviation, 5 * deviation * std::sqrt((kurtosis - 1) / (4 * count)));
  EXPECT_NEAR(moments.kurtosis, kurtosis, 0.2);
  EXPECT_LE(moments.largest, bound);
  EXPECT_GE(moments.largest, std::isfinite(bound) ? 0.99 * bound : 3 * deviation);
}

constexpr double kUniformKurtosis = 1.8, kNormalKurtosis = 3;
const double infinite = std::numeric_limits<double>::infinity();

void expectUniform(const std::string& init, double bound, bool inExperts = false) {
  expectMoments(init, bound / std::sqrt(3.0), kUniformKurtosis, bound, inExperts);
}
void expectNormal(const std::string& init, double deviation, bool inExperts = false) { expectMoments(init, deviation, kNormalKurtosis, infinite, inExperts); }

} // namespace

TEST(Inits, UniformAndNormal) {
  expectUniform(R"("uniform")", 1);
  expectUniform(R"({"uniform": 0.03})", 0.03);
  expectUniform(R"("uniform_fan_in")", 1 / std::sqrt(kIn));
  expectUniform(R"("uniform_fan_out")", 1 / std::sqrt(kOut));
  expectNormal(R"("normal")", 1);
  expectNormal(R"({"normal": 0.02})", 0.02);
}

// kaiming_uniform_(a), kaiming_normal_(a): gain = sqrt(2 / (1 + a^2)), deviation = gain / sqrt(fan_in), bound = sqrt(3) * deviation.
TEST(Inits, Kaiming) {
  for (bool inExperts : {false, true}) {
    expectUniform(R"("kaiming_uniform")", std::sqrt(6.0 / kIn), inExperts);
    expectUniform(R"({"kaiming_uniform": 2.23606797749979})", 1 / std::sqrt(kIn), inExperts); // a = sqrt(5): PyTorch's Linear
    expectNormal(R"("kaiming_normal")", std::sqrt(2.0 / kIn), inExperts);
    expectNormal(R"({"kaiming_normal": 0.1})", std::sqrt(2.0 / 1.01 / kIn), inExperts);
  }
}

// xavier_uniform_(gain), xavier_normal_(gain): deviation = gain * sqrt(2 / (fan_in + fan_out)).
TEST(Inits, Xavier) {
  expectUniform(R"("xavier_uniform")", std::sqrt(6.0 / (kIn + kOut)));
  expectUniform(R"({"xavier_uniform": 1.5})", 1.5 * std::sqrt(6.0 / (kIn + kOut)), true);
  expectNormal(R"("xavier_normal")", std::sqrt(2.0 / (kIn + kOut)));
  expectNormal(R"({"xavier_normal": 0.5})", 0.5 * std::sqrt(2.0 / (kIn + kOut)), true);
}

// trunc_normal_(std, a = -2 std, b = 2 std): with Z = erf(sqrt(2)) and p = exp(-2) / sqrt(2 pi), the variance is
// 1 - 4 p / Z, the fourth moment 3 - (4 * 3 + 16) p / Z.
TEST(Inits, TruncatedNormal) {
  double inside = std::erf(std::sqrt(2.0)), edge = std::exp(-2.0) / std::sqrt(2 * 3.14159265358979323846) / inside;
  double variance = 1 - 4 * edge, fourth = 3 - 28 * edge;
  expectMoments(R"("truncated_normal")", std::sqrt(variance), fourth / (variance * variance), 2);
  expectMoments(R"({"truncated_normal": 0.02})", 0.02 * std::sqrt(variance), fourth / (variance * variance), 0.04, true);
}

TEST(Inits, OrthogonalRowsOfEachExpert) {
  std::vector<double> values = drawn(R"({"orthogonal": 1.5})", true);
  for (int64_t expert = 0; expert < kExperts; ++expert) // more rows than columns: the columns are orthonormal
    for (int64_t a : {0, 1, 50})
      for (int64_t b : {0, 1, 50}) {
        double product = 0;
        for (int64_t row = 0; row < kOut; ++row)
          product += values[(expert * kOut + row) * kIn + a] * values[(expert * kOut + row) * kIn + b];
        EXPECT_NEAR(product, a == b ? 2.25 : 0, 1e-10) << a << " " << b;
      }
}

TEST(Inits, ConstantsAndTheBiasOfALayer) {
  for (const auto& [init, value] : {std::pair("\"zeros\"", 0.0), {"\"ones\"", 1.0}, {"-0.25", -0.25}})
    for (double found : drawn(init))
      ASSERT_EQ(found, value) << init;
  std::vector<double> bias = drawn(R"("uniform_fan_in")", false, "bias");
  ASSERT_EQ(bias.size(), static_cast<size_t>(kOut));
  EXPECT_LE(momentsOf(bias).largest, 1 / std::sqrt(kIn));
  EXPECT_GE(momentsOf(bias).largest, 0.8 / std::sqrt(kIn));
}
