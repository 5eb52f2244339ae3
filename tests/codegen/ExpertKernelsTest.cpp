// Owner of: kernels of kinds `expert_up`, `expert_mid` and `expert_down`. Every result is held against the reference interpreter.
#include "runtime/core/Philox.h"
#include "tests/codegen/ProductCheck.h"

#include <gtest/gtest.h>

namespace moec::testing {
namespace {

std::string text(int64_t value) { return std::to_string(value); }

/// How rows meet experts.
struct Fill {
  const char* name;
  int64_t tokens, experts, choices;
  std::function<int32_t(int64_t row)> expert;
};
void PrintTo(const Fill& one, std::ostream* stream) { *stream << one.name; }

int32_t anyExpert(int64_t row, int64_t experts) { return static_cast<int32_t>(draw(3, 1, 0, static_cast<uint64_t>(row))[0] % experts); }

const Fill fills[] = {
    {"mixed", 37, 5, 2, [](int64_t row) { return anyExpert(row, 5); }},
    {"emptyExperts", 11, 8, 2, [](int64_t row) { return row % 2 ? 6 : 1; }},
    {"oneGetsAll", 150, 4, 1, [](int64_t) { return 2; }},
    {"someDropped", 29, 3, 3, [](int64_t row) { return row % 4 == 0 || row < 3 ? -1 : anyExpert(row, 3); }},
    {"allDropped", 6, 3, 2, [](int64_t) { return -1; }},
    {"manyChoices", 9, 12, 12, [](int64_t row) { return static_cast<int32_t>(row % 12); }},
    {"oneToken", 1, 4, 2, [](int64_t row) { return row ? 3 : 0; }},
};

class ExpertKernels : public ::testing::TestWithParam<std::tuple<Fill, DType>> {
protected:
  const Fill& fill() const { return std::get<0>(GetParam()); }
  DType type() const { return std::get<1>(GetParam()); }
  DType weightType() const { return type() == DType::BF16 ? DType::F32 : type(); } // of a gate
  int64_t rows() const { return fill().tokens * fill().choices; }
  Tensor routing() const {
    std::vector<int32_t> experts;
    for (int64_t row = 0; row < rows(); ++row)
      experts.push_back(fill().expert(row));
    return routingTensor(experts, fill().experts, fill().choices);
  }
  int64_t kept() const { return static_cast<const int32_t*>(routing().data())[fill().experts]; }
  Bindings bindings() const { return {{"t", fill().tokens}}; }
  std::string rowsText() const { return text(fill().choices) + "*t"; }
};

TEST_P(ExpertKernels, up) {
  int64_t width = 24, hidden = 51;
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value x = maker.tensor(type(), {"t", text(width)}), routing = maker.routing(fill().experts, "t", fill().choices);
                     mlir::Value w = weights(maker, type(), {fill().experts, hidden, width});
                     mlir::Value bias = maker.tensor(type(), {text(fill().experts), text(hidden)});
                     mlir::Value y = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, routing), w, routing);
                     y = maker.make<ir::AddOp>(y, maker.make<ir::ExpertRowsOp>(bias, routing));
                     return maker.finish("expert_up", {maker.make<ir::GeluOp>(y)});
                   },
                   {randomTensor(type(), {fill().tokens, width}, 1), routing(), randomTensor(type(), {fill().experts, hidden, width}, 2),
                    randomTensor(type(), {fill().experts, hidden}, 3)},
                   2,
                   bindings(),
                   width,
                   kept()});
}

TEST_P(ExpertKernels, midTimesAnotherProduct) {
  int64_t width = 33, hidden = 16;
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value rows = maker.tensor(type(), {rowsText(), text(width)}), routing = maker.routing(fill().experts, "t", fill().choices);
                     mlir::Value w = weights(maker, type(), {fill().experts, hidden, width});
                     mlir::Value other = maker.tensor(type(), {rowsText(), text(hidden)});
                     mlir::Value y = maker.make<ir::SiluOp>(maker.make<ir::GroupedMatmulOp>(rows, w, routing));
                     return maker.finish("expert_mid", {maker.make<ir::MulOp>(y, other)});
                   },
                   {randomTensor(type(), {rows(), width}, 1), routing(), randomTensor(type(), {fill().experts, hidden, width}, 2),
                    randomTensor(type(), {rows(), hidden}, 3)},
                   2,
                   bindings(),
                   width,
                   kept()});
}

