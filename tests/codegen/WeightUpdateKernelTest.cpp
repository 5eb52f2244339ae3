// Owner of: kernels of kind `weight_update`. Every result is held against the reference interpreter, in memory of its own and over what it is made of.
#include "tests/codegen/KernelCheck.h"
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

/// The squares of all elements, added up: of the gradient plus an eighth, so that lanes behind a row, which are zeros in a product, would tell.
mlir::Value sumOfSquares(KernelMaker& maker, mlir::Value gradient) {
  gradient = maker.make<ir::AddOp>(gradient, number(maker, codegen::dtypeOf(gradient), 0.125));
  auto type = mlir::cast<mlir::RankedTensorType>(gradient.getType());
  mlir::Value square = maker.make<ir::MulOp>(gradient, gradient);
  mlir::Value row = maker.make<ir::ReshapeOp>(mlir::RankedTensorType::get({type.getNumElements()}, type.getElementType()), square);
  return maker.make<ir::ReduceOp>(ir::ReduceKind::Sum, row, uint64_t{0});
}

mlir::Value tensorLike(KernelMaker& maker, mlir::Value gradient) {
  std::vector<std::string> sizes;
  for (const Size& size : ir::sizesOf(gradient))
    sizes.push_back(size.str());
  return maker.tensor(codegen::dtypeOf(gradient), sizes);
}

/// What stands behind a gradient. It takes tensors of its shape, then numbers; its first results are new states, behind them may be others.
struct Rule {
  std::function<llvm::SmallVector<mlir::Value>(KernelMaker& maker, mlir::Value gradient)> results;
  int64_t tensors, numbers;
  llvm::SmallVector<unsigned> states; // the tensor in whose place each of the first results stands
};

/// New mean, new squares, new parameter, as of Adam.
const Rule adam{[](KernelMaker& maker, mlir::Value gradient) -> llvm::SmallVector<mlir::Value> {
                  DType type = codegen::dtypeOf(gradient);
                  mlir::Value mean = tensorLike(maker, gradient), squares = tensorLike(maker, gradient), parameter = tensorLike(maker, gradient);
                  mlir::Value rate = maker.tensor(type, {});
                  mean = maker.make<ir::AddOp>(mean, maker.make<ir::MulOp>(number(maker, type, 0.125), maker.make<ir::SubOp>(gradient, mean)));
                  squares = maker.make<ir::AddOp>(maker.make<ir::MulOp>(squares, squares), maker.make<ir::MulOp>(gradient, gradient));
                  mlir::Value root = maker.make<ir::AddOp>(maker.make<ir::SqrtOp>(squares), number(maker, type, 0.5));
                  mlir::Value change = maker.make<ir::DivOp>(maker.make<ir::MulOp>(rate, mean), root);
                  return {mean, squares, maker.make<ir::SubOp>(parameter, change), sumOfSquares(maker, gradient)};
                },
                3,
                1,
                {0, 1, 2}};

/// So little that sums go from the registers to the results.
const Rule descent{[](KernelMaker& maker, mlir::Value gradient) -> llvm::SmallVector<mlir::Value> {
                     mlir::Value parameter = tensorLike(maker, gradient);
                     return {maker.make<ir::SubOp>(parameter, gradient), sumOfSquares(maker, gradient)};
                   },
                   1,
                   0,
                   {0}};

/// New momentum and new parameter, of a weight with gradients from elsewhere, too: they stand in front of the states.
const Rule momentum{[](KernelMaker& maker, mlir::Value gradient) -> llvm::SmallVector<mlir::Value> {
                      mlir::Value one = tensorLike(maker, gradient), other = tensorLike(maker, gradient);
                      mlir::Value mean = tensorLike(maker, gradient), parameter = tensorLike(maker, gradient);
                      gradient = maker.make<ir::AddOp>(maker.make<ir::AddOp>(gradient, one), other);
                      mean = maker.make<ir::AddOp>(maker.make<ir::MulOp>(mean, maker.tensor(codegen::dtypeOf(gradient), {})), gradient);
                      return {mean, maker.make<ir::SubOp>(parameter, mean)};
                    },
                    4,
                    1,
                    {2, 3}};

struct Case {
  const char* name;
  DType type;
  int64_t matrices, depth, columns, width; // the gradient is (matrices, columns, width), of `depth` rows each
};
void PrintTo(const Case& one, std::ostream* stream) { *stream << one.name; }

