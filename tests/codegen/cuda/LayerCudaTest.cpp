// Owner of: CUDA kernels of kind `moe_layer`. Every result is held against the reference interpreter, and to the bit against the kernels of the layer's
// parts, run one behind the other.
#include "tests/codegen/ProductCheck.h"
#include "tests/codegen/cuda/CudaKernelCheck.h"

#include <cstring>

namespace moec::testing {
namespace {

std::string text(int64_t value) { return std::to_string(value); }

/// How many of each there are, and how the gate spreads them.
struct LayerCase {
  const char* name;
  int64_t tokens, width, hidden, experts, choices;
  ir::Priority priority = ir::Priority::TokenMajor;
  const char* capacity = "";    // empty: none
  std::vector<float> bias = {}; // on the scores of the first experts
};

void PrintTo(const LayerCase& c, std::ostream* out) { *out << c.name; }

const LayerCase cases[] = {
    {"mixed", 37, 24, 51, 5, 2},
    {"oneToken", 1, 32, 32, 4, 2},
    {"allToOne", 70, 16, 40, 4, 1, ir::Priority::TokenMajor, "", {0, 0, 1000, 0}},
    {"emptyExperts", 33, 20, 24, 8, 2, ir::Priority::TokenMajor, "", {-900, -900, 900, -900, -900, 900, -900, -900}},
    {"someDropped", 40, 17, 33, 3, 3, ir::Priority::ChoiceMajor, "9"},
    {"allDropped", 9, 8, 8, 3, 2, ir::Priority::TokenMajor, "0"},
    {"manyExperts", 21, 12, 20, 100, 8, ir::Priority::TokenMajor, "3"},
    {"manyTokens", 150, 32, 64, 4, 2},
};

/// The inputs of all parts, in order; and what the parts make of them.
struct LayerInputs {
  LayerInputs(KernelMaker& maker, const LayerCase& c, DType type) {
    bias = maker.tensor(type, {text(c.experts)});
    x = maker.tensor(type, {text(c.tokens), text(c.width)});
    scores = maker.tensor(type, {text(c.experts), text(c.width)});
    up = maker.tensor(type, {text(c.experts), text(c.hidden), text(c.width)});
    upBias = maker.tensor(type, {text(c.experts), text(c.hidden)});
    down = maker.tensor(type, {text(c.experts), text(c.width), text(c.hidden)});
    downBias = maker.tensor(type, {text(c.experts), text(c.width)});
    residual = maker.tensor(type, {text(c.tokens), text(c.width)});
  }
  mlir::Value bias, x, scores, up, upBias, down, downBias, residual;
};

std::vector<Tensor> inputTensors(const LayerCase& c, DType type) {
  Tensor bias(DType::F32, {c.experts});
  for (size_t i = 0; i < c.bias.size(); ++i)
    bias.as<float>()[i] = c.bias[i];
  std::vector<Tensor> inputs{bias.cast(type)};
  for (const Shape& shape : {Shape{c.tokens, c.width}, Shape{c.experts, c.width}, Shape{c.experts, c.hidden, c.width}, Shape{c.experts, c.hidden},
                             Shape{c.experts, c.width, c.hidden}, Shape{c.experts, c.width}, Shape{c.tokens, c.width}})
    inputs.push_back(randomTensor(type, shape, static_cast<uint32_t>(inputs.size())));
  return inputs;
}

mlir::Value assign(KernelMaker& maker, const LayerCase& c, mlir::Value indices) {
  mlir::OpBuilder& b = maker.builder();
  return ir::AssignOp::create(b, maker.loc(), indices, b.getI64IntegerAttr(c.experts), ir::PriorityAttr::get(b.getContext(), c.priority),
                              *c.capacity ? b.getStringAttr(c.capacity) : mlir::StringAttr());
}

ir::SelectOp select(KernelMaker& maker, int64_t choices, mlir::Value scores) {
  return ir::SelectOp::create(maker.builder(), maker.loc(), scores, maker.builder().getI64IntegerAttr(choices));
}

mlir::Value constant(KernelMaker& maker, DType type, std::vector<int64_t> shape, const std::vector<double>& values) {
  mlir::Type element = type == DType::F64 ? mlir::Type(maker.builder().getF64Type()) : mlir::Type(maker.builder().getF32Type());
  auto tensor = mlir::RankedTensorType::get(shape, element);
  std::vector<mlir::Attribute> numbers;
  for (double value : values)
    numbers.push_back(mlir::FloatAttr::get(element, value));
  return ir::ConstantOp::create(maker.builder(), maker.loc(), tensor, mlir::DenseElementsAttr::get(tensor, numbers));
}

struct Gate {
  mlir::Value routing, weights;
};

Gate topK(KernelMaker& maker, const LayerCase& c, const LayerInputs& in) {
  mlir::Value scores = maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(in.x, in.scores), in.bias);
  ir::SelectOp top = select(maker, c.choices, scores);
  return {assign(maker, c, top.getIndices()), maker.make<ir::SoftmaxOp>(top.getValues())};
}

/// A first choice stays, a second one where twice its weight is not less than a draw.
Gate gshard(KernelMaker& maker, const LayerCase& c, DType type, const LayerInputs& in) {
  Gate gate = topK(maker, c, in);
  mlir::OpBuilder& b = maker.builder();
  mlir::Type element = mlir::cast<mlir::RankedTensorType>(gate.weights.getType()).getElementType();
  mlir::Value draws = ir::RandomOp::create(b, maker.loc(), mlir::RankedTensorType::get({c.tokens, 1}, element),
                                           ir::DistributionAttr::get(b.getContext(), ir::Distribution::Uniform), b.getStringAttr("moe.gate.random_routing"));
  mlir::Value thresholds = maker.make<ir::MulOp>(draws, constant(maker, type, {1, 2}, {0, 1}));
  mlir::Value doubled = maker.make<ir::MulOp>(gate.weights, constant(maker, type, {1}, {2}));
  mlir::Value keep = ir::CompareOp::create(b, maker.loc(), ir::PredicateAttr::get(b.getContext(), ir::Predicate::GE), doubled, thresholds);
  return {maker.make<ir::DropOp>(gate.routing, keep), gate.weights};
}

mlir::Value upOf(KernelMaker& maker, const LayerInputs& in, mlir::Value routing) {
  mlir::Value rows = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(in.x, routing), in.up, routing);
  return maker.make<ir::GeluOp>(maker.make<ir::AddOp>(rows, maker.make<ir::ExpertRowsOp>(in.upBias, routing)));
}

