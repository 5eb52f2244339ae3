// Owner of: kernels of kind `moe_layer`. Every result is held against the reference interpreter, and to the bit against the kernels of the layer's parts, run
// one behind the other.
#include "ir/reference/Evaluate.h"
#include "ir/reference/Interpreter.h"
#include "tests/codegen/ProductCheck.h"
#include "tests/codegen/Tolerance.h"
#include "tests/runner/Combinations.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <set>

namespace moec::testing {
namespace {

std::string text(int64_t value) { return std::to_string(value); }

/// How many of each there are, and how the gate spreads them.
struct LayerCase {
  const char* name;
  int64_t tokens, width, hidden, experts, choices;
  std::vector<float> bias = {}; // on the scores of the first experts
};

void PrintTo(const LayerCase& c, std::ostream* out) { *out << c.name; }

const LayerCase cases[] = {
    {"mixed", 37, 24, 51, 5, 2},
    {"oneToken", 1, 32, 32, 4, 2},
    {"noTokens", 0, 8, 8, 4, 2},
    {"severalBlocks", 1000, 32, 32, 4, 2},
    {"allToOne", 70, 16, 40, 4, 1, {0, 0, 60, 0}},
    {"emptyExperts", 333, 20, 24, 8, 2, {-30, -30, 30, -30, -30, 30, -30, -30}},
    {"allExpertsChosen", 29, 17, 33, 3, 3},
    {"rowsAlongVectors", 61, 12, 20, 40, 9},
    {"noScore", 21, 9, 7, 6, 3, {NAN, 0, NAN, NAN, 0, NAN}},
};

/// The inputs of all parts, in order; weights as their kernel's schedule wants them.
struct LayerInputs {
  LayerInputs(KernelMaker& maker, const LayerCase& c, DType type, const Weights& ofScores, const Weights& ofExperts) {
    DType router = type == DType::BF16 ? DType::F32 : type;
    bias = maker.tensor(router, {text(c.experts)});
    x = maker.tensor(type, {"t", text(c.width)});
    tokens = type == router ? x : maker.tensor(router, {"t", text(c.width)});
    scores = ofScores(maker, router, {c.experts, c.width});
    up = ofExperts(maker, type, {c.experts, c.hidden, c.width});
    upBias = maker.tensor(type, {text(c.experts), text(c.hidden)});
    down = ofExperts(maker, type, {c.experts, c.width, c.hidden});
    downBias = maker.tensor(type, {text(c.experts), text(c.width)});
    residual = maker.tensor(type, {"t", text(c.width)});
    otherUp = ofExperts(maker, type, {c.experts, c.hidden, c.width});
    middle = ofExperts(maker, type, {c.experts, c.hidden, c.hidden});
    otherMiddle = ofExperts(maker, type, {c.experts, c.hidden, c.hidden});
  }
  mlir::Value bias, x, tokens, scores, up, upBias, down, downBias, residual, otherUp, middle, otherMiddle;
};

struct Gate {
  mlir::Value routing, weights;
};

class LayerKernels : public ::testing::TestWithParam<std::tuple<LayerCase, DType>> {
protected:
  const LayerCase& c() const { return std::get<0>(GetParam()); }
  DType type() const { return std::get<1>(GetParam()); }
  DType router() const { return type() == DType::BF16 ? DType::F32 : type(); }
  bool hasTokens() const { return type() != router(); } // of the router's dtype, beside x
  Bindings bindings() const { return {{"t", c().tokens}}; }

  std::vector<Tensor> inputs() const {
    Tensor bias(DType::F32, {c().experts});
    for (size_t i = 0; i < c().bias.size(); ++i)
      bias.as<float>()[i] = c().bias[i];
    std::vector<Tensor> all{bias.cast(router()), randomTensor(type(), {c().tokens, c().width}, 1)};
    if (hasTokens())
      all.push_back(all[1].cast(router()));
    all.push_back(randomTensor(router(), {c().experts, c().width}, 2));
    for (const Shape& shape : {Shape{c().experts, c().hidden, c().width}, Shape{c().experts, c().hidden}, Shape{c().experts, c().width, c().hidden},
                               Shape{c().experts, c().width}, Shape{c().tokens, c().width}, Shape{c().experts, c().hidden, c().width},
                               Shape{c().experts, c().hidden, c().hidden}, Shape{c().experts, c().hidden, c().hidden}})
      all.push_back(randomTensor(type(), shape, static_cast<uint32_t>(all.size())));
    return all;
  }
  size_t scoresInput() const { return hasTokens() ? 3 : 2; }