const Case cases[] = {
    {"wholePanels", DType::F32, 3, 32, 96, 256},
    {"ofManySlices", DType::F32, 1, 700, 50, 64},
    {"manyItems", DType::F32, 5, 7, 200, 300},
    {"tails", DType::F32, 2, 5, 13, 21},
    {"oneRow", DType::F32, 1, 1, 20, 33},
    {"wide", DType::F64, 2, 32, 40, 100},
    {"wideTails", DType::F64, 1, 9, 3, 5},
    {"rowsThatShareLines", DType::F32, 2, 32, 70, 60},
    {"inRuns", DType::F32, 1, 1290, 50, 70},
    {"inTwoRuns", DType::F64, 1, 519, 13, 32},
    {"rowsFarApart", DType::F32, 2, 7, 50, 1024},
    {"longRowsFarApart", DType::F32, 1, 300, 70, 1024},
    {"rowsOfF64FarApart", DType::F64, 1, 40, 8, 512},
    {"rowsHalfAsFarApart", DType::F32, 1, 30, 40, 512},
};

/// Adds what the rule takes, and where its states lie.
void addRule(ProductCase& test, const Rule& rule, const Case& c) {
  auto first = static_cast<unsigned>(test.inputs.size());
  for (int64_t i = 0; i < rule.tensors; ++i)
    test.inputs.push_back(randomTensor(c.type, {c.matrices, c.columns, c.width}, 3 + i));
  for (int64_t i = 0; i < rule.numbers; ++i)
    test.inputs.push_back(randomTensor(c.type, {}, 3 + rule.tensors + i));
  for (auto [result, state] : llvm::enumerate(rule.states))
    test.over.push_back({static_cast<unsigned>(result), first + state});
}

ProductCase ofAProduct(const Case& c, const Rule& rule) {
  ProductCase test;
  test.inputs = {randomTensor(c.type, {c.matrices, c.depth, c.columns}, 1), randomTensor(c.type, {c.matrices, c.depth, c.width}, 2)};
  test.write = [=](KernelMaker& maker, const Weights&) {
    auto turned = [&](mlir::Value rows) { return maker.make<ir::TransposeOp>(rows, maker.builder().getDenseI64ArrayAttr({0, 2, 1})); };
    mlir::Value dy = maker.tensor(c.type, {text(c.matrices), "t", text(c.columns)}), x = maker.tensor(c.type, {text(c.matrices), "t", text(c.width)});
    return maker.finish("weight_update", rule.results(maker, maker.make<ir::MatmulOp>(turned(dy), turned(x))));
  };
  test.bindings = {{"t", c.depth}};
  test.terms = c.depth;
  addRule(test, rule, c);
  return test;
}

ProductCase ofExpertsRows(const Case& c, const Rule& rule) {
  int64_t rows = c.depth * c.matrices;
  std::vector<int32_t> experts;
  for (int64_t row = 0; row < rows; ++row) // the first of several has none
    experts.push_back(static_cast<int32_t>(c.matrices > 1 ? 1 + row % (c.matrices - 1) : 0));
  ProductCase test;
  test.inputs = {randomTensor(c.type, {rows, c.columns}, 1), randomTensor(c.type, {rows, c.width}, 2), routingTensor(experts, c.matrices, 1)};
  test.write = [=](KernelMaker& maker, const Weights&) {
    mlir::Value dy = maker.tensor(c.type, {"t", text(c.columns)}), x = maker.tensor(c.type, {"t", text(c.width)});
    mlir::Value routing = maker.routing(c.matrices, "t", 1);
    auto results = rule.results(maker, maker.make<ir::GroupedWeightGradOp>(dy, x, routing));
    results.push_back(maker.make<ir::ExpertSumsOp>(dy, routing)); // the gradient of their bias
    return maker.finish("weight_update", results);
  };
  test.bindings = {{"t", rows}};
  test.terms = rows;
  addRule(test, rule, c);
  return test;
}

class WeightUpdateKernel : public ::testing::TestWithParam<Case> {};

TEST_P(WeightUpdateKernel, ofAProduct) { expectReference(ofAProduct(GetParam(), adam)); }

TEST_P(WeightUpdateKernel, ofExpertsRowsBesideTheGradientOfTheirBias) { expectReference(ofExpertsRows(GetParam(), adam)); }

TEST(WeightUpdateKernels, ofSumsThatAreInRegisters) {
  for (const Case& c : {cases[0], cases[1]}) {
    expectReference(ofAProduct(c, descent));
    expectReference(ofExpertsRows(c, descent));
  }
}

