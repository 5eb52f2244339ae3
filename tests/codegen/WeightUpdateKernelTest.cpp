// Owner of: kernels of kind `weight_update`. Every result is held against the reference interpreter, in memory of its own and over what it is made of.
#include "tests/codegen/ProductCheck.h"

#include <cstring>
#include <gtest/gtest.h>

namespace moec::testing {
namespace {

std::string text(int64_t value) { return std::to_string(value); }

mlir::Value number(KernelMaker& maker, DType type, double value) {
  mlir::Type element = type == DType::F64 ? maker.builder().getF64Type() : maker.builder().getF32Type();
  return maker.make<ir::ConstantOp>(mlir::DenseElementsAttr::get(mlir::RankedTensorType::get({}, element), maker.builder().getFloatAttr(element, value)));
}

/// The squares of all elements, added up.
mlir::Value sumOfSquares(KernelMaker& maker, mlir::Value gradient) {
  auto type = mlir::cast<mlir::RankedTensorType>(gradient.getType());
  mlir::Value square = maker.make<ir::MulOp>(gradient, gradient);
  mlir::Value row = maker.make<ir::ReshapeOp>(mlir::RankedTensorType::get({type.getNumElements()}, type.getElementType()), square);
  return maker.make<ir::ReduceOp>(ir::ReduceKind::Sum, row, uint64_t{0});
}

/// New mean, new squares, new parameter, as of Adam.
llvm::SmallVector<mlir::Value> adam(KernelMaker& maker, DType type, mlir::Value gradient, const std::vector<std::string>& sizes) {
  mlir::Value mean = maker.tensor(type, sizes), squares = maker.tensor(type, sizes), parameter = maker.tensor(type, sizes), rate = maker.tensor(type, {});
  mean = maker.make<ir::AddOp>(mean, maker.make<ir::MulOp>(number(maker, type, 0.125), maker.make<ir::SubOp>(gradient, mean)));
  squares = maker.make<ir::AddOp>(maker.make<ir::MulOp>(squares, squares), maker.make<ir::MulOp>(gradient, gradient));
  mlir::Value root = maker.make<ir::AddOp>(maker.make<ir::SqrtOp>(squares), number(maker, type, 0.5));
  return {mean, squares, maker.make<ir::SubOp>(parameter, maker.make<ir::DivOp>(maker.make<ir::MulOp>(rate, mean), root))};
}

struct Case {
  const char* name;
  DType type;
  int64_t matrices, depth, columns, width; // the gradient is (matrices, columns, width), of `depth` rows each
};
void PrintTo(const Case& one, std::ostream* stream) { *stream << one.name; }

const Case cases[] = {
    {"wholePanels", DType::F32, 3, 32, 96, 256}, {"ofManySlices", DType::F32, 1, 700, 50, 64}, {"manyItems", DType::F32, 5, 7, 200, 300},
    {"tails", DType::F32, 2, 5, 13, 21},         {"oneRow", DType::F32, 1, 1, 20, 33},         {"wide", DType::F64, 2, 32, 40, 100},
    {"wideTails", DType::F64, 1, 9, 3, 5},
};

std::vector<Tensor> stateOf(const Case& c) {
  std::vector<Tensor> states;
  for (uint32_t seed : {3, 4, 5})
    states.push_back(randomTensor(c.type, {c.matrices, c.columns, c.width}, seed));
  states.push_back(randomTensor(c.type, {}, 6));
  return states;
}

class WeightUpdateKernel : public ::testing::TestWithParam<Case> {};

TEST_P(WeightUpdateKernel, ofAProduct) {
  const Case& c = GetParam();
  std::vector<Tensor> inputs{randomTensor(c.type, {c.matrices, c.depth, c.columns}, 1), randomTensor(c.type, {c.matrices, c.depth, c.width}, 2)};
  llvm::append_range(inputs, stateOf(c));
  expectReference({[&](KernelMaker& maker, const Weights&) {
                     auto turned = [&](mlir::Value rows) { return maker.make<ir::TransposeOp>(rows, maker.builder().getDenseI64ArrayAttr({0, 2, 1})); };
                     mlir::Value dy = maker.tensor(c.type, {text(c.matrices), "t", text(c.columns)}),
                                 x = maker.tensor(c.type, {text(c.matrices), "t", text(c.width)});
                     mlir::Value gradient = maker.make<ir::MatmulOp>(turned(dy), turned(x));
                     auto results = adam(maker, c.type, gradient, {text(c.matrices), text(c.columns), text(c.width)});
                     results.push_back(sumOfSquares(maker, gradient));
                     return maker.finish("weight_update", results);
                   },
                   inputs,
                   -1,
                   {{"t", c.depth}},
                   c.depth});
}

TEST_P(WeightUpdateKernel, ofExpertsRowsBesideTheGradientOfTheirBias) {
  const Case& c = GetParam();
  int64_t rows = c.depth * c.matrices;
  std::vector<int32_t> experts;
  for (int64_t row = 0; row < rows; ++row) // the first of several has none
    experts.push_back(static_cast<int32_t>(c.matrices > 1 ? 1 + row % (c.matrices - 1) : 0));
  std::vector<Tensor> inputs{randomTensor(c.type, {rows, c.columns}, 1), randomTensor(c.type, {rows, c.width}, 2), routingTensor(experts, c.matrices, 1)};
  llvm::append_range(inputs, stateOf(c));
  expectReference({[&](KernelMaker& maker, const Weights&) {
                     mlir::Value dy = maker.tensor(c.type, {"t", text(c.columns)}), x = maker.tensor(c.type, {"t", text(c.width)});
                     mlir::Value routing = maker.routing(c.matrices, "t", 1), gradient = maker.make<ir::GroupedWeightGradOp>(dy, x, routing);
                     auto results = adam(maker, c.type, gradient, {text(c.matrices), text(c.columns), text(c.width)});
                     results.push_back(maker.make<ir::ExpertSumsOp>(dy, routing));
                     results.push_back(sumOfSquares(maker, gradient));
                     return maker.finish("weight_update", results);
                   },
                   inputs,
                   -1,
                   {{"t", rows}},
                   rows});
}

INSTANTIATE_TEST_SUITE_P(Cases, WeightUpdateKernel, ::testing::ValuesIn(cases), [](const auto& info) { return std::string(info.param.name); });

} // namespace
} // namespace moec::testing
