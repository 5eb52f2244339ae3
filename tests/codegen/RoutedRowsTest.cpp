// Owner of: kernels of kind `rows` whose rows a routing finds: dispatch, expert_rows and combine among the ops of rows. Every result is held against the
// reference interpreter.
#include "runtime/core/Philox.h"
#include "tests/codegen/ProductCheck.h"

#include <cstring>
#include <gtest/gtest.h>

namespace moec::testing {
namespace {

std::string text(int64_t value) { return std::to_string(value); }

/// How rows meet experts.
struct Fill {
  const char* name;
  int64_t tokens, experts, choices;
  int32_t (*expert)(int64_t row);
};
void PrintTo(const Fill& one, std::ostream* stream) { *stream << one.name; }

int32_t anyExpert(int64_t row, int32_t experts) { return static_cast<int32_t>(draw(3, 1, 0, static_cast<uint64_t>(row))[0] % static_cast<uint32_t>(experts)); }

const Fill fills[] = {
    {"mixed", 37, 5, 2, [](int64_t row) { return anyExpert(row, 5); }},
    {"emptyExperts", 11, 8, 2, [](int64_t row) { return row % 2 ? 6 : 1; }},
    {"oneExpert", 50, 1, 1, [](int64_t row) { return row % 3 ? 0 : -1; }},
    {"someDropped", 29, 3, 3, [](int64_t row) { return row % 4 == 0 || row < 3 ? -1 : anyExpert(row, 3); }},
    {"allDropped", 6, 3, 2, [](int64_t) { return -1; }},
    {"manyChoices", 9, 12, 12, [](int64_t row) { return row % 5 ? static_cast<int32_t>(row % 12) : -1; }},
    {"oneToken", 1, 4, 2, [](int64_t row) { return row ? 3 : 0; }},
};

class RoutedRows : public ::testing::TestWithParam<std::tuple<Fill, DType>> {
protected:
  static constexpr int64_t kWidth = 37;

