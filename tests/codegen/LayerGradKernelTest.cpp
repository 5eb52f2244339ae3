// Owner of: kernels of kind `layer_grad`. Every result is held against the reference interpreter.
#include "runtime/core/Philox.h"
#include "tests/codegen/ProductCheck.h"

#include <gtest/gtest.h>

namespace moec::testing {
namespace {

std::string text(int64_t value) { return std::to_string(value); }

struct LayerGradCase {
  const char* name;
  DType type;
  int64_t tokens, experts, choices, width, hidden, depth; // of dy, of the product, of x
  int32_t (*expert)(int64_t row);
};
void PrintTo(const LayerGradCase& one, std::ostream* stream) { *stream << one.name; }

int32_t any(int64_t row, uint32_t experts) { return static_cast<int32_t>(draw(3, 1, 0, static_cast<uint64_t>(row))[0] % experts); }

const LayerGradCase cases[] = {
    {"mixed", DType::F32, 137, 5, 2, 51, 70, 29, [](int64_t row) { return any(row, 5); }},
    {"mixedWide", DType::F64, 61, 3, 2, 24, 40, 33, [](int64_t row) { return any(row, 3); }},
    {"wholePanels", DType::F32, 600, 4, 2, 32, 32, 32, [](int64_t row) { return any(row, 4); }},
    {"emptyExperts", DType::F32, 11, 8, 2, 24, 33, 24, [](int64_t row) { return row % 2 ? 6 : 1; }},
    {"blocksOfOne", DType::F32, 1500, 4, 1, 17, 40, 9, [](int64_t) { return 2; }},
    {"someDropped", DType::F64, 29, 3, 3, 13, 19, 13, [](int64_t row) { return row % 4 == 0 || row < 3 ? -1 : any(row, 3); }},
    {"allDropped", DType::F32, 6, 3, 2, 5, 9, 5, [](int64_t) { return -1; }},
    {"wide", DType::F32, 90, 3, 2, 83, 32, 80, [](int64_t row) { return any(row, 3); }},
    {"oneToken", DType::F32, 1, 4, 2, 40, 7, 40, [](int64_t row) { return row ? 3 : 0; }},
    {"noToken", DType::F32, 0, 4, 2, 8, 8, 8, [](int64_t) { return 0; }},
};

class LayerGradKernels : public ::testing::TestWithParam<LayerGradCase> {
protected:
  const LayerGradCase& c() const { return GetParam(); }