  ir::SelectOp select(KernelMaker& maker, mlir::Value scores) const {
    return ir::SelectOp::create(maker.builder(), maker.loc(), scores, maker.builder().getI64IntegerAttr(c().choices));
  }
  mlir::Value assign(KernelMaker& maker, mlir::Value indices, const char* capacity = "", ir::Priority priority = ir::Priority::TokenMajor) const {
    mlir::OpBuilder& b = maker.builder();
    return ir::AssignOp::create(b, maker.loc(), indices, b.getI64IntegerAttr(c().experts), ir::PriorityAttr::get(b.getContext(), priority),
                                *capacity ? b.getStringAttr(Size::parse(capacity).str()) : mlir::StringAttr());
  }
  Gate topK(KernelMaker& maker, const LayerInputs& in, const char* capacity = "", ir::Priority priority = ir::Priority::TokenMajor) const {
    ir::SelectOp top = select(maker, maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(in.tokens, in.scores), in.bias));
    return {assign(maker, top.getIndices(), capacity, priority), maker.make<ir::SoftmaxOp>(top.getValues())};
  }
  /// Weights are those that the softmax over all experts has at the choices, without what is less than an even share.
  Gate aboveAverage(KernelMaker& maker, const LayerInputs& in, const char* capacity = "") const {
    mlir::Value all = maker.make<ir::SoftmaxOp>(maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(in.tokens, in.scores), in.bias));
    ir::SelectOp top = select(maker, all);
    mlir::OpBuilder& b = maker.builder();
    mlir::Type element = router() == DType::F64 ? mlir::Type(b.getF64Type()) : mlir::Type(b.getF32Type());
    auto one = mlir::RankedTensorType::get({1}, element);
    mlir::Value least = ir::ConstantOp::create(
        b, maker.loc(), one,
        mlir::DenseElementsAttr::get(one, mlir::ArrayRef<mlir::Attribute>{mlir::FloatAttr::get(element, 1.0 / static_cast<double>(c().experts))}));
    mlir::Value keep = ir::CompareOp::create(b, maker.loc(), ir::PredicateAttr::get(b.getContext(), ir::Predicate::GE), top.getValues(), least);
    return {maker.make<ir::DropOp>(assign(maker, top.getIndices(), capacity), keep), top.getValues()};
  }
  /// Rows in front of the activation.
  mlir::Value beforeOf(KernelMaker& maker, const LayerInputs& in, mlir::Value routing) const {
    mlir::Value rows = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(in.x, routing), in.up, routing);
    return maker.make<ir::AddOp>(rows, maker.make<ir::ExpertRowsOp>(in.upBias, routing));
  }
  mlir::Value upOf(KernelMaker& maker, const LayerInputs& in, mlir::Value routing) const { return maker.make<ir::GeluOp>(beforeOf(maker, in, routing)); }
  mlir::Value downOf(KernelMaker& maker, const LayerInputs& in, const Gate& gate, mlir::Value rows) const {
    rows = maker.make<ir::AddOp>(maker.make<ir::GroupedMatmulOp>(rows, in.down, gate.routing), maker.make<ir::ExpertRowsOp>(in.downBias, gate.routing));
    return maker.make<ir::AddOp>(maker.make<ir::CombineOp>(rows, gate.routing, gate.weights), in.residual);
  }

  /// Writes the kernel's results; its kind and inputs behind those of LayerInputs are given.
  using Write = std::function<mlir::SmallVector<mlir::Value>(KernelMaker&, const LayerInputs&)>;
  /// The cost model's schedule for plain weights.
  mlir::DictionaryAttr chosen(mlir::MLIRContext& context, const std::string& kind, const Write& write) const {
    std::string error;
    auto emitter = codegen::makeEmitter(target, error);
    KernelMaker maker(context);
    LayerInputs in(maker, c(), type(), Weights(std::nullopt), Weights(std::nullopt));
    mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic& diagnostic) { error += diagnostic.str(); });
    mlir::DictionaryAttr schedule = emitter->chooseSchedule(maker.finish(kind, write(maker, in)));
    if (!schedule)
      throw std::runtime_error("no schedule: " + error);
    return schedule;
  }
  /// Of a schedule, in place of the chosen ones.
  using Entries = std::vector<std::pair<const char*, int64_t>>;
  /// Results of one thread; several must give the same bits. Weights are packed for the cost model's schedule, or for the edited one.
  std::vector<Tensor> run(const std::string& kind, const Write& write, std::vector<Tensor> inputs, std::vector<Tensor>* expected = nullptr,
                          const Entries& entries = {}, bool packsForEntries = false) {
    auto context = makeContext();
    mlir::DictionaryAttr model = chosen(*context, kind, write);
    mlir::NamedAttrList edited(model);
    for (const auto& [entry, value] : entries)
      edited.set(entry, mlir::Builder(context.get()).getI64IntegerAttr(value));
    mlir::DictionaryAttr schedule = edited.getDictionary(context.get()), packed = packsForEntries ? schedule : model;
    auto nr = packed.getAs<mlir::IntegerAttr>("nr"), ofScores = packed.getAs<mlir::IntegerAttr>("score_nr");
    Weights scores(ofScores ? ofScores.getInt() : nr.getInt()), experts(nr.getInt());
    size_t first = scoresInput();
    inputs[first] = reference::pack(inputs[first], ofScores ? ofScores.getInt() : nr.getInt());
    for (size_t ofExperts : {1, 3, 6, 7, 8})
      inputs[first + ofExperts] = reference::pack(inputs[first + ofExperts], nr.getInt());
    KernelMaker maker(*context);
    LayerInputs in(maker, c(), type(), scores, experts);
    ir::KernelOp kernel = maker.finish(kind, write(maker, in));
    kernel.setScheduleAttr(schedule);
    if (expected) {
      reference::Call call{.bindings = bindings(), .seed = 5, .step = 3};
      *expected = reference::evaluate(kernel, inputs, call);
    }
    LoadedKernel loaded(kernel, target);
    std::vector<Tensor> results = loaded.run(inputs, {bindings(), 5, 3, 1});
    for (int threads : {2, 5})
      expectSameBits(loaded.run(inputs, {bindings(), 5, 3, threads}), results);
    return results;
  }
  /// Against the reference. `firstRows`: results from there on are rows of experts, of which those behind the count of the routing, the first result, are
  /// undefined.
  void expectReference(const Write& write, const std::vector<Tensor>& more = {}, size_t firstRows = SIZE_MAX) {
    std::vector<Tensor> all = inputs();
    all.insert(all.end(), more.begin(), more.end());
    for (const std::string& name : testTargets()) {
      target = name;
      std::vector<Tensor> expected, got = run("moe_layer", write, all, &expected);
      ASSERT_EQ(got.size(), expected.size());
      for (size_t i = firstRows; i < got.size(); ++i)
        for (Tensor* rows : {&got[i], &expected[i]}) {
          auto kept = static_cast<size_t>(got[0].as<int32_t>()[static_cast<size_t>(c().experts)] * c().hidden) * byteSize(rows->dtype());
          std::memset(static_cast<char*>(rows->data()) + kept, 0, rows->bytes() - kept);
        }
      for (size_t i = 0; i < got.size(); ++i)
        expectNear(got[i], expected[i], i);
    }
  }
  /// What is said in place of a kernel.
  std::string refusal(const Write& write, const Entries& entries = {}) {
    try {
      run("moe_layer", write, inputs(), nullptr, entries);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "a kernel was made";
  }
  void expectNear(const Tensor& got, const Tensor& want, size_t result) {
    ASSERT_EQ(got.shape(), want.shape());
    ASSERT_EQ(got.dtype(), want.dtype());
    std::vector<double> a = got.toDoubles(), b = want.toDoubles();
    double largest = 0;
    for (double value : b)
      largest = std::max(largest, std::isnan(value) ? 0 : std::abs(value));
    double limit = tolerance(type(), 4 * std::max(c().hidden, c().width)) * largest;
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_TRUE(std::isnan(b[i]) ? std::isnan(a[i]) : std::abs(a[i] - b[i]) <= limit)
          << target << ", result " << result << ", element " << i << " of " << a.size() << ": got " << a[i] << ", expected " << b[i];
  }
  void expectSameBits(const std::vector<Tensor>& got, const std::vector<Tensor>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].bytes(), want[i].bytes());
      EXPECT_EQ(std::memcmp(got[i].data(), want[i].data(), want[i].bytes()), 0) << target << ", result " << i;
    }
  }
  std::string target;
};

