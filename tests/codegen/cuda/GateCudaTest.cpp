// Owner of: CUDA kernels of kind `gate`. Every result is held against the reference interpreter; routings must be equal.
#include "tests/codegen/cuda/CudaKernelCheck.h"

namespace moec::testing {
namespace {

struct GateCase {
  DType type;
  int64_t tokens, width, experts, choices;
  ir::Priority priority;
  std::string capacity; // empty: none
};

void PrintTo(const GateCase& c, std::ostream* out) {
  *out << name(c.type) << ", T " << c.tokens << ", D " << c.width << ", E " << c.experts << ", K " << c.choices << ", "
       << (c.priority == ir::Priority::TokenMajor ? "token_major" : "choice_major") << ", capacity " << (c.capacity.empty() ? "none" : c.capacity);
}

std::string text(int64_t value) { return std::to_string(value); }

mlir::Value assign(KernelMaker& maker, const GateCase& c, mlir::Value indices) {
  mlir::OpBuilder& b = maker.builder();
  return ir::AssignOp::create(b, maker.loc(), indices, b.getI64IntegerAttr(c.experts), ir::PriorityAttr::get(b.getContext(), c.priority),
                              c.capacity.empty() ? mlir::StringAttr() : b.getStringAttr(Size::parse(c.capacity).str()));
}

ir::SelectOp select(KernelMaker& maker, const GateCase& c, mlir::Value scores) {
  return ir::SelectOp::create(maker.builder(), maker.loc(), scores, maker.builder().getI64IntegerAttr(c.choices));
}

mlir::Value compare(KernelMaker& maker, ir::Predicate predicate, mlir::Value a, mlir::Value b) {
  return ir::CompareOp::create(maker.builder(), maker.loc(), ir::PredicateAttr::get(maker.builder().getContext(), predicate), a, b);
}

mlir::Value draw(KernelMaker& maker, mlir::Type type, ir::Distribution distribution, const std::string& path) {
  mlir::OpBuilder& b = maker.builder();
  return ir::RandomOp::create(b, maker.loc(), type, ir::DistributionAttr::get(b.getContext(), distribution), b.getStringAttr(path));
}

/// The schedule that the emitter would choose, but for one field.
void reschedule(ir::KernelOp kernel, const std::string& field, int64_t value, const std::string& target = "cuda:sm_90a") {
  std::string error;
  mlir::NamedAttrList fields(codegen::makeEmitter(target, error)->chooseSchedule(kernel));
  ASSERT_TRUE(fields.get(field)) << field;
  mlir::Builder builder(kernel.getContext());
  fields.set(field, builder.getI64IntegerAttr(value));
  kernel.setScheduleAttr(fields.getDictionary(kernel.getContext()));
}

/// one_block_rows: by many blocks always, decided at the call.
constexpr int64_t kWays[] = {0, 100};

class GateCuda : public ::testing::TestWithParam<std::tuple<GateCase, int64_t>> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  const GateCase& c() const { return std::get<0>(GetParam()); }
  CudaRun check(ir::KernelOp kernel, CudaOptions options = {}) {
    options.check.bindings = {{"t", c().tokens}};
    options.check.terms = std::max<int64_t>(64, c().width);
    reschedule(kernel, "one_block_rows", std::get<1>(GetParam()));
    return checkCuda(kernel, options);
  }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
};

TEST_P(GateCuda, softmaxOfAProductThenTopK) {
  KernelMaker maker(*context);
  mlir::Value x = maker.tensor(c().type, {"t", text(c().width)}), w = maker.tensor(c().type, {text(c().experts), text(c().width)});
  mlir::Value scores = maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(x, w), maker.tensor(c().type, {text(c().experts)}));
  ir::SelectOp top = select(maker, c(), maker.make<ir::SoftmaxOp>(scores));
  CudaRun run = check(maker.finish("gate", {assign(maker, c(), top.getIndices()), top.getValues()}));
  // Of the stage that has the arithmetic; a histogram's counters are where its rows send it.
  for (const emulator::KernelCounters& counters : run.counters)
    if (counters.kernel.ends_with("_scores"))
      for (const emulator::AccessCounters& access : counters.accesses)
        if (access.shared && access.instruction.starts_with("ld"))
          EXPECT_EQ(access.wavefronts, access.idealWavefronts) << "line " << access.sourceLine << ": " << access.instruction;
}

TEST_P(GateCuda, dropsByADrawAndGivesItsScores) {
  KernelMaker maker(*context);
  mlir::Value x = maker.tensor(c().type, {"t", text(c().width)}), w = maker.tensor(c().type, {text(c().experts), text(c().width)});
  mlir::Value scores = maker.make<ir::MatmulOp>(x, w);
  ir::SelectOp top = select(maker, c(), maker.make<ir::SoftmaxOp>(scores));
  mlir::Value uniform = draw(maker, top.getValues().getType(), ir::Distribution::Uniform, "gate.policy");
  mlir::Value keep = compare(maker, ir::Predicate::LT, uniform, top.getValues());
  mlir::Value routing = maker.make<ir::DropOp>(assign(maker, c(), top.getIndices()), keep);
  check(maker.finish("gate", {top.getValues(), routing, top.getIndices(), scores}));
}