/// The stages' items follow the rows that are summed up, as those of all kernels do that made them: one run of them is one thread's.
TEST(WeightUpdateKernels, ofSmallWeightsGoAlongTheirRows) {
  auto context = makeContext();
  auto runs = [&](const Case& c, int64_t rows) {
    KernelMaker maker(*context);
    const codegen::KernelImage image = LoadedKernel(ofAProduct(c, descent).write(maker, Weights(std::nullopt)), "cpu:x86-64-v4").image();
    return image.stages[0].items.evaluate({{"t", rows}});
  };
  const Case small{"", DType::F32, 1, 0, 32, 32}, large{"", DType::F32, 1, 0, 512, 512};
  EXPECT_EQ(runs(small, 511), runs(small, 1));
  EXPECT_GE(runs(small, 1024), 4);
  EXPECT_EQ(runs(small, 4160), 8);
  EXPECT_GE(runs(Case{"", DType::F32, 1, 0, 96, 96}, 500), 3) << "of one run items are of columns";
  EXPECT_EQ(runs(large, 4160), runs(large, 1)) << "the sums of its runs would not stay in a cache";
}

/// A state may lie over any argument of its type: none of these is promised to be apart from the others.
TEST(WeightUpdateKernels, besideOtherTensorsOfTheWeightsShape) {
  auto context = makeContext();
  std::string error;
  auto emitter = codegen::makeEmitter("cpu:x86-64-v3", error);
  ASSERT_TRUE(emitter) << error;
  for (const Case& c : {cases[0], cases[3]})
    for (const ProductCase& test : {ofAProduct(c, momentum), ofExpertsRows(c, momentum)}) {
      expectReference(test);
      KernelMaker maker(*context);
      ir::KernelOp kernel = test.write(maker, Weights(std::nullopt));
      kernel.setScheduleAttr(emitter->chooseSchedule(kernel));
      auto code = emitter->print(kernel, codegen::CodeText::Llvm);
      ASSERT_TRUE(succeeded(code));
      std::string stage = llvm::StringRef(*code).split("@stage0(").second.split(") ").first.str();
      llvm::SmallVector<llvm::StringRef> arguments;
      llvm::StringRef(stage).split(arguments, ", ");
      constexpr size_t first = 4; // buffer; in front of them the call, the items and the stage's own memory
      ASSERT_GE(arguments.size(), first + test.inputs.size() + kernel.getNumResults()) << stage;
      auto isApart = [&](size_t buffer) { return arguments[first + buffer].contains("noalias"); };
      EXPECT_TRUE(isApart(0)) << stage;
      for (const codegen::InPlace& place : test.over) {
        EXPECT_FALSE(isApart(place.input)) << stage;
        EXPECT_FALSE(isApart(test.inputs.size() + place.output)) << stage;
      }
    }
}

/// Sums over all elements are made beside the product; nothing else is that is not of its shape.
TEST(WeightUpdateKernels, otherReductionsAreRefused) {
  std::string product = "%g = moe.matmul %a, %w : tensor<6x4xf32>, tensor<8x4xf32>  ", row = "%r = moe.reshape %g : tensor<6x8xf32> -> tensor<48xf32>  ";
  struct Reduction {
    const char *kind, *result;
    std::string body;
  };
  for (const Reduction& one : {Reduction{"matmul", "tensor<6xf32>", product + "%y = moe.reduce max %g axis 1 : tensor<6x8xf32>"},
                               Reduction{"weight_update", "tensor<6xf32>", product + "%y = moe.reduce sum %g axis 1 : tensor<6x8xf32>"},
                               Reduction{"weight_update", "tensor<f32>", product + row + "%y = moe.reduce max %r axis 0 : tensor<48xf32>"},
                               Reduction{"matmul", "tensor<f32>", product + row + "%y = moe.reduce sum %r axis 0 : tensor<48xf32>"}}) {
    ParsedKernel kernel =
        parseKernel(one.kind, "%a: tensor<6x4xf32>, %w: tensor<8x4xf32>", one.result, one.body + "  moe.yield %y : " + std::string(one.result));
    std::string error, said;
    auto emitter = codegen::makeEmitter("cpu:x86-64-v3", error);
    ASSERT_TRUE(emitter) << error;
    mlir::ScopedDiagnosticHandler handler(kernel.context.get(), [&](mlir::Diagnostic& diagnostic) {
      said += diagnostic.str();
      return mlir::success();
    });
    kernel.op.setScheduleAttr(emitter->chooseSchedule(kernel.op));
    EXPECT_TRUE(failed(emitter->emit(kernel.op))) << one.body;
    EXPECT_NE(said.find("gives a result of shape"), std::string::npos) << one.body << ": " << said;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, WeightUpdateKernel, ::testing::ValuesIn(cases), [](const auto& info) { return std::string(info.param.name); });

} // namespace
} // namespace moec::testing