TEST_P(LayerKernels, topKWithAResidual) {
  expectReference([&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    Gate gate = topK(maker, in);
    return {downOf(maker, in, gate, upOf(maker, in, gate.routing))};
  });
}

/// Few rows of each expert are kept: those of the first tokens, or of all first choices. Below 1, none.
TEST_P(LayerKernels, capacitiesOfTheWholeCall) {
  for (auto [capacity, priority] :
       {std::pair("3", ir::Priority::TokenMajor), std::pair("trunc(1.2*(t)/4)", ir::Priority::ChoiceMajor), std::pair("-100000000", ir::Priority::TokenMajor)})
    expectReference([&, capacity = capacity, priority = priority](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
      Gate gate = topK(maker, in, capacity, priority);
      return {downOf(maker, in, gate, upOf(maker, in, gate.routing))};
    });
}

/// A plan asks of each op once what it is made of, also where an op reads another twice.
TEST_P(LayerKernels, opsThatReadOneOpTwice) {
  expectReference([&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    Gate gate = topK(maker, in);
    mlir::Value rows = upOf(maker, in, gate.routing);
    for (int i = 0; i < 40; ++i)
      rows = maker.make<ir::MaxOp>(rows, rows);
    return {downOf(maker, in, gate, rows)};
  });
}