  /// What all kernels here read, in order.
  struct Inputs {
    mlir::Value routing, dy, weights, w, bias, x, before, gate;
  };
  Inputs inputsOf(KernelMaker& maker, const Weights& weights) const {
    std::string rows = text(c().choices) + "*t";
    Inputs in;
    in.routing = maker.routing(c().experts, "t", c().choices);
    in.dy = maker.tensor(c().type, {"t", text(c().width)});
    in.weights = maker.tensor(c().type, {"t", text(c().choices)});
    in.w = weights(maker, c().type, {c().experts, c().hidden, c().width});
    in.bias = maker.tensor(c().type, {text(c().experts), text(c().width)});
    in.x = maker.tensor(c().type, {"t", text(c().depth)});
    in.before = maker.tensor(c().type, {rows, text(c().hidden)});
    in.gate = maker.tensor(c().type, {rows, text(c().hidden)});
    return in;
  }
  mlir::Value sumOf(KernelMaker& maker, mlir::Value a, mlir::Value b) const {
    mlir::OpBuilder& builder = maker.builder();
    return maker.make<ir::ReduceOp>(ir::ReduceKindAttr::get(builder.getContext(), ir::ReduceKind::Sum), maker.make<ir::MulOp>(a, b),
                                    builder.getI64IntegerAttr(1));
  }
  using Write = std::function<mlir::SmallVector<mlir::Value>(KernelMaker&, const Inputs&)>;
  void expectRows(const Write& write) const {
    std::vector<int32_t> experts;
    for (int64_t row = 0; row < c().tokens * c().choices; ++row)
      experts.push_back(c().expert(row));
    Tensor routing = routingTensor(experts, c().experts, c().choices);
    int64_t rows = c().tokens * c().choices, kept = static_cast<const int32_t*>(routing.data())[c().experts];
    // Rows behind the count are undefined: a kernel must not take them in. Others reach beyond what activations compute without a branch.
    auto rowsOf = [&](uint32_t seed) {
      Tensor tensor = randomTensor(DType::F64, {rows, c().hidden}, seed);
      for (double& value : tensor.as<double>())
        value *= 3;
      for (int64_t i = kept * c().hidden; i < rows * c().hidden; ++i)
        tensor.as<double>()[static_cast<size_t>(i)] = std::numeric_limits<double>::quiet_NaN();
      return tensor.cast(c().type);
    };
    auto random = [&](const Shape& shape, uint32_t seed) { return randomTensor(c().type, shape, seed); };
    expectReference({[&](KernelMaker& maker, const Weights& weights) { return maker.finish("layer_grad", write(maker, inputsOf(maker, weights))); },
                     {routing, random({c().tokens, c().width}, 1), random({c().tokens, c().choices}, 2), random({c().experts, c().hidden, c().width}, 3),
                      random({c().experts, c().width}, 4), random({c().tokens, c().depth}, 5), rowsOf(6), rowsOf(7)},
                     3,
                     {{"t", c().tokens}},
                     std::max<int64_t>(rows, 2 * c().width),
                     kept});
  }
};

TEST_P(LayerGradKernels, allThatALayerNeeds) {
  expectRows([&](KernelMaker& maker, const Inputs& in) -> mlir::SmallVector<mlir::Value> {
    mlir::Value dy = maker.make<ir::DispatchOp>(in.dy, in.routing), x = maker.make<ir::DispatchOp>(in.x, in.routing);
    mlir::Value ofRows = maker.make<ir::RowWeightsOp>(in.weights, in.routing), weighted = maker.make<ir::MulOp>(dy, ofRows);
    mlir::Value product = maker.make<ir::GroupedMatmulOp>(dy, in.w, in.routing), hidden = in.gate;
    mlir::Value before = maker.make<ir::MulOp>(maker.make<ir::MulOp>(product, ofRows), maker.make<ir::GeluGradOp>(in.before));
    mlir::Value bias = maker.make<ir::ExpertRowsOp>(in.bias, in.routing);
    return {maker.make<ir::AddOp>(sumOf(maker, product, hidden), sumOf(maker, dy, bias)),
            maker.make<ir::ExpertSumsOp>(weighted, in.routing),
            maker.make<ir::GroupedWeightGradOp>(weighted, hidden, in.routing),
            maker.make<ir::ExpertSumsOp>(before, in.routing),
            maker.make<ir::GroupedWeightGradOp>(before, x, in.routing),
            before};
  });
}

/// As a layer has it whose hidden rows nobody keeps: gelu and its derivative of the same rows.
TEST_P(LayerGradKernels, hiddenRowsMadeAgain) {
  expectRows([&](KernelMaker& maker, const Inputs& in) -> mlir::SmallVector<mlir::Value> {
    mlir::Value dy = maker.make<ir::DispatchOp>(in.dy, in.routing), x = maker.make<ir::DispatchOp>(in.x, in.routing);
    mlir::Value product = maker.make<ir::GroupedMatmulOp>(dy, in.w, in.routing), hidden = maker.make<ir::GeluOp>(in.before);
    mlir::Value before = maker.make<ir::MulOp>(product, maker.make<ir::GeluGradOp>(in.before));
    return {maker.make<ir::GroupedWeightGradOp>(dy, hidden, in.routing), maker.make<ir::ExpertSumsOp>(before, in.routing),
            maker.make<ir::ExpertSumsOp>(hidden, in.routing), maker.make<ir::GroupedWeightGradOp>(before, x, in.routing), sumOf(maker, product, hidden)};
  });
}

/// Of rows that are summed up, and read by nothing else.
TEST_P(LayerGradKernels, sumsAlone) {
  expectRows([&](KernelMaker& maker, const Inputs& in) -> mlir::SmallVector<mlir::Value> {
    mlir::Value dy = maker.make<ir::DispatchOp>(in.dy, in.routing), x = maker.make<ir::DispatchOp>(in.x, in.routing);
    mlir::Value ofRows = maker.make<ir::RowWeightsOp>(in.weights, in.routing), product = maker.make<ir::GroupedMatmulOp>(dy, in.w, in.routing);
    mlir::Value before = maker.make<ir::MulOp>(product, maker.make<ir::GeluGradOp>(in.before));
    return {maker.make<ir::ExpertSumsOp>(maker.make<ir::MulOp>(dy, ofRows), in.routing),
            maker.make<ir::ExpertSumsOp>(maker.make<ir::MulOp>(before, in.gate), in.routing), maker.make<ir::GroupedWeightGradOp>(before, x, in.routing)};
  });
}

TEST_P(LayerGradKernels, gatedExpertsWithoutBiases) {
  expectRows([&](KernelMaker& maker, const Inputs& in) -> mlir::SmallVector<mlir::Value> {
    mlir::Value dy = maker.make<ir::DispatchOp>(in.dy, in.routing), x = maker.make<ir::DispatchOp>(in.x, in.routing);
    mlir::Value ofRows = maker.make<ir::RowWeightsOp>(in.weights, in.routing), weighted = maker.make<ir::MulOp>(dy, ofRows);
    mlir::Value product = maker.make<ir::GroupedMatmulOp>(dy, in.w, in.routing), active = maker.make<ir::SiluOp>(in.gate);
    mlir::Value hidden = maker.make<ir::MulOp>(active, in.before), gradient = maker.make<ir::MulOp>(product, ofRows);
    mlir::Value before = maker.make<ir::MulOp>(gradient, active), gate = maker.make<ir::MulOp>(maker.make<ir::MulOp>(gradient, in.before), in.gate);
    return {maker.make<ir::GroupedWeightGradOp>(before, x, in.routing), sumOf(maker, product, hidden),
            maker.make<ir::GroupedWeightGradOp>(weighted, hidden, in.routing), maker.make<ir::GroupedWeightGradOp>(gate, x, in.routing)};
  });
}

class LayerGradRefusals : public LayerGradKernels {
protected:
  /// What is said in place of a kernel with packed weights, kept in that way, or with plain ones.
  std::string refusal(const Write& write, bool isPacked = true, const std::optional<WeightsAs>& as = {}) const {
    auto context = makeContext();
    std::string target = testTargets().front(), error;
    mlir::ScopedDiagnosticHandler handler(context.get(), [&](mlir::Diagnostic& diagnostic) { error += diagnostic.str(); });
    KernelMaker plain(*context), maker(*context);
    mlir::DictionaryAttr schedule =
        codegen::makeEmitter(target, error)->chooseSchedule(plain.finish("layer_grad", write(plain, inputsOf(plain, Weights(std::nullopt)))));
    if (!schedule)
      return error;
    Weights weights(isPacked ? std::optional(schedule.getAs<mlir::IntegerAttr>("nr").getInt()) : std::nullopt, as);
    ir::KernelOp kernel = maker.finish("layer_grad", write(maker, inputsOf(maker, weights)));
    kernel.setScheduleAttr(schedule);
    try {
      LoadedKernel loaded(kernel, target);
    } catch (const std::exception& refused) {
      return error + refused.what();
    }
    return "a kernel was made";
  }
};

TEST_P(LayerGradRefusals, ofWeightsThatAreNoPanelsOfTheRowsDtype) {
  Write write = [&](KernelMaker& maker, const Inputs& in) -> mlir::SmallVector<mlir::Value> {
    mlir::Value dy = maker.make<ir::DispatchOp>(in.dy, in.routing), product = maker.make<ir::GroupedMatmulOp>(dy, in.w, in.routing);
    return {maker.make<ir::GroupedWeightGradOp>(product, maker.make<ir::DispatchOp>(in.x, in.routing), in.routing)};
  };
  EXPECT_EQ(refusal(write), "a kernel was made");
  std::string plain = refusal(write, false), converted = refusal(write, true, WeightsAs::parse("bf16"));
  EXPECT_NE(plain.find("takes plain weights: they must be packed (moe.pack)"), std::string::npos) << plain;
  EXPECT_NE(converted.find("takes weights that are packed in pairs or converted: a layer_grad multiplies by panels of f32"), std::string::npos) << converted;
}

TEST_P(LayerGradRefusals, ofSumsThatNoGroupOfRowsAddsUp) {
  auto ofSum = [&](llvm::function_ref<mlir::Value(KernelMaker&, mlir::Value dy, mlir::Value product)> sum) {
    return refusal([&](KernelMaker& maker, const Inputs& in) -> mlir::SmallVector<mlir::Value> {
      mlir::Value dy = maker.make<ir::DispatchOp>(in.dy, in.routing);
      return {sum(maker, dy, maker.make<ir::GroupedMatmulOp>(dy, in.w, in.routing))};
    });
  };
  auto columns = [](KernelMaker& maker, mlir::Value rows, ir::ReduceKind kind = ir::ReduceKind::Sum) -> mlir::Value {
    return maker.make<ir::ReduceOp>(ir::ReduceKindAttr::get(maker.builder().getContext(), kind), rows, maker.builder().getI64IntegerAttr(1));
  };
  std::string gathered = ofSum([&](KernelMaker& maker, mlir::Value dy, mlir::Value) { return columns(maker, dy); });
  std::string twice = ofSum([&](KernelMaker& maker, mlir::Value, mlir::Value product) -> mlir::Value {
    return maker.make<ir::AddOp>(columns(maker, product), columns(maker, product));
  });
  std::string largest = ofSum([&](KernelMaker& maker, mlir::Value, mlir::Value product) { return columns(maker, product, ir::ReduceKind::Max); });
  for (const std::string& said : {gathered, twice})
    EXPECT_NE(said.find("adds up gathered rows, or one value twice: not supported"), std::string::npos) << said;
  EXPECT_NE(largest.find("gives numbers of rows that are no sums of their columns: not supported"), std::string::npos) << largest;
}

INSTANTIATE_TEST_SUITE_P(Mixed, LayerGradRefusals, ::testing::Values(cases[0]), [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(Cases, LayerGradKernels, ::testing::ValuesIn(cases), [](const auto& info) { return std::string(info.param.name); });

} // namespace
} // namespace moec::testing