  const Fill& fill() const { return std::get<0>(GetParam()); }
  DType type() const { return std::get<1>(GetParam()); }
  DType weightType() const { return type() == DType::BF16 ? DType::F32 : type(); }
  int64_t rows() const { return fill().tokens * fill().choices; }
  Tensor routing() const {
    std::vector<int32_t> experts;
    for (int64_t row = 0; row < rows(); ++row)
      experts.push_back(fill().expert(row));
    return routingTensor(experts, fill().experts, fill().choices);
  }
  int64_t kept() const { return routing().as<int32_t>()[static_cast<size_t>(fill().experts)]; }
  std::string rowsText() const { return text(fill().choices) + "*t"; }
  mlir::Value tokensInput(KernelMaker& maker) const { return maker.tensor(type(), {"t", text(kWidth)}); }
  mlir::Value rowsInput(KernelMaker& maker) const { return maker.tensor(type(), {rowsText(), text(kWidth)}); }
  mlir::Value routingInput(KernelMaker& maker) const { return maker.routing(fill().experts, "t", fill().choices); }
  mlir::Value table(KernelMaker& maker, int64_t width = kWidth) const { return maker.tensor(type(), {text(fill().experts), text(width)}); }
  mlir::Value norm(KernelMaker& maker, mlir::Value x) const {
    return maker.make<ir::LayerNormOp>(x, mlir::Value(), mlir::Value(), maker.builder().getF64FloatAttr(1e-5));
  }
  Tensor numbers(int64_t count, uint32_t seed, int64_t width = kWidth) const { return randomTensor(type(), {count, width}, seed); }
  /// `ragged`: rows behind the routing's count are undefined.
  void run(const WriteKernel& write, const std::vector<Tensor>& inputs, bool ragged) {
    ProductCase test{write, inputs, -1, {{"t", fill().tokens}}, kWidth};
    test.rowsKept = ragged ? kept() : -1;
    expectReference(test);
  }
};

TEST_P(RoutedRows, normsOfGatheredRowsWithWeightsOfTheirExperts) {
  run(
      [&](KernelMaker& maker, const Weights&) {
        mlir::Value x = tokensInput(maker), routes = routingInput(maker), weight = table(maker), bias = table(maker), scale = table(maker, 1);
        mlir::Value y = maker.make<ir::MulOp>(norm(maker, maker.make<ir::DispatchOp>(x, routes)), maker.make<ir::ExpertRowsOp>(weight, routes));
        y = maker.make<ir::AddOp>(y, maker.make<ir::ExpertRowsOp>(bias, routes));
        return maker.finish("rows", {maker.make<ir::MulOp>(y, maker.make<ir::ExpertRowsOp>(scale, routes))});
      },
      {numbers(fill().tokens, 1), routing(), numbers(fill().experts, 2), numbers(fill().experts, 3), numbers(fill().experts, 4, 1)}, true);
}

TEST_P(RoutedRows, residualsBehindANorm) {
  run(
      [&](KernelMaker& maker, const Weights&) {
        mlir::Value x = rowsInput(maker), residual = rowsInput(maker), routes = routingInput(maker), bias = table(maker);
        mlir::Value y = maker.make<ir::ReluOp>(maker.make<ir::AddOp>(norm(maker, x), maker.make<ir::ExpertRowsOp>(bias, routes)));
        return maker.finish("rows", {maker.make<ir::AddOp>(y, residual)});
      },
      {numbers(rows(), 1), numbers(rows(), 2), routing(), numbers(fill().experts, 3)}, true);
}

TEST_P(RoutedRows, boundedByARoutingThatNoOpReads) {
  run(
      [&](KernelMaker& maker, const Weights&) {
        mlir::Value x = rowsInput(maker), column = maker.tensor(type(), {rowsText(), "1"}), bias = maker.tensor(type(), {text(kWidth)});
        routingInput(maker);
        return maker.finish("rows", {maker.make<ir::TanhOp>(maker.make<ir::AddOp>(maker.make<ir::MulOp>(x, column), bias))});
      },
      {numbers(rows(), 1), numbers(rows(), 2, 1), randomTensor(type(), {kWidth}, 3), routing()}, true);
}

TEST_P(RoutedRows, gatheredAlone) {
  run(
      [&](KernelMaker& maker, const Weights&) {
        mlir::Value x = tokensInput(maker), routes = routingInput(maker);
        return maker.finish("rows", {maker.make<ir::DispatchOp>(x, routes)});
      },
      {numbers(fill().tokens, 1), routing()}, true);
}

TEST_P(RoutedRows, combinedOntoAResidual) {
  run(
      [&](KernelMaker& maker, const Weights&) {
        mlir::Value x = rowsInput(maker), routes = routingInput(maker);
        mlir::Value weights = maker.tensor(weightType(), {"t", text(fill().choices)}), residual = tokensInput(maker);
        return maker.finish("rows", {maker.make<ir::AddOp>(maker.make<ir::CombineOp>(x, routes, weights), residual)});
      },
      {numbers(rows(), 1), routing(), randomTensor(weightType(), {fill().tokens, fill().choices}, 2), numbers(fill().tokens, 3)}, false);
}

TEST_P(RoutedRows, choiceValuesOfAColumn) {
  auto run = [&](bool withOps) {
    this->run(
        [&](KernelMaker& maker, const Weights&) {
          mlir::Value column = maker.tensor(type(), {rowsText(), "1"}), routes = routingInput(maker), other = maker.tensor(type(), {"t", text(fill().choices)});
          mlir::Value y = maker.make<ir::ChoiceValuesOp>(column, routes);
          return maker.finish("rows", {withOps ? maker.make<ir::SoftmaxGradOp>(maker.make<ir::MulOp>(y, other), other) : y});
        },
        {numbers(rows(), 1, 1), routing(), numbers(fill().tokens, 2, fill().choices)}, false);
  };
  run(false);
  run(true);
}

// A router's way back. Its narrow rows lie across vectors; beside a sum over all rows they lie along them.
TEST_P(RoutedRows, narrowRowsHaveTheBitsOfRowsAlongVectors) {
  int64_t choices = fill().choices, experts = fill().experts;
  auto write = [&](KernelMaker& maker, bool isAlong) {
    mlir::Value column = maker.tensor(type(), {rowsText(), "1"}), routes = routingInput(maker), other = maker.tensor(type(), {"t", text(choices)});
    mlir::Value indices = maker.tensor(DType::I32, {"t", text(choices)}), y = maker.make<ir::ChoiceValuesOp>(column, routes);
    mlir::Value back = maker.make<ir::SoftmaxGradOp>(y, other), scores = maker.make<ir::SelectGradOp>(back, indices, static_cast<uint64_t>(experts));
    mlir::SmallVector<mlir::Value> results{y, back, scores};
    if (isAlong)
      results.push_back(maker.make<ir::ReduceOp>(ir::ReduceKind::Sum, other, uint64_t{0}));
    return maker.finish("rows", results);
  };
  Tensor indices(DType::I32, {fill().tokens, choices});
  for (int64_t i = 0; i < fill().tokens * choices; ++i)
    indices.as<int32_t>()[static_cast<size_t>(i)] = static_cast<int32_t>(i * i % experts); // some twice in a row
  std::vector<Tensor> inputs{numbers(rows(), 1, 1), routing(), numbers(fill().tokens, 2, choices), indices};
  run([&](KernelMaker& maker, const Weights&) { return write(maker, false); }, inputs, false);
  for (const std::string& target : testTargets()) {
    auto context = makeContext();
    KernelMaker across(*context), along(*context);
    LoadedKernel::Call call{{{"t", fill().tokens}}};
    std::vector<Tensor> one = LoadedKernel(write(across, false), target).run(inputs, call), two = LoadedKernel(write(along, true), target).run(inputs, call);
    for (size_t i = 0; i < one.size(); ++i)
      EXPECT_EQ(std::memcmp(one[i].data(), two[i].data(), one[i].bytes()), 0) << target << ", result " << i;
  }
}

// How many rows each expert has, and how many choices none took.
TEST_P(RoutedRows, counts) {
  run(
      [&](KernelMaker& maker, const Weights&) {
        mlir::OpBuilder& builder = maker.builder();
        mlir::Value counts = maker.make<ir::ExpertCountsOp>(routingInput(maker));
        mlir::Value load = maker.make<ir::CastOp>(counts, builder.getF32Type());
        mlir::Value taken = maker.make<ir::ReduceOp>(ir::ReduceKind::Sum, load, 0);
        mlir::Value all = maker.make<ir::SizeOp>((Size::symbol("t") * Size(fill().choices)).str(), builder.getF32Type());
        return maker.finish("rows", {counts, load, maker.make<ir::SubOp>(all, taken)});
      },
      {routing()}, false);
}

INSTANTIATE_TEST_SUITE_P(Fills, RoutedRows, ::testing::Combine(::testing::ValuesIn(fills), ::testing::Values(DType::F32, DType::F64, DType::BF16)),
                         [](const auto& info) { return std::string(std::get<0>(info.param).name) + "_" + std::string(name(std::get<1>(info.param))); });

} // namespace
} // namespace moec::testing