mlir::Value downOf(KernelMaker& maker, const LayerInputs& in, const Gate& gate, mlir::Value rows) {
  rows = maker.make<ir::AddOp>(maker.make<ir::GroupedMatmulOp>(rows, in.down, gate.routing), maker.make<ir::ExpertRowsOp>(in.downBias, gate.routing));
  return maker.make<ir::AddOp>(maker.make<ir::CombineOp>(rows, gate.routing, gate.weights), in.residual);
}

class LayerCuda : public ::testing::TestWithParam<std::tuple<LayerCase, DType>> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  const LayerCase& c() const { return std::get<0>(GetParam()); }
  DType type() const { return std::get<1>(GetParam()); }
  CudaOptions options() const { return {.target = target, .check = {.inputs = inputTensors(c(), type()), .terms = 4 * std::max(c().hidden, c().width)}}; }
  /// One launch of one block, and reads of the products' slices that meet each bank once.
  void expectOneGoodLaunch(const CudaRun& run) {
    ASSERT_EQ(run.stages.size(), 1u);
    ASSERT_EQ(run.counters.size(), 1u);
    EXPECT_EQ(run.stages[0].items, Size(1));
    int slices = 0;
    for (const emulator::AccessCounters& access : run.counters[0].accesses)
      if (access.shared && access.instruction.starts_with("ld") && access.instruction.find(".v") != std::string::npos) {
        ++slices;
        EXPECT_EQ(access.wavefronts, access.idealWavefronts) << "line " << access.sourceLine << ": " << access.instruction;
      }
    EXPECT_GT(slices, 0);
  }

  std::string target = "cuda:sm_90a";
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
};

TEST_P(LayerCuda, topKWithAResidual) {
  KernelMaker maker(*context);
  LayerInputs in(maker, c(), type());
  Gate gate = topK(maker, c(), in);
  expectOneGoodLaunch(checkCuda(maker.finish("moe_layer", {downOf(maker, in, gate, upOf(maker, in, gate.routing))}), options()));
}