/// What a step of training keeps for the way back.
TEST_P(LayerKernels, routingsAndRowsAreResultsToo) {
  for (auto [capacity, priority] : {std::pair("", ir::Priority::ChoiceMajor), std::pair("5", ir::Priority::ChoiceMajor),
                                    std::pair("", ir::Priority::TokenMajor), std::pair("5", ir::Priority::TokenMajor)})
    expectReference(
        [&, capacity = capacity, priority = priority](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
          Gate gate = topK(maker, in, capacity, priority);
          mlir::Value before = beforeOf(maker, in, gate.routing), hidden = maker.make<ir::GeluOp>(before);
          return {gate.routing, gate.weights, downOf(maker, in, gate, hidden), before, hidden};
        },
        {}, 3);
}

class LayerParts : public LayerKernels {};

/// The layer, with the gate's weights as a second result, in blocks of two sizes; the same with all that a step of training keeps; and its parts. All gates in
/// f32; by default the first and the last one in the other types, of which gates know little.
TEST_P(LayerParts, haveTheSameBits) {
  std::vector<Tensor> all = inputs();
  auto with = [&](std::vector<Tensor> more) {
    std::vector<Tensor> result = all;
    result.insert(result.end(), more.begin(), more.end());
    return result;
  };
  using GateOf = std::function<Gate(KernelMaker&, const LayerInputs&)>;
  int gateNumber = 0;
  for (const GateOf& gateOf : {GateOf([&](KernelMaker& maker, const LayerInputs& in) { return topK(maker, in); }),
                               GateOf([&](KernelMaker& maker, const LayerInputs& in) { return aboveAverage(maker, in); }),
                               GateOf([&](KernelMaker& maker, const LayerInputs& in) { return aboveAverage(maker, in, "11"); }),
                               GateOf([&](KernelMaker& maker, const LayerInputs& in) { return topK(maker, in, "11", ir::Priority::ChoiceMajor); }),
                               GateOf([&](KernelMaker& maker, const LayerInputs& in) { return topK(maker, in, "11", ir::Priority::TokenMajor); })}) {
    if (++gateNumber > 1 && gateNumber < 5 && type() != DType::F32 && !test::allCombinations())
      continue;
    for (const std::string& name : testTargets()) {
      target = name;
      auto whole = [&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
        Gate gate = gateOf(maker, in);
        return {gate.weights, downOf(maker, in, gate, upOf(maker, in, gate.routing))};
      };
      auto withRows = [&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
        Gate gate = gateOf(maker, in);
        mlir::Value before = beforeOf(maker, in, gate.routing), hidden = maker.make<ir::GeluOp>(before);
        return {gate.routing, gate.weights, before, hidden, downOf(maker, in, gate, hidden)};
      };
      std::vector<Tensor> layer = run("moe_layer", whole, all), step = run("moe_layer", withRows, all);
      expectSameBits(run("moe_layer", whole, all, nullptr, {{"block", 7}}), layer);
      expectSameBits(run("moe_layer", withRows, all, nullptr, {{"block", 7}}), step);
      std::vector<Tensor> gates = run(
          "gate",
          [&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
            Gate gate = gateOf(maker, in);
            return {gate.routing, gate.weights};
          },
          all);
      std::vector<Tensor> rows = run(
          "expert_up",
          [&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
            mlir::Value before = beforeOf(maker, in, maker.routing(c().experts, "t", c().choices));
            return {before, maker.make<ir::GeluOp>(before)};
          },
          with({gates[0]}));
      std::vector<Tensor> result = run(
          "expert_down",
          [&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
            Gate given{maker.routing(c().experts, "t", c().choices), maker.tensor(router(), {"t", text(c().choices)})};
            return {downOf(maker, in, given, maker.tensor(type(), {text(c().choices) + "*t", text(c().hidden)}))};
          },
          with({gates[0], gates[1], rows[1]}));
      expectSameBits(layer, {gates[1], result[0]});
      expectSameBits(step, {gates[0], gates[1], rows[0], rows[1], result[0]});
    }
  }
}