TEST_P(ExpertKernels, downAddsTheWeightedRowsToTheResidual) {
  int64_t width = 21, hidden = 40;
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value rows = maker.tensor(type(), {rowsText(), text(hidden)}), routing = maker.routing(fill().experts, "t", fill().choices);
                     mlir::Value w = weights(maker, type(), {fill().experts, width, hidden});
                     mlir::Value bias = maker.tensor(type(), {text(fill().experts), text(width)});
                     mlir::Value choice = maker.tensor(weightType(), {"t", text(fill().choices)}), residual = maker.tensor(type(), {"t", text(width)});
                     mlir::Value y = maker.make<ir::GroupedMatmulOp>(rows, w, routing);
                     y = maker.make<ir::AddOp>(y, maker.make<ir::ExpertRowsOp>(bias, routing));
                     y = maker.make<ir::CombineOp>(y, routing, choice);
                     return maker.finish("expert_down", {maker.make<ir::AddOp>(y, residual)});
                   },
                   {randomTensor(type(), {rows(), hidden}, 1), routing(), randomTensor(type(), {fill().experts, width, hidden}, 2),
                    randomTensor(type(), {fill().experts, width}, 3), randomTensor(weightType(), {fill().tokens, fill().choices}, 4),
                    randomTensor(type(), {fill().tokens, width}, 5)},
                   2,
                   bindings(),
                   hidden});
}

/// Which results are of tokens and which of rows is asked of each op once, also where an op reads another twice.
TEST_P(ExpertKernels, downGivesRowsBesideTheirCombination) {
  int64_t width = 21, hidden = 40;
  ProductCase test{[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value rows = maker.tensor(type(), {rowsText(), text(hidden)}), routing = maker.routing(fill().experts, "t", fill().choices);
                     mlir::Value w = weights(maker, type(), {fill().experts, width, hidden});
                     mlir::Value choice = maker.tensor(weightType(), {"t", text(fill().choices)});
                     mlir::Value y = maker.make<ir::GroupedMatmulOp>(rows, w, routing);
                     for (int i = 0; i < 40; ++i)
                       y = maker.make<ir::MaxOp>(y, y);
                     return maker.finish("expert_down", {y, maker.make<ir::CombineOp>(y, routing, choice)});
                   },
                   {randomTensor(type(), {rows(), hidden}, 1), routing(), randomTensor(type(), {fill().experts, width, hidden}, 2),
                    randomTensor(weightType(), {fill().tokens, fill().choices}, 4)},
                   2,
                   bindings(),
                   hidden,
                   kept()};
  test.ofRows = rows();
  expectReference(test);
}

//===--- several results, as a step of training keeps them ---===//

TEST_P(ExpertKernels, upGivesWhatTheActivationReadToo) {
  int64_t width = 24, hidden = 51;
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value x = maker.tensor(type(), {"t", text(width)}), routing = maker.routing(fill().experts, "t", fill().choices);
                     mlir::Value w = weights(maker, type(), {fill().experts, hidden, width}), bias = maker.tensor(type(), {text(fill().experts), text(hidden)});
                     mlir::Value y = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, routing), w, routing);
                     y = maker.make<ir::AddOp>(y, maker.make<ir::ExpertRowsOp>(bias, routing));
                     return maker.finish("expert_up", {maker.make<ir::GeluOp>(y), y});
                   },
                   {randomTensor(type(), {fill().tokens, width}, 1), routing(), randomTensor(type(), {fill().experts, hidden, width}, 2),
                    randomTensor(type(), {fill().experts, hidden}, 3)},
                   2,
                   bindings(),
                   width,
                   kept()});
}

