// Owner of: kernels of kind `gate`. Every result is held against the reference interpreter; routings must be equal.
#include "codegen/cpu/KernelBuilder.h"
#include "tests/codegen/ProductCheck.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <set>

namespace moec::testing {
namespace {

struct GateCase {
  DType type;
  int64_t tokens, width, experts, choices;
  ir::Priority priority;
  std::string capacity; // empty: none
};

std::string text(int64_t value) { return std::to_string(value); }

mlir::Value assign(KernelMaker& maker, const GateCase& c, mlir::Value indices) {
  mlir::OpBuilder& b = maker.builder();
  auto priority = ir::PriorityAttr::get(b.getContext(), c.priority);
  return ir::AssignOp::create(b, maker.loc(), indices, b.getI64IntegerAttr(c.experts), priority,
                              c.capacity.empty() ? mlir::StringAttr() : b.getStringAttr(Size::parse(c.capacity).str()));
}

ir::SelectOp select(KernelMaker& maker, const GateCase& c, mlir::Value scores) {
  return ir::SelectOp::create(maker.builder(), maker.loc(), scores, maker.builder().getI64IntegerAttr(c.choices));
}

class GateKernel : public ::testing::TestWithParam<GateCase> {
protected:
  Bindings bindings() const { return {{"t", GetParam().tokens}}; }
};

TEST_P(GateKernel, softmaxOfAProductThenTopK) {
  const GateCase& c = GetParam();
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value x = maker.tensor(c.type, {"t", text(c.width)}), w = weights(maker, c.type, {c.experts, c.width});
                     mlir::Value bias = maker.tensor(c.type, {text(c.experts)});
                     mlir::Value scores = maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(x, w), bias);
                     ir::SelectOp top = select(maker, c, maker.make<ir::SoftmaxOp>(scores));
                     return maker.finish("gate", {assign(maker, c, top.getIndices()), top.getValues()});
                   },
                   {randomTensor(c.type, {c.tokens, c.width}, 1), randomTensor(c.type, {c.experts, c.width}, 2), randomTensor(c.type, {c.experts}, 3)},
                   1,
                   bindings(),
                   c.width});
}

TEST_P(GateKernel, dropsByARandomDrawAndGivesItsScores) {
  const GateCase& c = GetParam();
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::OpBuilder& b = maker.builder();
                     mlir::Value x = maker.tensor(c.type, {"t", text(c.width)}), w = weights(maker, c.type, {c.experts, c.width});
                     mlir::Value scores = maker.make<ir::MatmulOp>(x, w);
                     ir::SelectOp top = select(maker, c, maker.make<ir::SoftmaxOp>(scores));
                     mlir::Value uniform =
                         ir::RandomOp::create(b, maker.loc(), top.getValues().getType(), ir::DistributionAttr::get(b.getContext(), ir::Distribution::Uniform),
                                              b.getStringAttr("gate.policy"));
                     mlir::Value keep =
                         ir::CompareOp::create(b, maker.loc(), ir::PredicateAttr::get(b.getContext(), ir::Predicate::LT), uniform, top.getValues());
                     mlir::Value routing = maker.make<ir::DropOp>(assign(maker, c, top.getIndices()), keep);
                     return maker.finish("gate", {top.getValues(), routing, top.getIndices(), scores});
                   },
                   {randomTensor(c.type, {c.tokens, c.width}, 1), randomTensor(c.type, {c.experts, c.width}, 2)},
                   1,
                   bindings(),
                   c.width});
}

TEST_P(GateKernel, scoresOfAnArgument) {
  const GateCase& c = GetParam();
  expectReference({[&](KernelMaker& maker, const Weights&) {
                     mlir::Value scores = maker.tensor(c.type, {"t", text(c.experts)});
                     ir::SelectOp top = select(maker, c, scores);
                     return maker.finish("gate", {assign(maker, c, top.getIndices()), maker.make<ir::SigmoidOp>(top.getValues())});
                   },
                   {randomTensor(c.type, {c.tokens, c.experts}, 1)},
                   -1,
                   bindings()});
}

INSTANTIATE_TEST_SUITE_P(Cases, GateKernel,
                         ::testing::Values(GateCase{DType::F32, 1, 4, 2, 1, ir::Priority::TokenMajor, ""},
                                           GateCase{DType::F32, 300, 32, 4, 2, ir::Priority::ChoiceMajor, "trunc(1.2*(t)/4)"},
                                           GateCase{DType::F32, 150, 17, 20, 3, ir::Priority::TokenMajor, "7"},
                                           GateCase{DType::F32, 61, 40, 64, 8, ir::Priority::TokenMajor, ""},
                                           GateCase{DType::F32, 20, 8, 3, 3, ir::Priority::ChoiceMajor, "0"},
                                           GateCase{DType::F64, 77, 33, 5, 2, ir::Priority::ChoiceMajor, "10"}));

TEST(GateKernels, indicesOfAnArgumentWithoutAnExpert) {
  GateCase c{DType::F32, 7, 0, 4, 1, ir::Priority::TokenMajor, "2"};
  expectReference({[&](KernelMaker& maker, const Weights&) { return maker.finish("gate", {assign(maker, c, maker.tensor(DType::I32, {"t", "1"}))}); },
                   {Tensor::of(std::vector<int32_t>{3, -1, 3, 0, 3, -1, 1}, {7, 1})},
                   -1,
                   {{"t", 7}}});
}

