// Owner of: CUDA kernels of kinds `expert_up`, `expert_mid` and `expert_down`. Every result is held against the reference interpreter.
#include "codegen/analysis/InPlace.h"
#include "runtime/core/Philox.h"
#include "tests/codegen/ProductCheck.h"
#include "tests/codegen/cuda/CudaKernelCheck.h"

#include <cstring>

namespace moec::testing {
namespace {

std::string text(int64_t value) { return std::to_string(value); }

/// How rows meet experts.
struct Fill {
  const char* name;
  int64_t tokens;
  int32_t (*expert)(int64_t row);
};

/// Kernels of one number of experts and choices, called with several routings.
struct Group {
  const char* name;
  int64_t experts, choices;
  std::vector<Fill> fills;
};
void PrintTo(const Group& one, std::ostream* stream) { *stream << one.name; }

int32_t anyOf(int64_t row, int64_t experts) { return static_cast<int32_t>(draw(3, 1, 0, static_cast<uint64_t>(row))[0] % experts); }

const Group kGroups[] = {
    {"fiveExpertsTwoChoices",
     5,
     2,
     {{"mixed", 37, [](int64_t row) { return anyOf(row, 5); }},
      {"emptyExperts", 11, [](int64_t row) { return row % 2 ? 4 : 1; }},
      {"oneGetsAll", 150, [](int64_t) { return 2; }},
      {"someDropped", 29, [](int64_t row) { return row % 4 == 0 || row < 3 ? -1 : anyOf(row, 5); }},
      {"allDropped", 6, [](int64_t) { return -1; }},
      {"oneToken", 1, [](int64_t row) { return row ? 3 : 0; }},
      {"oneTokenDropped", 1, [](int64_t row) { return row ? -1 : 4; }},
      {"noTokens", 0, [](int64_t) { return 0; }}}},
    {"fourExpertsOneChoice",
     4,
     1,
     {{"oneGetsAll", 150, [](int64_t) { return 2; }},
      {"mixedAndDropped", 67, [](int64_t row) { return row % 5 == 2 ? -1 : anyOf(row, 4); }},
      {"oneToken", 1, [](int64_t) { return 3; }}}},
};
/// What is of experts and choices alone, whatever the dtype.
const Group kOtherGroups[] = {
    {"twelveExpertsTwelveChoices", 12, 12, {{"all", 9, [](int64_t row) { return static_cast<int32_t>(row % 12); }}}},
    {"manyExperts", 1100, 2, {{"mixed", 40, [](int64_t row) { return row % 3 ? anyOf(row, 1100) : 1099; }}}},
    {"oneExpert", 1, 1, {{"all", 35, [](int64_t) { return 0; }}, {"someDropped", 35, [](int64_t row) { return row % 2 ? 0 : -1; }}}},
};

class ExpertsCuda : public ::testing::TestWithParam<std::tuple<Group, DType>> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  const Group& group() const { return std::get<0>(GetParam()); }
  DType type() const { return std::get<1>(GetParam()); }
  DType weightType() const { return type() == DType::BF16 ? DType::F32 : type(); } // of a gate
  std::string rowsText() const { return text(group().choices) + "*t"; }
  mlir::Value routingInput() { return maker.routing(group().experts, "t", group().choices); }
  mlir::Value weights(int64_t columns, int64_t depth) { return maker.tensor(type(), {text(group().experts), text(columns), text(depth)}); }
  mlir::Value table(int64_t columns) { return maker.tensor(type(), {text(group().experts), text(columns)}); }

  Tensor routingOf(const Fill& fill) const {
    std::vector<int32_t> experts;
    for (int64_t row = 0; row < fill.tokens * group().choices; ++row)
      experts.push_back(fill.expert(row));
    return routingTensor(experts, group().experts, group().choices);
  }

  /// Calls the kernel with each routing. Its inputs: (T, width) or (R, width), the routing, and what else there is.
  void check(ir::KernelOp kernel, int64_t width, std::vector<unsigned> raggedInputs, std::vector<unsigned> raggedOutputs) {
    for (const Fill& fill : group().fills) {
      SCOPED_TRACE(fill.name);
      Tensor routing = routingOf(fill);
      int64_t rows = llvm::is_contained(raggedInputs, 0u) ? fill.tokens * group().choices : fill.tokens;
      CudaRun run = checkCuda(kernel, {.check = {.bindings = {{"t", fill.tokens}}, .inputs = {randomTensor(type(), {rows, width}, 1), routing}, .terms = width},
                                       .kept = static_cast<const int32_t*>(routing.data())[group().experts],
                                       .raggedInputs = raggedInputs,
                                       .raggedOutputs = raggedOutputs});
      EXPECT_EQ(run.bankConflicts(), 0u);
    }
  }

