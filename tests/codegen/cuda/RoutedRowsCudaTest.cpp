// Owner of: CUDA kernels of kind `rows` whose rows a routing finds. Every result is held against the reference interpreter; rows behind the routing's count
// are neither read nor written.
#include "runtime/core/Philox.h"
#include "tests/codegen/ProductCheck.h"
#include "tests/codegen/cuda/CudaKernelCheck.h"

namespace moec::testing {
namespace {

std::string text(int64_t value) { return std::to_string(value); }

/// How rows meet experts, and how wide they are.
struct Fill {
  const char* name;
  int64_t tokens, experts, choices, width;
  int32_t (*expert)(int64_t row);
};
void PrintTo(const Fill& one, std::ostream* stream) { *stream << one.name; }

int32_t anyExpert(int64_t row, int32_t experts) { return static_cast<int32_t>(draw(3, 1, 0, static_cast<uint64_t>(row))[0] % static_cast<uint32_t>(experts)); }

const Fill fills[] = {
    {"mixed", 37, 5, 2, 24, [](int64_t row) { return anyExpert(row, 5); }},
    {"emptyExperts", 11, 8, 2, 7, [](int64_t row) { return row % 2 ? 6 : 1; }},
    {"someDropped", 29, 3, 3, 1500, [](int64_t row) { return row % 4 == 0 || row < 3 ? -1 : anyExpert(row, 3); }},
    {"allDropped", 6, 3, 2, 24, [](int64_t) { return -1; }},
    {"manyChoices", 9, 12, 12, 40, [](int64_t row) { return row % 5 ? static_cast<int32_t>(row % 12) : -1; }},
    {"oneToken", 1, 1, 2, 33, [](int64_t row) { return row ? 0 : -1; }},
};

class RoutedRowsCuda : public ::testing::TestWithParam<std::tuple<Fill, DType>> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
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
  mlir::Value tokensInput() { return maker.tensor(type(), {"t", text(fill().width)}); }
  mlir::Value rowsInput() { return maker.tensor(type(), {text(fill().choices) + "*t", text(fill().width)}); }
  mlir::Value routingInput() { return maker.routing(fill().experts, "t", fill().choices); }
  mlir::Value table() { return maker.tensor(type(), {text(fill().experts), text(fill().width)}); }
  mlir::Value norm(mlir::Value x) { return maker.make<ir::LayerNormOp>(x, mlir::Value(), mlir::Value(), maker.builder().getF64FloatAttr(1e-5)); }
  Tensor numbers(int64_t count, uint32_t seed) const { return randomTensor(type(), {count, fill().width}, seed); }
  void run(ir::KernelOp kernel, const std::vector<Tensor>& inputs, const std::vector<unsigned>& raggedInputs, const std::vector<unsigned>& raggedOutputs) {
    checkCuda(kernel, {.check = {.bindings = {{"t", fill().tokens}}, .inputs = inputs, .terms = fill().width},
                       .kept = routing().as<int32_t>()[static_cast<size_t>(fill().experts)],
                       .raggedInputs = raggedInputs,
                       .raggedOutputs = raggedOutputs});
  }

  std::unique_ptr<mlir::MLIRContext> context = makeContext();
  KernelMaker maker{*context};
};

TEST_P(RoutedRowsCuda, normsOfGatheredRowsWithWeightsOfTheirExperts) {
  mlir::Value x = tokensInput(), routes = routingInput(), weight = table(), bias = table();
  mlir::Value y = maker.make<ir::MulOp>(norm(maker.make<ir::DispatchOp>(x, routes)), maker.make<ir::ExpertRowsOp>(weight, routes));
  y = maker.make<ir::AddOp>(y, maker.make<ir::ExpertRowsOp>(bias, routes));
  run(maker.finish("rows", {y}), {numbers(fill().tokens, 1), routing(), numbers(fill().experts, 2), numbers(fill().experts, 3)}, {}, {0});
}

TEST_P(RoutedRowsCuda, residualsBehindANorm) {
  mlir::Value x = rowsInput(), residual = rowsInput(), routes = routingInput(), bias = table();
  mlir::Value y = maker.make<ir::ReluOp>(maker.make<ir::AddOp>(norm(x), maker.make<ir::ExpertRowsOp>(bias, routes)));
  run(maker.finish("rows", {maker.make<ir::AddOp>(y, residual)}), {numbers(rows(), 1), numbers(rows(), 2), routing(), numbers(fill().experts, 3)}, {0, 1}, {0});
}

TEST_P(RoutedRowsCuda, boundedByARoutingThatNoOpReads) {
  mlir::Value x = rowsInput(), column = maker.tensor(type(), {text(fill().choices) + "*t", "1"}), bias = maker.tensor(type(), {text(fill().width)});
  routingInput();
  mlir::Value y = maker.make<ir::TanhOp>(maker.make<ir::AddOp>(maker.make<ir::MulOp>(x, column), bias));
  run(maker.finish("rows", {y}), {numbers(rows(), 1), randomTensor(type(), {rows(), 1}, 2), randomTensor(type(), {fill().width}, 3), routing()}, {0, 1}, {0});
}

TEST_P(RoutedRowsCuda, gatheredAlone) {
  mlir::Value x = tokensInput(), routes = routingInput();
  run(maker.finish("rows", {maker.make<ir::DispatchOp>(x, routes)}), {numbers(fill().tokens, 1), routing()}, {}, {0});
}

TEST_P(RoutedRowsCuda, combinedOntoAResidual) {
  mlir::Value x = rowsInput(), routes = routingInput(), weights = maker.tensor(weightType(), {"t", text(fill().choices)}), residual = tokensInput();
  mlir::Value y = maker.make<ir::AddOp>(maker.make<ir::CombineOp>(x, routes, weights), residual);
  run(maker.finish("rows", {y}), {numbers(rows(), 1), routing(), randomTensor(weightType(), {fill().tokens, fill().choices}, 2), numbers(fill().tokens, 3)},
      {0}, {});
}

// How many rows each expert has, and how many choices none took.
TEST_P(RoutedRowsCuda, counts) {
  mlir::OpBuilder& builder = maker.builder();
  mlir::Value counts = maker.make<ir::ExpertCountsOp>(routingInput());
  mlir::Value load = maker.make<ir::CastOp>(counts, builder.getF32Type());
  mlir::Value taken = maker.make<ir::ReduceOp>(ir::ReduceKind::Sum, load, 0);
  mlir::Value all = maker.make<ir::SizeOp>((Size::symbol("t") * Size(fill().choices)).str(), builder.getF32Type());
  run(maker.finish("rows", {counts, load, maker.make<ir::SubOp>(all, taken)}), {routing()}, {}, {});
}

INSTANTIATE_TEST_SUITE_P(Fills, RoutedRowsCuda, ::testing::Combine(::testing::ValuesIn(fills), ::testing::Values(DType::F32, DType::F64, DType::BF16)),
                         [](const auto& info) { return std::string(std::get<0>(info.param).name) + "_" + std::string(name(std::get<1>(info.param))); });

} // namespace
} // namespace moec::testing