/// No score is chosen last, equal ones in the order of their experts, -0 as 0.
TEST(GateKernels, choicesAmongScoresThatAreNoNumbersOrEqual) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();
  const double rows[][4] = {{kNan, kNan, kNan, kNan}, {1, 1, 1, 1}, {0, -0., kNan, -kInfinity}, {kInfinity, kInfinity, kNan, 0}, {-0., kNan, 0, kInfinity}};
  for (DType type : {DType::F32, DType::F64})
    for (int64_t experts : {4, 20}) { // tokens along vectors, and rows
      Tensor scores(DType::F64, {23, experts});
      for (int64_t i = 0; i < 23 * experts; ++i)
        scores.as<double>()[static_cast<size_t>(i)] = rows[i / experts % 5][i % experts % 4];
      for (int64_t choices : {int64_t{1}, int64_t{2}, int64_t{3}, int64_t{4}, experts}) {
        SCOPED_TRACE(::testing::Message() << name(type) << ", " << choices << " of " << experts);
        GateCase c{type, 23, 0, experts, choices, ir::Priority::TokenMajor, ""};
        expectReference({[&](KernelMaker& maker, const Weights&) {
                           ir::SelectOp top = select(maker, c, maker.tensor(type, {"t", text(experts)}));
                           return maker.finish("gate", {assign(maker, c, top.getIndices()), top.getIndices()});
                         },
                         {scores.cast(type)},
                         -1,
                         {{"t", 23}}});
      }
    }
}

/// Narrow rows lie across vectors, but beside a sum over all rows, which a kernel of kind `rows` may give.
TEST(GateKernels, narrowRowsHaveTheBitsOfRowsAlongVectors) {
  for (const std::string& target : testTargets())
    for (DType type : {DType::F32, DType::F64}) {
      int64_t lanes = codegen::cpu::findTarget(target)->vectorBytes / static_cast<int64_t>(byteSize(type));
      for (int64_t width : std::set<int64_t>{1, 2, lanes - 1, lanes + 1, 16}) {
        if (width > 16)
          continue;
        GateCase c{type, 0, 0, width, std::min<int64_t>(width, 3), ir::Priority::TokenMajor, ""};
        auto context = makeContext();
        auto made = [&](const std::string& kind) {
          KernelMaker maker(*context);
          mlir::Value x = maker.tensor(type, {"t", text(width)}), all = maker.make<ir::SoftmaxOp>(x);
          ir::SelectOp top = select(maker, c, x);
          mlir::SmallVector<mlir::Value> results{all,
                                                 top.getIndices(),
                                                 top.getValues(),
                                                 maker.make<ir::TakeOp>(all, top.getIndices()),
                                                 maker.make<ir::SoftmaxOp>(top.getValues()),
                                                 maker.make<ir::MulOp>(x, maker.make<ir::SigmoidOp>(x))};
          for (ir::ReduceKind reduce : {ir::ReduceKind::Sum, ir::ReduceKind::Mean, ir::ReduceKind::Max})
            results.push_back(maker.make<ir::ReduceOp>(reduce, x, uint64_t{1}));
          results.push_back(kind == "gate" ? assign(maker, c, top.getIndices()) : maker.make<ir::ReduceOp>(ir::ReduceKind::Sum, x, uint64_t{0}));
          return std::make_unique<LoadedKernel>(maker.finish(kind, results), target);
        };
        auto gate = made("gate"), rows = made("rows");
        for (int64_t tokens : {int64_t{0}, int64_t{1}, lanes - 1, lanes + 1}) {
          SCOPED_TRACE(::testing::Message() << target << ", " << tokens << " rows of " << width << " " << name(type));
          std::vector<Tensor> inputs{randomTensor(type, {tokens, width}, 7)}, across = gate->run(inputs, {{{"t", tokens}}}),
                                                                              along = rows->run(inputs, {{{"t", tokens}}});
          ASSERT_EQ(across.size(), along.size());
          for (size_t i = 0; i + 1 < along.size(); ++i) {
            ASSERT_EQ(across[i].bytes(), along[i].bytes());
            EXPECT_EQ(std::memcmp(across[i].data(), along[i].data(), along[i].bytes()), 0) << "result " << i;
          }
        }
      }
    }
}

TEST(GateKernels, twoProducts) {
  // Noisy top-k: the scores of one product, their noise's scale of another.
  GateCase c{DType::F32, 45, 12, 6, 2, ir::Priority::TokenMajor, ""};
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value x = maker.tensor(c.type, {"t", "12"}), w = weights(maker, c.type, {6, 12});
                     mlir::Value clean = maker.make<ir::MatmulOp>(x, w), other = maker.make<ir::MatmulOp>(maker.tensor(c.type, {"t", "12"}), w);
                     mlir::Value scores = maker.make<ir::AddOp>(clean, maker.make<ir::SoftplusOp>(other));
                     ir::SelectOp top = select(maker, c, scores);
                     return maker.finish("gate", {assign(maker, c, top.getIndices()), maker.make<ir::SoftmaxOp>(top.getValues())});
                   },
                   {randomTensor(c.type, {45, 12}, 1), randomTensor(c.type, {6, 12}, 2), randomTensor(c.type, {45, 12}, 3)},
                   1,
                   {{"t", 45}},
                   12});
}

} // namespace
} // namespace moec::testing