class LayerCudaParts : public LayerCuda {};

TEST_P(LayerCudaParts, haveTheSameBits) {
  std::vector<Tensor> all = inputTensors(c(), type());
  auto run = [&](const std::string& kind, KernelMaker& maker, mlir::ValueRange results, const std::vector<Tensor>& inputs) {
    return runOnEmulator(maker.finish(kind, results), inputs, {.target = target}).outputs;
  };
  KernelMaker whole(*context), first(*context), second(*context), third(*context);
  LayerInputs in(whole, c(), type());
  Gate gate = topK(whole, c(), in);
  std::vector<Tensor> layer = run("moe_layer", whole, {gate.routing, gate.weights, downOf(whole, in, gate, upOf(whole, in, gate.routing))}, all);

  LayerInputs inFirst(first, c(), type()), inSecond(second, c(), type()), inThird(third, c(), type());
  Gate apart = topK(first, c(), inFirst);
  std::vector<Tensor> gates = run("gate", first, {apart.routing, apart.weights}, all);
  auto with = [&](std::vector<Tensor> more) {
    std::vector<Tensor> inputs = all;
    inputs.insert(inputs.end(), more.begin(), more.end());
    return inputs;
  };
  std::vector<Tensor> rows = run("expert_up", second, {upOf(second, inSecond, second.routing(c().experts, text(c().tokens), c().choices))}, with({gates[0]}));
  Gate given{third.routing(c().experts, text(c().tokens), c().choices), third.tensor(type(), {text(c().tokens), text(c().choices)})};
  mlir::Value made = third.tensor(type(), {text(c().tokens * c().choices), text(c().hidden)});
  std::vector<Tensor> result = run("expert_down", third, {downOf(third, inThird, given, made)}, with({gates[0], gates[1], rows[0]}));
  std::vector<Tensor> wants{gates[0], gates[1], result[0]};
  for (size_t i = 0; i < wants.size(); ++i) {
    ASSERT_EQ(layer[i].bytes(), wants[i].bytes());
    EXPECT_EQ(std::memcmp(layer[i].data(), wants[i].data(), wants[i].bytes()), 0) << "result " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, LayerCuda, ::testing::Combine(::testing::ValuesIn(cases), ::testing::Values(DType::F32, DType::F64)),
                         [](const auto& info) { return std::string(std::get<0>(info.param).name) + (std::get<1>(info.param) == DType::F64 ? "F64" : "F32"); });

INSTANTIATE_TEST_SUITE_P(Cases, LayerCudaParts, ::testing::Combine(::testing::Values(cases[0], cases[2], cases[4]), ::testing::Values(DType::F32, DType::F64)));

class LayerCudaKinds : public LayerCuda {};

TEST_P(LayerCudaKinds, gshardDropsAtRandomOnEveryTarget) {
  for (const std::string& name : cudaTargetNames()) {
    target = name;
    KernelMaker maker(*context);
    LayerInputs in(maker, c(), type());
    Gate gate = gshard(maker, c(), type(), in);
    expectOneGoodLaunch(checkCuda(maker.finish("moe_layer", {downOf(maker, in, gate, upOf(maker, in, gate.routing)), gate.routing}), options()));
  }
}

TEST_P(LayerCudaKinds, oneProductGathersAndCombines) {
  KernelMaker maker(*context);
  LayerInputs in(maker, c(), type());
  Gate gate = topK(maker, c(), in);
  mlir::Value rows = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(in.x, gate.routing), in.up, gate.routing);
  expectOneGoodLaunch(checkCuda(maker.finish("moe_layer", {maker.make<ir::CombineOp>(rows, gate.routing, gate.weights)}), options()));
}

TEST_P(LayerCudaKinds, threeProducts) {
  KernelMaker maker(*context);
  LayerInputs in(maker, c(), type());
  mlir::Value mid = maker.tensor(type(), {text(c().experts), text(c().hidden), text(c().hidden)});
  Gate gate = topK(maker, c(), in);
  mlir::Value rows = maker.make<ir::ReluOp>(maker.make<ir::GroupedMatmulOp>(upOf(maker, in, gate.routing), mid, gate.routing));
  expectOneGoodLaunch(checkCuda(maker.finish("moe_layer", {downOf(maker, in, gate, rows), gate.weights}), options()));
}