TEST_P(ExpertKernels, midGivesItsProductAndItsActivation) {
  int64_t width = 33, hidden = 16;
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value rows = maker.tensor(type(), {rowsText(), text(width)}), routing = maker.routing(fill().experts, "t", fill().choices);
                     mlir::Value w = weights(maker, type(), {fill().experts, hidden, width}), other = maker.tensor(type(), {rowsText(), text(hidden)});
                     mlir::Value y = maker.make<ir::GroupedMatmulOp>(rows, w, routing), gate = maker.make<ir::SiluOp>(y);
                     return maker.finish("expert_mid", {y, gate, maker.make<ir::MulOp>(gate, other)});
                   },
                   {randomTensor(type(), {rows(), width}, 1), routing(), randomTensor(type(), {fill().experts, hidden, width}, 2),
                    randomTensor(type(), {rows(), hidden}, 3)},
                   2,
                   bindings(),
                   width,
                   kept()});
}

/// The rows that are combined, what they were made from, or both, before and behind the tokens' result.
TEST_P(ExpertKernels, downGivesItsRowsToo) {
  int64_t width = 21, hidden = 40;
  for (int form = 0; form < 4; ++form) {
    SCOPED_TRACE(form);
    expectReference({[&](KernelMaker& maker, const Weights& weights) {
                       mlir::Value rows = maker.tensor(type(), {rowsText(), text(hidden)}), routing = maker.routing(fill().experts, "t", fill().choices);
                       mlir::Value w = weights(maker, type(), {fill().experts, width, hidden}),
                                   bias = maker.tensor(type(), {text(fill().experts), text(width)});
                       mlir::Value choice = maker.tensor(weightType(), {"t", text(fill().choices)}), residual = maker.tensor(type(), {"t", text(width)});
                       mlir::Value product = maker.make<ir::GroupedMatmulOp>(rows, w, routing);
                       mlir::Value made = maker.make<ir::AddOp>(product, maker.make<ir::ExpertRowsOp>(bias, routing));
                       mlir::Value combined = maker.make<ir::CombineOp>(made, routing, choice), y = maker.make<ir::AddOp>(combined, residual);
                       llvm::SmallVector<mlir::Value> results[] = {{y, made}, {made, y}, {product, y, made, combined}, {y, product}};
                       return maker.finish("expert_down", results[form]);
                     },
                     {randomTensor(type(), {rows(), hidden}, 1), routing(), randomTensor(type(), {fill().experts, width, hidden}, 2),
                      randomTensor(type(), {fill().experts, width}, 3), randomTensor(weightType(), {fill().tokens, fill().choices}, 4),
                      randomTensor(type(), {fill().tokens, width}, 5)},
                     2,
                     bindings(),
                     hidden,
                     kept()});
  }
}

/// One token meets one expert or two: their panels are several items, and of many tokens as few as the schedule says.
TEST(ExpertKernelShapes, fewTokensAreSeveralItems) {
  auto context = makeContext();
  std::string error;
  auto emitter = codegen::makeEmitter(testTargets().back(), error);
  ASSERT_TRUE(emitter) << error;
  auto write = [&](KernelMaker& maker, const Weights& weights) {
    mlir::Value x = maker.tensor(DType::F32, {"t", "32"}), routing = maker.routing(4, "t", 1), w = weights(maker, DType::F32, {4, 512, 32});
    return maker.finish("expert_up", {maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, routing), w, routing)});
  };
  KernelMaker plain(*context), packed(*context);
  auto schedule = emitter->chooseSchedule(write(plain, Weights(std::nullopt)));
  auto field = [&](const char* name) { return schedule.getAs<mlir::IntegerAttr>(name).getInt(); };
  StageInfo stage = LoadedKernel(write(packed, Weights(field("nr"))), testTargets().back()).image().stages.back();
  EXPECT_GE(stage.items.evaluate({{"t", 1}}), 8);
  int64_t panels = 512 / field("nr"), groups = (panels + field("panels") - 1) / field("panels");
  EXPECT_EQ(stage.items.evaluate({{"t", 20000}}), (20000 / field("row_block") + 4) * groups);
}

INSTANTIATE_TEST_SUITE_P(Fills, ExpertKernels, ::testing::Combine(::testing::ValuesIn(fills), ::testing::Values(DType::F32, DType::F64, DType::BF16)),
                         [](const auto& info) { return std::string(std::get<0>(info.param).name) + "_" + std::string(name(std::get<1>(info.param))); });

} // namespace
} // namespace moec::testing