TEST_P(GateCuda, scoresOfAnArgumentWithNanAndTies) {
  KernelMaker maker(*context);
  ir::SelectOp top = select(maker, c(), maker.tensor(c().type, {"t", text(c().experts)}));
  Tensor scores = randomTensor(DType::F64, {c().tokens, c().experts}, 1);
  int64_t i = 0;
  for (double& score : scores.as<double>()) {
    score = i % 7 == 3 ? std::numeric_limits<double>::quiet_NaN() : std::round(score * 2) / 2;
    ++i;
  }
  CudaOptions options;
  options.check.inputs = {scores.cast(c().type)};
  check(maker.finish("gate", {assign(maker, c(), top.getIndices()), top.getValues()}), options);
}

TEST_P(GateCuda, indicesAndMasksOfArguments) {
  KernelMaker maker(*context);
  mlir::Value indices = maker.tensor(DType::I32, {"t", text(c().choices)});
  mlir::Value routing = assign(maker, c(), indices);
  routing = maker.make<ir::DropOp>(routing, maker.tensor(DType::Bool, {"t", text(c().choices)}));
  routing = maker.make<ir::DropOp>(routing, maker.tensor(DType::Bool, {"t", text(c().choices)}));
  int64_t rows = c().tokens * c().choices;
  std::vector<int32_t> experts;
  Tensor first(DType::Bool, {c().tokens, c().choices}), second(DType::Bool, {c().tokens, c().choices});
  Tensor numbers = randomTensor(DType::F64, {rows, 3}, 3);
  for (int64_t i = 0; i < rows; ++i) {
    auto number = [&](int64_t j) { return (numbers.as<double>()[static_cast<size_t>(3 * i + j)] + 1) / 2; };
    // -1 now and then, half of the others to the first expert.
    int64_t expert = static_cast<int64_t>(number(0) * static_cast<double>(2 * c().experts + 1)) - 1;
    experts.push_back(static_cast<int32_t>(expert >= c().experts ? 0 : expert));
    first.as<uint8_t>()[static_cast<size_t>(i)] = number(1) < 0.8;
    second.as<uint8_t>()[static_cast<size_t>(i)] = number(2) < 0.7;
  }
  CudaOptions options;
  options.check.inputs = {Tensor::of(experts, {c().tokens, c().choices}), std::move(first), std::move(second)};
  check(maker.finish("gate", {routing}), options);
}

INSTANTIATE_TEST_SUITE_P(Cases, GateCuda,
                         ::testing::Combine(::testing::Values(GateCase{DType::F32, 1, 4, 2, 1, ir::Priority::TokenMajor, ""},
                                                              GateCase{DType::F32, 300, 32, 4, 2, ir::Priority::ChoiceMajor, "trunc(1.2*(t)/4)"},
                                                              GateCase{DType::F32, 150, 17, 20, 3, ir::Priority::TokenMajor, "7"},
                                                              GateCase{DType::F32, 61, 40, 64, 8, ir::Priority::TokenMajor, ""},
                                                              GateCase{DType::F32, 20, 8, 3, 3, ir::Priority::ChoiceMajor, "0"},
                                                              GateCase{DType::F32, 33, 36, 512, 16, ir::Priority::ChoiceMajor, "3"},
                                                              GateCase{DType::F32, 2500, 5, 7, 2, ir::Priority::ChoiceMajor, "trunc(t/9)"},
                                                              GateCase{DType::F64, 77, 33, 5, 2, ir::Priority::ChoiceMajor, "10"},
                                                              GateCase{DType::F64, 9, 130, 300, 4, ir::Priority::TokenMajor, "-4"},
                                                              GateCase{DType::F32, 7, 22, 1024, 3, ir::Priority::TokenMajor, "5"},
                                                              GateCase{DType::F64, 5, 18, 1024, 3, ir::Priority::ChoiceMajor, ""}),
                                            ::testing::ValuesIn(kWays)));

class GateCudaOnce : public ::testing::Test {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
};

TEST_F(GateCudaOnce, noisyScoresOfTwoProducts) {
  GateCase c{DType::F32, 45, 12, 6, 2, ir::Priority::TokenMajor, ""};
  for (const std::string& target : cudaTargetNames()) {
    KernelMaker maker(*context);
    mlir::Value x = maker.tensor(c.type, {"t", "12"}), w = maker.tensor(c.type, {"6", "12"});
    mlir::Value clean = maker.make<ir::MatmulOp>(x, w), width = maker.make<ir::SoftplusOp>(maker.make<ir::MatmulOp>(x, maker.tensor(c.type, {"6", "12"})));
    mlir::Value noise = draw(maker, clean.getType(), ir::Distribution::Normal, "gate.noise");
    ir::SelectOp top = select(maker, c, maker.make<ir::AddOp>(clean, maker.make<ir::MulOp>(noise, width)));
    checkCuda(maker.finish("gate", {assign(maker, c, top.getIndices()), maker.make<ir::SoftmaxOp>(top.getValues())}),
              {.target = target, .check = {.bindings = {{"t", 45}}}});
  }
}