constexpr auto nameOf = [](const auto& info) { return std::string(std::get<0>(info.param).name) + std::string(name(std::get<1>(info.param))); };
INSTANTIATE_TEST_SUITE_P(Cases, LayerKernels, ::testing::Combine(::testing::ValuesIn(cases), ::testing::Values(DType::F32)), nameOf);
INSTANTIATE_TEST_SUITE_P(Types, LayerKernels, ::testing::Combine(::testing::Values(cases[0]), ::testing::Values(DType::F64, DType::BF16)), nameOf);

INSTANTIATE_TEST_SUITE_P(Types, LayerParts, ::testing::Combine(::testing::Values(cases[0]), ::testing::Values(DType::F32, DType::F64, DType::BF16)), nameOf);

class LayerKernelForms : public LayerKernels {};

TEST_P(LayerKernelForms, oneProductGathersAndCombines) {
  expectReference([&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    Gate gate = topK(maker, in);
    mlir::Value rows = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(in.x, gate.routing), in.up, gate.routing);
    return {maker.make<ir::CombineOp>(rows, gate.routing, gate.weights)};
  });
}

/// Products side by side, of the same gathered rows.
TEST_P(LayerKernelForms, gatedExperts) {
  expectReference([&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    Gate gate = topK(maker, in);
    auto product = [&](mlir::Value w) { return maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(in.x, gate.routing), w, gate.routing); };
    mlir::Value opened = maker.make<ir::SiluOp>(maker.make<ir::AddOp>(product(in.up), maker.make<ir::ExpertRowsOp>(in.upBias, gate.routing)));
    return {downOf(maker, in, gate, maker.make<ir::MulOp>(opened, product(in.otherUp)))};
  });
}

/// Gathered rows, those of a product before, gathered ones again: each product has rows of its own.
TEST_P(LayerKernelForms, aProductOfXBehindAnInnerOne) {
  expectReference([&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    Gate gate = topK(maker, in);
    mlir::Value inner = maker.make<ir::SiluOp>(maker.make<ir::GroupedMatmulOp>(upOf(maker, in, gate.routing), in.middle, gate.routing));
    mlir::Value ofX = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(in.x, gate.routing), in.otherUp, gate.routing);
    return {downOf(maker, in, gate, maker.make<ir::MulOp>(inner, ofX))};
  });
}

/// Two products read what the first one leaves.
TEST_P(LayerKernelForms, productsSideBySideBehindAFirst) {
  expectReference([&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    Gate gate = topK(maker, in);
    mlir::Value rows = upOf(maker, in, gate.routing);
    mlir::Value opened = maker.make<ir::SiluOp>(maker.make<ir::GroupedMatmulOp>(rows, in.middle, gate.routing));
    return {downOf(maker, in, gate, maker.make<ir::MulOp>(opened, maker.make<ir::GroupedMatmulOp>(rows, in.otherMiddle, gate.routing)))};
  });
}

TEST_P(LayerKernelForms, choicesWeightsAndMasksOfArguments) {
  std::vector<std::string> places{"t", text(c().choices)};
  Tensor experts(DType::I32, {c().tokens, c().choices}), keeps(DType::Bool, {c().tokens, c().choices});
  for (int64_t i = 0; i < c().tokens * c().choices; ++i) {
    experts.as<int32_t>()[static_cast<size_t>(i)] = static_cast<int32_t>(i * 5 % (c().experts + 1)) - 1; // -1 now and then
    keeps.as<uint8_t>()[static_cast<size_t>(i)] = i % 7 != 3;
  }
  expectReference(
      [&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
        mlir::Value indices = maker.tensor(DType::I32, places), keep = maker.tensor(DType::Bool, places), weights = maker.tensor(router(), places);
        Gate gate{maker.make<ir::DropOp>(assign(maker, indices), keep), weights};
        return {downOf(maker, in, gate, upOf(maker, in, gate.routing))};
      },
      {experts, keeps, randomTensor(router(), {c().tokens, c().choices}, 9)});
}