  std::unique_ptr<mlir::MLIRContext> context = makeContext();
  KernelMaker maker{*context};
};

TEST_P(ExpertsCuda, up) {
  int64_t width = 24, hidden = 51;
  mlir::Value x = maker.tensor(type(), {"t", text(width)}), routes = routingInput(), w = weights(hidden, width), bias = table(hidden);
  mlir::Value y = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, routes), w, routes);
  y = maker.make<ir::AddOp>(y, maker.make<ir::ExpertRowsOp>(bias, routes));
  check(maker.finish("expert_up", {maker.make<ir::GeluOp>(y)}), width, {}, {0});
}

TEST_P(ExpertsCuda, midTimesAnotherProduct) {
  int64_t width = 33, hidden = 16;
  mlir::Value x = maker.tensor(type(), {rowsText(), text(width)}), routes = routingInput(), w = weights(hidden, width);
  mlir::Value other = maker.tensor(type(), {rowsText(), text(hidden)});
  mlir::Value y = maker.make<ir::MulOp>(maker.make<ir::SiluOp>(maker.make<ir::GroupedMatmulOp>(x, w, routes)), other);
  check(maker.finish("expert_mid", {y}), width, {0, 3}, {0});
}

/// The same bytes as in memory of its own.
TEST_P(ExpertsCuda, midLiesOverTheOtherProduct) {
  int64_t width = 33, hidden = 16;
  mlir::Value x = maker.tensor(type(), {rowsText(), text(width)}), routes = routingInput(), w = weights(hidden, width);
  mlir::Value other = maker.tensor(type(), {rowsText(), text(hidden)});
  mlir::Value y = maker.make<ir::MulOp>(maker.make<ir::SiluOp>(maker.make<ir::GroupedMatmulOp>(x, w, routes)), other);
  ir::KernelOp kernel = maker.finish("expert_mid", {y});
  auto places = codegen::inPlaceOf(kernel);
  ASSERT_EQ(places.size(), 1u);
  for (const Fill& fill : group().fills) {
    SCOPED_TRACE(fill.name);
    Tensor routing = routingOf(fill);
    int64_t rows = fill.tokens * group().choices, kept = static_cast<const int32_t*>(routing.data())[group().experts];
    CudaOptions options{.check = {.bindings = {{"t", fill.tokens}}, .inputs = {randomTensor(type(), {rows, width}, 1), routing}, .terms = width},
                        .kept = kept,
                        .raggedInputs = {0, 3},
                        .raggedOutputs = {0}};
    CudaRun apart = checkCuda(kernel, options);
    options.inPlace = {{places[0].output, places[0].input}};
    CudaRun within = checkCuda(kernel, options);
    EXPECT_EQ(std::memcmp(apart.outputs[0].data(), within.outputs[0].data(), static_cast<size_t>(kept * hidden) * byteSize(type())), 0);
  }
}

TEST_P(ExpertsCuda, downAddsTheWeightedRowsToTheResidual) {
  int64_t width = 21, hidden = 40;
  mlir::Value x = maker.tensor(type(), {rowsText(), text(hidden)}), routes = routingInput(), w = weights(width, hidden), bias = table(width);
  mlir::Value choice = maker.tensor(weightType(), {"t", text(group().choices)}), residual = maker.tensor(type(), {"t", text(width)});
  mlir::Value y = maker.make<ir::GroupedMatmulOp>(x, w, routes);
  y = maker.make<ir::AddOp>(y, maker.make<ir::ExpertRowsOp>(bias, routes));
  y = maker.make<ir::CombineOp>(y, routes, choice);
  check(maker.finish("expert_down", {maker.make<ir::AddOp>(y, residual)}), hidden, {0}, {});
}

TEST_P(ExpertsCuda, oneLayerGathersAndCombines) {
  int64_t width = 20;
  mlir::Value x = maker.tensor(type(), {"t", text(width)}), routes = routingInput(), w = weights(width, width);
  mlir::Value choice = maker.tensor(weightType(), {"t", text(group().choices)});
  mlir::Value y = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, routes), w, routes);
  check(maker.finish("expert_down", {maker.make<ir::CombineOp>(y, routes, choice)}), width, {}, {});
}