TEST_F(GateCudaOnce, secondChoicesDropAtRandom) {
  // GShard: a first choice stays, a second one where twice its weight is at least a draw.
  GateCase c{DType::F32, 100, 24, 8, 2, ir::Priority::TokenMajor, "20"};
  KernelMaker maker(*context);
  mlir::OpBuilder& b = maker.builder();
  mlir::Value x = maker.tensor(c.type, {"100", "24"}), w = maker.tensor(c.type, {"8", "24"});
  ir::SelectOp top = select(maker, c, maker.make<ir::MatmulOp>(x, w));
  mlir::Value weights = maker.make<ir::SoftmaxOp>(top.getValues());
  auto constant = [&](std::vector<int64_t> shape, std::vector<float> values) -> mlir::Value {
    auto type = mlir::RankedTensorType::get(shape, b.getF32Type());
    return ir::ConstantOp::create(b, maker.loc(), type, mlir::DenseElementsAttr::get(type, llvm::ArrayRef<float>(values)));
  };
  mlir::Value uniform = draw(maker, mlir::RankedTensorType::get({100, 1}, b.getF32Type()), ir::Distribution::Uniform, "gate.random");
  mlir::Value thresholds = maker.make<ir::MulOp>(uniform, constant({1, 2}, {0, 1}));
  mlir::Value keep = compare(maker, ir::Predicate::GE, maker.make<ir::MulOp>(weights, constant({1}, {2})), thresholds);
  mlir::Value routing = maker.make<ir::DropOp>(assign(maker, c, top.getIndices()), keep);
  checkCuda(maker.finish("gate", {routing, weights}));
}

TEST_F(GateCudaOnce, manyRowsOfManyPieces) {
  for (ir::Priority priority : {ir::Priority::TokenMajor, ir::Priority::ChoiceMajor})
    for (const char* capacity : {"", "400"}) {
      GateCase c{DType::F32, 9001, 4, 16, 3, priority, capacity};
      KernelMaker maker(*context);
      ir::SelectOp top = select(maker, c, maker.tensor(c.type, {"t", "16"}));
      mlir::Value routing = assign(maker, c, top.getIndices());
      if (*capacity)
        routing = maker.make<ir::DropOp>(routing, compare(maker, ir::Predicate::LT, top.getValues(), maker.tensor(c.type, {"1"})));
      CudaRun run = checkCuda(maker.finish("gate", {routing}), {.check = {.bindings = {{"t", c.tokens}}}});
      EXPECT_EQ(run.counters.size(), *capacity ? 5u : 3u);
    }
}

TEST_F(GateCudaOnce, launchesOfAFewRowsAreTwo) {
  GateCase c{DType::F32, 256, 64, 8, 2, ir::Priority::TokenMajor, ""};
  KernelMaker maker(*context);
  mlir::Value x = maker.tensor(c.type, {"256", "64"}), w = maker.tensor(c.type, {"8", "64"});
  ir::SelectOp top = select(maker, c, maker.make<ir::SoftmaxOp>(maker.make<ir::MatmulOp>(x, w)));
  CudaRun run = checkCuda(maker.finish("gate", {assign(maker, c, top.getIndices()), top.getValues()}));
  EXPECT_EQ(run.counters.size(), 2u);
  EXPECT_LE(run.sectorRatio(), 1.15);
}

TEST_F(GateCudaOnce, productsInBf16AreRefused) {
  KernelMaker maker(*context);
  mlir::Value scores = maker.make<ir::MatmulOp>(maker.tensor(DType::BF16, {"4", "8"}), maker.tensor(DType::BF16, {"2", "8"}));
  try {
    checkCuda(maker.finish("gate", {scores}));
    FAIL() << "a kernel was made";
  } catch (const std::exception& error) {
    EXPECT_NE(std::string(error.what()).find("multiplies matrices of bf16"), std::string::npos) << error.what();
  }
}

TEST_F(GateCudaOnce, scoresAlone) {
  KernelMaker maker(*context);
  mlir::Value scores = maker.make<ir::MatmulOp>(maker.tensor(DType::F32, {"7", "12"}), maker.tensor(DType::F32, {"40", "12"}));
  checkCuda(maker.finish("gate", {scores}));
}

TEST_F(GateCudaOnce, scoresInBf16) {
  GateCase c{DType::BF16, 30, 0, 9, 2, ir::Priority::TokenMajor, "5"};
  KernelMaker maker(*context);
  ir::SelectOp top = select(maker, c, maker.tensor(c.type, {"30", "9"}));
  checkCuda(maker.finish("gate", {assign(maker, c, top.getIndices()), maker.make<ir::SoftmaxOp>(top.getValues())}));
}

} // namespace
} // namespace moec::testing