TEST_P(LayerKernelForms, scoresAndWhatIsMadeOfThemAreResultsToo) {
  expectReference([&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    mlir::Value scores = maker.make<ir::MatmulOp>(in.tokens, in.scores), all = maker.make<ir::SoftmaxOp>(scores);
    ir::SelectOp top = select(maker, scores);
    Gate gate{assign(maker, top.getIndices()), maker.make<ir::SoftmaxOp>(top.getValues())};
    mlir::Value y = downOf(maker, in, gate, upOf(maker, in, gate.routing));
    return {all, y, scores, maker.make<ir::MulOp>(y, in.residual)};
  });
}

TEST_P(LayerKernelForms, whatBlocksCannotDoByThemselvesIsRefused) {
  target = testTargets().front();
  std::string gathered = refusal([&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    Gate gate = topK(maker, in);
    return {gate.routing, maker.make<ir::NegOp>(maker.make<ir::DispatchOp>(in.x, gate.routing)), downOf(maker, in, gate, upOf(maker, in, gate.routing))};
  });
  EXPECT_NE(gathered.find("gives rows away that no product makes"), std::string::npos) << gathered;
  std::string another = refusal([&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    Gate gate = aboveAverage(maker, in);
    mlir::Value undropped = gate.routing.getDefiningOp<ir::DropOp>().getRouting();
    return {undropped, downOf(maker, in, gate, upOf(maker, in, gate.routing))};
  });
  EXPECT_NE(another.find("gives a routing away that is not its experts'"), std::string::npos) << another;
  std::string wide = refusal([&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    Gate gate = topK(maker, in);
    mlir::Value x = maker.tensor(DType::F64, {"t", text(c().width)}), up = maker.tensor(DType::F64, {text(c().experts), text(c().hidden), text(c().width)});
    mlir::Value made = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, gate.routing), up, gate.routing);
    return {downOf(maker, in, gate, maker.make<ir::CastOp>(made, mlir::TypeAttr::get(maker.builder().getF32Type())))};
  });
  EXPECT_NE(wide.find("has rows of f64 in a layer of f32: a moe_layer needs one dtype"), std::string::npos) << wide;
  std::string rows = refusal([&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    Gate gate = topK(maker, in);
    mlir::Value made = maker.make<ir::MulOp>(upOf(maker, in, gate.routing), maker.tensor(type(), {text(c().choices) + "*t", text(c().hidden)}));
    return {downOf(maker, in, gate, made)};
  });
  EXPECT_NE(rows.find("its experts read rows by their places"), std::string::npos) << rows;
  std::string beside = refusal([&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    Gate gate = topK(maker, in);
    mlir::Value up = upOf(maker, in, gate.routing);
    return {gate.routing, maker.make<ir::MulOp>(up, maker.tensor(type(), {text(c().choices) + "*t", text(c().hidden)})), downOf(maker, in, gate, up)};
  });
  EXPECT_NE(beside.find("its experts read rows by their places"), std::string::npos) << beside;
}

TEST_P(LayerKernelForms, entriesThatNoBlockHasAreRefused) {
  target = testTargets().front();
  auto whole = [&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    Gate gate = topK(maker, in);
    return {downOf(maker, in, gate, upOf(maker, in, gate.routing))};
  };
  for (const char* entry : {"block", "group", "rows", "nr", "score_rows", "score_nr"})
    for (int64_t value : {int64_t{-1}, int64_t{0}, (int64_t{1} << 20) + 1, int64_t{12000000000}, std::numeric_limits<int64_t>::max() - 7}) {
      std::string wanted = "has an illegal schedule: " + std::string(entry) + " " + text(value) + " must be between 1 and 1048576",
                  got = refusal(whole, {{entry, value}});
      EXPECT_NE(got.find(wanted), std::string::npos) << got;
    }
  EXPECT_NE(refusal(whole, {{"score_nr", 3}}).find("scores: nr 3 is not a multiple"), std::string::npos);
}

