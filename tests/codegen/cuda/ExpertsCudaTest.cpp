// Owner of: CUDA kernels of kinds `expert_up`, `expert_mid` and `expert_down`. Every result is held against the reference interpreter.
#include "runtime/core/Philox.h"
#include "tests/codegen/ProductCheck.h"
#include "tests/codegen/cuda/CudaKernelCheck.h"

namespace moec::testing {
namespace {

std::string text(int64_t value) { return std::to_string(value); }

/// How rows meet experts.
struct Fill {
  const char* name;
  int64_t tokens, experts, choices;
  std::function<int32_t(int64_t row)> expert;
};

int32_t anyExpert(int64_t row, int64_t experts) { return static_cast<int32_t>(draw(3, 1, 0, static_cast<uint64_t>(row))[0] % experts); }

const Fill fills[] = {
    {"mixed", 37, 5, 2, [](int64_t row) { return anyExpert(row, 5); }},
    {"emptyExperts", 11, 8, 2, [](int64_t row) { return row % 2 ? 6 : 1; }},
    {"oneGetsAll", 150, 4, 1, [](int64_t) { return 2; }},
    {"someDropped", 29, 3, 3, [](int64_t row) { return row % 4 == 0 || row < 3 ? -1 : anyExpert(row, 3); }},
    {"allDropped", 6, 3, 2, [](int64_t) { return -1; }},
    {"manyChoices", 9, 12, 12, [](int64_t row) { return static_cast<int32_t>(row % 12); }},
    {"oneToken", 1, 4, 2, [](int64_t row) { return row ? 3 : 0; }},
    {"manyExperts", 40, 1100, 2, [](int64_t row) { return row % 3 ? anyExpert(row, 1100) : 1099; }},
};

class ExpertsCuda : public ::testing::TestWithParam<std::tuple<Fill, DType>> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  const Fill& fill() const { return std::get<0>(GetParam()); }
  DType type() const { return std::get<1>(GetParam()); }
  int64_t rows() const { return fill().tokens * fill().choices; }
  Tensor routing() const {
    std::vector<int32_t> experts;
    for (int64_t row = 0; row < rows(); ++row)
      experts.push_back(fill().expert(row));
    return routingTensor(experts, fill().experts, fill().choices);
  }
  int64_t kept() const { return static_cast<const int32_t*>(routing().data())[fill().experts]; }
  std::string rowsText() const { return text(fill().choices) + "*t"; }
  mlir::Value routingInput() { return maker.routing(fill().experts, "t", fill().choices); }
  mlir::Value weights(int64_t columns, int64_t depth) { return maker.tensor(type(), {text(fill().experts), text(columns), text(depth)}); }
  mlir::Value table(int64_t columns) { return maker.tensor(type(), {text(fill().experts), text(columns)}); }
  CudaOptions options(int64_t terms, std::vector<Tensor> inputs) {
    return {.target = target, .check = {.bindings = {{"t", fill().tokens}}, .inputs = std::move(inputs), .terms = terms}, .kept = kept()};
  }
  void expectNoConflicts(const CudaRun& run) { EXPECT_EQ(run.bankConflicts(), 0u); }

  std::string target = "cuda:sm_90a";
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
  KernelMaker maker{*context};
};

TEST_P(ExpertsCuda, up) {
  int64_t width = 24, hidden = 51;
  mlir::Value x = maker.tensor(type(), {"t", text(width)}), routes = routingInput(), w = weights(hidden, width), bias = table(hidden);
  mlir::Value y = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, routes), w, routes);
  y = maker.make<ir::AddOp>(y, maker.make<ir::ExpertRowsOp>(bias, routes));
  CudaOptions all = options(width, {randomTensor(type(), {fill().tokens, width}, 1), routing()});
  all.raggedOutputs = {0};
  expectNoConflicts(checkCuda(maker.finish("expert_up", {maker.make<ir::GeluOp>(y)}), all));
}

TEST_P(ExpertsCuda, midTimesAnotherProduct) {
  int64_t width = 33, hidden = 16;
  mlir::Value x = maker.tensor(type(), {rowsText(), text(width)}), routes = routingInput(), w = weights(hidden, width);
  mlir::Value other = maker.tensor(type(), {rowsText(), text(hidden)});
  mlir::Value y = maker.make<ir::MulOp>(maker.make<ir::SiluOp>(maker.make<ir::GroupedMatmulOp>(x, w, routes)), other);
  CudaOptions all = options(width, {randomTensor(type(), {rows(), width}, 1), routing()});
  all.raggedInputs = {0, 3};
  all.raggedOutputs = {0};
  expectNoConflicts(checkCuda(maker.finish("expert_mid", {y}), all));
}

TEST_P(ExpertsCuda, downAddsTheWeightedRowsToTheResidual) {
  int64_t width = 21, hidden = 40;
  mlir::Value x = maker.tensor(type(), {rowsText(), text(hidden)}), routes = routingInput(), w = weights(width, hidden), bias = table(width);
  mlir::Value choice = maker.tensor(type(), {"t", text(fill().choices)}), residual = maker.tensor(type(), {"t", text(width)});
  mlir::Value y = maker.make<ir::GroupedMatmulOp>(x, w, routes);
  y = maker.make<ir::AddOp>(y, maker.make<ir::ExpertRowsOp>(bias, routes));
  y = maker.make<ir::CombineOp>(y, routes, choice);
  CudaOptions all = options(hidden, {randomTensor(type(), {rows(), hidden}, 1), routing()});
  all.raggedInputs = {0};
  expectNoConflicts(checkCuda(maker.finish("expert_down", {maker.make<ir::AddOp>(y, residual)}), all));
}

TEST_P(ExpertsCuda, oneLayerGathersAndCombines) {
  int64_t width = 20;
  mlir::Value x = maker.tensor(type(), {"t", text(width)}), routes = routingInput(), w = weights(width, width);
  mlir::Value choice = maker.tensor(type(), {"t", text(fill().choices)});
  mlir::Value y = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, routes), w, routes);
  CudaOptions all = options(width, {randomTensor(type(), {fill().tokens, width}, 1), routing()});
  expectNoConflicts(checkCuda(maker.finish("expert_down", {maker.make<ir::CombineOp>(y, routes, choice)}), all));
}

INSTANTIATE_TEST_SUITE_P(Fills, ExpertsCuda, ::testing::Combine(::testing::ValuesIn(fills), ::testing::Values(DType::F32, DType::F64)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param).name) + (std::get<1>(info.param) == DType::F64 ? "F64" : "F32");
                         });

class ExpertsCudaTargets : public ExpertsCuda {};

TEST_P(ExpertsCudaTargets, everyTargetCompilesAndRuns) {
  for (const std::string& name : cudaTargetNames()) {
    target = name;
    KernelMaker maker(*context);
    mlir::Value x = maker.tensor(type(), {"t", "64"}), routes = maker.routing(fill().experts, "t", fill().choices);
    mlir::Value w = maker.tensor(type(), {text(fill().experts), "96", "64"});
    mlir::Value y = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, routes), w, routes);
    CudaOptions all = options(64, {randomTensor(type(), {fill().tokens, 64}, 1), routing()});
    all.raggedOutputs = {0};
    expectNoConflicts(checkCuda(maker.finish("expert_up", {y}), all));
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, ExpertsCudaTargets, ::testing::Combine(::testing::Values(fills[0]), ::testing::Values(DType::F32, DType::F64)));

} // namespace
} // namespace moec::testing
