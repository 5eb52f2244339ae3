// Owner of: kernels of kind `weight_grad`. Every result is held against the reference interpreter.
#include "runtime/core/Philox.h"
#include "tests/codegen/ProductCheck.h"

#include <gtest/gtest.h>

namespace moec::testing {
namespace {

std::string text(int64_t value) { return std::to_string(value); }

struct WeightGradCase {
  const char* name;
  DType type;
  int64_t tokens, experts, choices, columns, depth; // of w: (experts, columns, depth)
  int32_t (*expert)(int64_t row);
};
void PrintTo(const WeightGradCase& one, std::ostream* stream) { *stream << one.name; }

int32_t any(int64_t row, uint32_t experts) { return static_cast<int32_t>(draw(3, 1, 0, static_cast<uint64_t>(row))[0] % experts); }

/// Three slices of rows, none, a whole one, and a short one.
int32_t inSlices(int64_t row) {
  if (row < 300)
    return 0;
  return row < 300 + 128 ? 2 : 3;
}

const WeightGradCase cases[] = {
    {"mixed", DType::F32, 137, 5, 2, 51, 70, [](int64_t row) { return any(row, 5); }},
    {"mixedWide", DType::F64, 61, 3, 2, 130, 300, [](int64_t row) { return any(row, 3); }},
    {"emptyExperts", DType::F32, 11, 8, 2, 24, 33, [](int64_t row) { return row % 2 ? 6 : 1; }},
    {"oneGetsAll", DType::F32, 700, 4, 1, 17, 40, [](int64_t) { return 2; }},
    {"slices", DType::F32, 430, 4, 1, 51, 64, inSlices},
    {"oneGetsAllHalf", DType::BF16, 300, 4, 1, 100, 64, [](int64_t) { return 2; }},
    {"someDropped", DType::F64, 29, 3, 3, 13, 19, [](int64_t row) { return row % 4 == 0 || row < 3 ? -1 : any(row, 3); }},
    {"allDropped", DType::F32, 6, 3, 2, 5, 9, [](int64_t) { return -1; }},
    {"oneToken", DType::F32, 1, 4, 2, 40, 7, [](int64_t row) { return row ? 3 : 0; }},
    {"oneTokenHalf", DType::BF16, 1, 4, 2, 7, 40, [](int64_t row) { return row ? 3 : 0; }},
    {"oneNumber", DType::F32, 9, 2, 1, 1, 1, [](int64_t row) { return static_cast<int32_t>(row % 2); }},
};

class WeightGradKernel : public ::testing::TestWithParam<WeightGradCase> {};

TEST_P(WeightGradKernel, productAndWhatFollows) {
  const WeightGradCase& c = GetParam();
  std::vector<int32_t> experts;
  for (int64_t row = 0; row < c.tokens * c.choices; ++row)
    experts.push_back(c.expert(row));
  Tensor routing = routingTensor(experts, c.experts, c.choices);
  int64_t rows = c.tokens * c.choices, kept = static_cast<const int32_t*>(routing.data())[c.experts];
  // Rows behind the count are undefined: a kernel must not take them in.
  auto rowsOf = [&](int64_t width, uint32_t seed) {
    Tensor tensor = randomTensor(DType::F64, {rows, width}, seed);
    for (int64_t i = kept * width; i < rows * width; ++i)
      tensor.as<double>()[static_cast<size_t>(i)] = std::numeric_limits<double>::quiet_NaN();
    return tensor.cast(c.type);
  };
  expectReference({[&](KernelMaker& maker, const Weights&) {
                     mlir::Value dy = maker.tensor(c.type, {text(c.choices) + "*t", text(c.columns)}),
                                 x = maker.tensor(c.type, {text(c.choices) + "*t", text(c.depth)});
                     mlir::Value routed = maker.routing(c.experts, "t", c.choices),
                                 before = maker.tensor(c.type, {text(c.experts), text(c.columns), text(c.depth)});
                     mlir::Value scale = maker.tensor(c.type, {"1"}), gradient = maker.make<ir::GroupedWeightGradOp>(dy, x, routed);
                     mlir::Value bias = maker.make<ir::ExpertSumsOp>(dy, routed);
                     return maker.finish("weight_grad", {maker.make<ir::AddOp>(maker.make<ir::MulOp>(gradient, scale), before), bias, gradient});
                   },
                   {rowsOf(c.columns, 1), rowsOf(c.depth, 2), routing, randomTensor(c.type, {c.experts, c.columns, c.depth}, 3), randomTensor(c.type, {1}, 4)},
                   -1,
                   {{"t", c.tokens}},
                   rows});
}

INSTANTIATE_TEST_SUITE_P(Cases, WeightGradKernel, ::testing::ValuesIn(cases), [](const auto& info) { return std::string(info.param.name); });

// With vectors that are cache lines they are stored past the caches; whole panels from registers.
TEST(WeightGradKernels, gradientsThatNoCacheHolds) {
  DType type = DType::F32;
  for (int64_t depth : {1040, 1056})
    expectReference({[&](KernelMaker& maker, const Weights&) {
                       mlir::Value dy = maker.tensor(type, {"7", "2050"}), x = maker.tensor(type, {"7", text(depth)});
                       return maker.finish("weight_grad", {maker.make<ir::GroupedWeightGradOp>(dy, x, maker.routing(4, "7", 1))});
                     },
                     {randomTensor(type, {7, 2050}, 1), randomTensor(type, {7, depth}, 2), routingTensor({3, 1, 1, 0, 3, 3, 1}, 4, 1)},
                     -1,
                     {},
                     7});
}

TEST(WeightGradKernels, anExpertWithoutRowsGetsZeros) {
  auto context = makeContext();
  KernelMaker maker(*context);
  DType type = DType::F32;
  mlir::Value dy = maker.tensor(type, {"6", "5"}), x = maker.tensor(type, {"6", "21"}), routing = maker.routing(3, "6", 1);
  LoadedKernel kernel(maker.finish("weight_grad", {maker.make<ir::GroupedWeightGradOp>(dy, x, routing)}));
  Tensor result = kernel.run({randomTensor(type, {6, 5}, 1), randomTensor(type, {6, 21}, 2), routingTensor({0, 2, 0, 2, 2, 0}, 3, 1)}, {})[0];
  std::vector<double> values = result.toDoubles();
  for (int64_t i = 0; i < 105; ++i) {
    EXPECT_EQ(values[105 + i], 0.0) << "expert 1, element " << i;
    EXPECT_NE(values[i], 0.0);
  }
}

} // namespace
} // namespace moec::testing