/// Blocks of tokens, groups of rows and register blocks, of experts and of the gate: from candidate to candidate at random, each with the bits of the cost
/// model's choice.
TEST_P(LayerKernelForms, candidatesKeepBits) {
  auto whole = [&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    Gate gate = topK(maker, in);
    return {gate.weights, downOf(maker, in, gate, upOf(maker, in, gate.routing))};
  };
  const char* names[] = {"block", "group", "rows", "nr", "score_rows", "score_nr"};
  std::mt19937 random(7);
  for (const std::string& name : testTargets()) {
    target = name;
    auto context = makeContext();
    std::string error;
    auto emitter = codegen::makeEmitter(target, error);
    KernelMaker maker(*context);
    LayerInputs in(maker, c(), type(), Weights(std::nullopt), Weights(std::nullopt));
    ir::KernelOp kernel = maker.finish("moe_layer", whole(maker, in));
    mlir::DictionaryAttr model = emitter->chooseSchedule(kernel), schedule = model;
    std::set<std::string> changed;
    for (mlir::DictionaryAttr candidate : emitter->candidates(kernel, model)) {
      EXPECT_EQ(emitter->refuse(kernel, candidate), std::nullopt) << target;
      for (const char* entry : names)
        if (candidate.get(entry) != model.get(entry))
          changed.insert(entry);
    }
    EXPECT_EQ(changed.size(), std::size(names)) << target;
    std::vector<Tensor> expected = run("moe_layer", whole, inputs());
    for (int step = 0; step < 4; ++step) {
      for (int move = 0; move < 3; ++move) {
        auto candidates = emitter->candidates(kernel, schedule);
        ASSERT_FALSE(candidates.empty()) << target;
        schedule = candidates[random() % candidates.size()];
      }
      Entries entries;
      for (const char* entry : names)
        entries.emplace_back(entry, schedule.getAs<mlir::IntegerAttr>(entry).getInt());
      expectSameBits(run("moe_layer", whole, inputs(), nullptr, entries, /*packsForEntries=*/true), expected);
    }
    mlir::NamedAttrList other(model);
    other.set("block", maker.builder().getI64IntegerAttr(1 << 19));
    EXPECT_EQ(emitter->refuse(kernel, other.getDictionary(context.get())), "blocks of 524288 rows are too large for a thread");
  }
}

class LayerKernelBlocks : public LayerKernels {};

/// A call of these tokens is work for several threads.
TEST_P(LayerKernelBlocks, areSeveralOfAFewHundredTokens) {
  for (const std::string& name : testTargets()) {
    target = name;
    auto context = makeContext();
    mlir::DictionaryAttr schedule = chosen(*context, "moe_layer", [&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
      Gate gate = topK(maker, in);
      return {downOf(maker, in, gate, upOf(maker, in, gate.routing))};
    });
    int64_t block = schedule.getAs<mlir::IntegerAttr>("block").getInt();
    EXPECT_GE(block, 16) << target;
    EXPECT_LE(3 * block, c().tokens + block) << target;
  }
}

INSTANTIATE_TEST_SUITE_P(ManyExperts, LayerKernelBlocks,
                         ::testing::Combine(::testing::Values(LayerCase{"manyExperts", 336, 32, 64, 16, 2}, LayerCase{"wide", 336, 32, 240, 4, 2}),
                                            ::testing::Values(DType::F32, DType::F64)),
                         nameOf);

class LayerKernelChains : public LayerKernels {};

TEST_P(LayerKernelChains, threeProducts) {
  expectReference([&](KernelMaker& maker, const LayerInputs& in) -> mlir::SmallVector<mlir::Value> {
    Gate gate = topK(maker, in);
    mlir::Value rows = maker.make<ir::ReluOp>(maker.make<ir::GroupedMatmulOp>(upOf(maker, in, gate.routing), in.up, gate.routing));
    return {downOf(maker, in, gate, rows)};
  });
}

INSTANTIATE_TEST_SUITE_P(Square, LayerKernelChains, ::testing::Combine(::testing::Values(cases[1], cases[3]), ::testing::Values(DType::F32)), nameOf);

INSTANTIATE_TEST_SUITE_P(Forms, LayerKernelForms, ::testing::Combine(::testing::Values(cases[0]), ::testing::Values(DType::F32)), nameOf);

} // namespace
} // namespace moec::testing