TEST_P(LayerCudaKinds, choicesWeightsAndMasksOfArguments) {
  KernelMaker maker(*context);
  LayerInputs in(maker, c(), type());
  std::vector<std::string> places{text(c().tokens), text(c().choices)};
  mlir::Value indices = maker.tensor(DType::I32, places), keep = maker.tensor(DType::Bool, places), weights = maker.tensor(type(), places);
  Gate gate{maker.make<ir::DropOp>(assign(maker, c(), indices), keep), weights};
  CudaOptions all = options();
  Tensor experts(DType::I32, {c().tokens, c().choices}), keeps(DType::Bool, {c().tokens, c().choices});
  for (int64_t i = 0; i < c().tokens * c().choices; ++i) {
    experts.as<int32_t>()[static_cast<size_t>(i)] = static_cast<int32_t>(i * 5 % (c().experts + 1)) - 1; // -1 now and then
    keeps.as<uint8_t>()[static_cast<size_t>(i)] = i % 7 != 3;
  }
  all.check.inputs.push_back(experts);
  all.check.inputs.push_back(keeps);
  expectOneGoodLaunch(checkCuda(maker.finish("moe_layer", {downOf(maker, in, gate, upOf(maker, in, gate.routing))}), all));
}

INSTANTIATE_TEST_SUITE_P(Kinds, LayerCudaKinds, ::testing::Combine(::testing::Values(cases[0]), ::testing::Values(DType::F32, DType::F64)));

//===--- what it refuses ---===//

class LayerCudaRefusals : public ::testing::Test {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  void expectRefusal(ir::KernelOp kernel, const std::string& part) {
    try {
      runOnEmulator(kernel, {}, {});
      FAIL() << "a kernel was made";
    } catch (const std::exception& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
  KernelMaker maker{*context};
};

TEST_F(LayerCudaRefusals, sizesOfTheCall) {
  mlir::Value x = maker.tensor(DType::F32, {"t", "8"}), scores = maker.tensor(DType::F32, {"4", "8"}), w = maker.tensor(DType::F32, {"4", "8", "8"});
  ir::SelectOp top = select(maker, 2, maker.make<ir::MatmulOp>(x, scores));
  LayerCase c{"", 0, 8, 8, 4, 2};
  mlir::Value routing = assign(maker, c, top.getIndices());
  mlir::Value rows = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, routing), w, routing);
  expectRefusal(maker.finish("moe_layer", {maker.make<ir::CombineOp>(rows, routing, top.getValues())}),
                "routes t tokens: a moe_layer needs a count that is known at compile time");
}

TEST_F(LayerCudaRefusals, productsSideBySide) {
  LayerInputs in(maker, cases[0], DType::F32);
  mlir::Value other = maker.tensor(DType::F32, {"5", "51", "24"});
  Gate gate = topK(maker, cases[0], in);
  mlir::Value rows = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(in.x, gate.routing), other, gate.routing);
  rows = maker.make<ir::MulOp>(rows, upOf(maker, in, gate.routing));
  expectRefusal(maker.finish("moe_layer", {downOf(maker, in, gate, rows)}), "multiplies its experts' rows side by side");
}

TEST_F(LayerCudaRefusals, rowsGivenAway) {
  LayerInputs in(maker, cases[0], DType::F32);
  Gate gate = topK(maker, cases[0], in);
  mlir::Value rows = upOf(maker, in, gate.routing);
  expectRefusal(maker.finish("moe_layer", {rows, downOf(maker, in, gate, rows)}), "gives its experts' rows away");
}

TEST_F(LayerCudaRefusals, moreThanSharedMemoryHolds) {
  LayerCase c{"", 4000, 24, 8, 4, 2};
  LayerInputs in(maker, c, DType::F32);
  Gate gate = topK(maker, c, in);
  expectRefusal(maker.finish("moe_layer", {downOf(maker, in, gate, upOf(maker, in, gate.routing))}), "bytes of shared memory, of 49152");
}

} // namespace
} // namespace moec::testing