/// What the gradients want again: the rows before and behind the ops.
TEST_P(ExpertsCuda, downGivesItsRowsToo) {
  int64_t width = 21, hidden = 40;
  mlir::Value x = maker.tensor(type(), {rowsText(), text(hidden)}), routes = routingInput(), w = weights(width, hidden), bias = table(width);
  mlir::Value choice = maker.tensor(weightType(), {"t", text(group().choices)});
  mlir::Value product = maker.make<ir::GroupedMatmulOp>(x, w, routes);
  mlir::Value y = maker.make<ir::GeluOp>(maker.make<ir::AddOp>(product, maker.make<ir::ExpertRowsOp>(bias, routes)));
  mlir::Value combined = maker.make<ir::CombineOp>(y, routes, choice);
  check(maker.finish("expert_down", {y, maker.make<ir::NegOp>(combined), product}), hidden, {0}, {0, 2});
}

/// As the gradient of the rows has them: dy times the weights as they stand, which are transposed to this product.
TEST_P(ExpertsCuda, transposedWeights) {
  int64_t width = 24, hidden = 51;
  auto transposed = [&](KernelMaker& maker, int64_t columns, int64_t depth) {
    mlir::Value w = maker.tensor(type(), {text(group().experts), text(depth), text(columns)});
    return maker.make<ir::TransposeOp>(w, maker.builder().getDenseI64ArrayAttr({0, 2, 1}));
  };
  {
    mlir::Value dy = maker.tensor(type(), {rowsText(), text(hidden)}), routes = routingInput();
    mlir::Value y = maker.make<ir::GroupedMatmulOp>(dy, transposed(maker, width, hidden), routes);
    check(maker.finish("expert_mid", {y}), hidden, {0}, {0});
  }
  KernelMaker up(*context), down(*context);
  {
    mlir::Value dy = up.tensor(type(), {"t", text(width)}), routes = up.routing(group().experts, "t", group().choices), w = transposed(up, hidden, width);
    check(up.finish("expert_up", {up.make<ir::GroupedMatmulOp>(up.make<ir::DispatchOp>(dy, routes), w, routes)}), width, {}, {0});
  }
  mlir::Value dy = down.tensor(type(), {rowsText(), text(hidden)}), routes = down.routing(group().experts, "t", group().choices),
              w = transposed(down, width, hidden);
  mlir::Value ones = down.tensor(weightType(), {"t", text(group().choices)});
  check(down.finish("expert_down", {down.make<ir::CombineOp>(down.make<ir::GroupedMatmulOp>(dy, w, routes), routes, ones)}), hidden, {0}, {});
}

TEST_P(ExpertsCuda, resultsAndResidualsInBfloat16) {
  if (type() == DType::BF16)
    return; // the others' case
  int64_t width = 12;
  mlir::Value x = maker.tensor(type(), {"t", text(width)}), routes = routingInput(), w = weights(width, width);
  mlir::Value choice = maker.tensor(weightType(), {"t", text(group().choices)}), residual = maker.tensor(DType::BF16, {"t", text(width)});
  mlir::OpBuilder& b = maker.builder();
  mlir::Value y = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, routes), w, routes);
  y = maker.make<ir::CombineOp>(y, routes, choice);
  y = maker.make<ir::AddOp>(y, maker.make<ir::CastOp>(residual, mlir::TypeAttr::get(ir::elementType(type(), b.getContext()))));
  check(maker.finish("expert_down", {maker.make<ir::CastOp>(y, mlir::TypeAttr::get(b.getBF16Type())), y}), width, {}, {});
}

std::string nameOf(const ::testing::TestParamInfo<std::tuple<Group, DType>>& info) {
  return std::string(std::get<0>(info.param).name) + "_" + std::string(name(std::get<1>(info.param)));
}

INSTANTIATE_TEST_SUITE_P(Groups, ExpertsCuda, ::testing::Combine(::testing::ValuesIn(kGroups), ::testing::Values(DType::F32, DType::F64, DType::BF16)), nameOf);
INSTANTIATE_TEST_SUITE_P(OtherGroups, ExpertsCuda, ::testing::Combine(::testing::ValuesIn(kOtherGroups), ::testing::Values(DType::F32)), nameOf);

} // namespace
} // namespace moec::testing
