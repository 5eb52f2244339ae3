// Owner of: CUDA kernels of kind `gate`. Every result is held against the reference interpreter; routings must be equal.
#include "tests/codegen/cuda/CudaKernelCheck.h"

namespace moec::testing {
namespace {

struct GateCase {
  DType type;
  std::vector<int64_t> tokens; // of calls of one kernel
  int64_t width, experts, choices;
  ir::Priority priority;
  std::string capacity; // empty: none
};

void PrintTo(const GateCase& c, std::ostream* out) {
  *out << name(c.type) << ", D " << c.width << ", E " << c.experts << ", K " << c.choices << ", "
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

class GateCuda : public ::testing::TestWithParam<GateCase> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  const GateCase& c() const { return GetParam(); }
  /// From this many rows on by many blocks, so that a case's calls take both ways.
  ir::KernelOp finish(KernelMaker& maker, mlir::ValueRange results) {
    ir::KernelOp kernel = maker.finish("gate", results);
    reschedule(kernel, "one_block_rows", 100);
    return kernel;
  }
  CudaRun check(ir::KernelOp kernel, int64_t tokens, std::vector<Tensor> inputs = {}) {
    SCOPED_TRACE(::testing::Message() << "T " << tokens);
    return checkCuda(kernel, {.check = {.bindings = {{"t", tokens}}, .inputs = std::move(inputs), .terms = std::max<int64_t>(64, c().width)}});
  }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
};

TEST_P(GateCuda, softmaxOfAProductThenTopK) {
  KernelMaker maker(*context);
  mlir::Value x = maker.tensor(c().type, {"t", text(c().width)}), w = maker.tensor(c().type, {text(c().experts), text(c().width)});
  mlir::Value scores = maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(x, w), maker.tensor(c().type, {text(c().experts)}));
  ir::SelectOp top = select(maker, c(), maker.make<ir::SoftmaxOp>(scores));
  ir::KernelOp kernel = finish(maker, {assign(maker, c(), top.getIndices()), top.getValues()});
  // All tokens to the last experts, the others empty: scores in [-1, 1] and a bias.
  Tensor small = randomTensor(DType::F64, {c().experts, c().width}, 2), bias(DType::F64, {c().experts});
  for (double& weight : small.as<double>())
    weight /= static_cast<double>(c().width);
  for (int64_t i = c().experts - c().choices; i < c().experts; ++i)
    bias.as<double>()[static_cast<size_t>(i)] = 10;
  for (int64_t tokens : c().tokens) {
    CudaRun run = check(kernel, tokens);
    // Of the stage that has the arithmetic; a histogram's counters are where its rows send it.
    for (const emulator::KernelCounters& counters : run.counters)
      if (counters.kernel.ends_with("_scores"))
        for (const emulator::AccessCounters& access : counters.accesses)
          if (access.shared && access.instruction.starts_with("ld"))
            EXPECT_EQ(access.wavefronts, access.idealWavefronts) << "line " << access.sourceLine << ": " << access.instruction;
    check(kernel, tokens, {randomTensor(DType::F64, {tokens, c().width}, 1).cast(c().type), small.cast(c().type), bias.cast(c().type)});
  }
}

class GateCudaScores : public GateCuda {};

TEST_P(GateCudaScores, ofAnArgumentWithNanAndTies) {
  KernelMaker maker(*context);
  ir::SelectOp top = select(maker, c(), maker.tensor(c().type, {"t", text(c().experts)}));
  ir::KernelOp kernel = finish(maker, {assign(maker, c(), top.getIndices()), top.getValues()});
  for (int64_t tokens : c().tokens) {
    Tensor scores = randomTensor(DType::F64, {tokens, c().experts}, 1);
    int64_t i = 0;
    for (double& score : scores.as<double>()) {
      score = i % 7 == 3 ? std::numeric_limits<double>::quiet_NaN() : std::round(score * 2) / 2;
      ++i;
    }
    check(kernel, tokens, {scores.cast(c().type)});
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GateCudaScores,
                         ::testing::Values(GateCase{DType::F32, {150, 30, 0}, 0, 20, 3, ir::Priority::TokenMajor, "7"},
                                           GateCase{DType::F32, {33, 5}, 0, 512, 16, ir::Priority::ChoiceMajor, "3"},
                                           GateCase{DType::F64, {77, 1}, 0, 5, 2, ir::Priority::ChoiceMajor, ""},
                                           GateCase{DType::F64, {9, 40}, 0, 300, 4, ir::Priority::TokenMajor, "-4"}));

/// How (token, choice) rows meet experts, and which of them two masks keep.
struct Fill {
  const char* name;
  int32_t (*expert)(int64_t row, int64_t experts, double number); // number: drawn from [0, 1)
  bool (*first)(double number);
  bool (*second)(double number);
};

constexpr auto kAll = [](double) { return true; };
const Fill kFills[] = {
    {"manyToTheFirst",
     [](int64_t, int64_t experts, double number) {
       // -1 now and then, half of the others to the first expert.
       int64_t expert = static_cast<int64_t>(number * static_cast<double>(2 * experts + 1)) - 1;
       return static_cast<int32_t>(expert >= experts ? 0 : expert);
     },
     [](double number) { return number < 0.8; }, [](double number) { return number < 0.7; }},
    {"allToOne", [](int64_t, int64_t experts, double) { return static_cast<int32_t>(experts - 1); }, kAll, [](double number) { return number < 0.9; }},
    {"emptyExperts", [](int64_t row, int64_t experts, double) { return static_cast<int32_t>(row % 3 ? experts / 2 : 0); }, kAll, kAll},
    {"allDropped", [](int64_t, int64_t, double) { return -1; }, kAll, kAll},
    {"allMasked", [](int64_t row, int64_t experts, double) { return static_cast<int32_t>(row % experts); }, kAll, [](double) { return false; }},
};

TEST_P(GateCuda, indicesAndMasksOfArguments) {
  KernelMaker maker(*context);
  mlir::Value routing = assign(maker, c(), maker.tensor(DType::I32, {"t", text(c().choices)}));
  routing = maker.make<ir::DropOp>(routing, maker.tensor(DType::Bool, {"t", text(c().choices)}));
  routing = maker.make<ir::DropOp>(routing, maker.tensor(DType::Bool, {"t", text(c().choices)}));
  ir::KernelOp kernel = finish(maker, {routing});
  for (int64_t tokens : c().tokens)
    for (const Fill& fill : kFills) {
      SCOPED_TRACE(fill.name);
      Shape shape{tokens, c().choices};
      Tensor experts(DType::I32, shape), first(DType::Bool, shape), second(DType::Bool, shape);
      int64_t rows = tokens * c().choices;
      Tensor numbers = randomTensor(DType::F64, {rows, 3}, 3);
      for (int64_t i = 0; i < rows; ++i) {
        auto number = [&](int64_t j) { return (numbers.as<double>()[static_cast<size_t>(3 * i + j)] + 1) / 2; };
        size_t at = static_cast<size_t>(i);
        experts.as<int32_t>()[at] = fill.expert(i, c().experts, number(0));
        first.as<uint8_t>()[at] = fill.first(number(1));
        second.as<uint8_t>()[at] = fill.second(number(2));
      }
      check(kernel, tokens, {experts, first, second});
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, GateCuda,
                         ::testing::Values(GateCase{DType::F32, {1, 0, 130}, 4, 2, 1, ir::Priority::TokenMajor, ""},
                                           GateCase{DType::F32, {300, 1}, 32, 4, 2, ir::Priority::ChoiceMajor, "trunc(1.2*(t)/4)"},
                                           GateCase{DType::F32, {150, 30, 0}, 17, 20, 3, ir::Priority::TokenMajor, "7"},
                                           GateCase{DType::F32, {20, 61}, 8, 3, 3, ir::Priority::ChoiceMajor, "0"},
                                           GateCase{DType::F32, {33, 5}, 36, 512, 16, ir::Priority::ChoiceMajor, "3"},
                                           GateCase{DType::F32, {2500}, 5, 7, 2, ir::Priority::ChoiceMajor, "trunc(t/9)"},
                                           GateCase{DType::F64, {77, 1, 0}, 33, 5, 2, ir::Priority::ChoiceMajor, "10"},
                                           GateCase{DType::F64, {9, 40}, 130, 300, 4, ir::Priority::TokenMajor, "-4"},
                                           GateCase{DType::F32, {7, 61}, 22, 1024, 3, ir::Priority::TokenMajor, "5"},
                                           GateCase{DType::F64, {5}, 18, 1024, 3, ir::Priority::ChoiceMajor, ""}));

class GateCudaDraws : public GateCuda {};

TEST_P(GateCudaDraws, dropsByADrawAndGivesItsScores) {
  KernelMaker maker(*context);
  mlir::Value x = maker.tensor(c().type, {"t", text(c().width)}), w = maker.tensor(c().type, {text(c().experts), text(c().width)});
  mlir::Value scores = maker.make<ir::MatmulOp>(x, w);
  ir::SelectOp top = select(maker, c(), maker.make<ir::SoftmaxOp>(scores));
  mlir::Value uniform = draw(maker, top.getValues().getType(), ir::Distribution::Uniform, "gate.policy");
  mlir::Value keep = compare(maker, ir::Predicate::LT, uniform, top.getValues());
  mlir::Value routing = maker.make<ir::DropOp>(assign(maker, c(), top.getIndices()), keep);
  ir::KernelOp kernel = finish(maker, {top.getValues(), routing, top.getIndices(), scores});
  for (int64_t tokens : c().tokens)
    check(kernel, tokens);
}

INSTANTIATE_TEST_SUITE_P(Cases, GateCudaDraws,
                         ::testing::Values(GateCase{DType::F32, {300, 1}, 32, 4, 2, ir::Priority::ChoiceMajor, "trunc(1.2*(t)/4)"},
                                           GateCase{DType::F32, {150, 9}, 17, 20, 3, ir::Priority::TokenMajor, "7"},
                                           GateCase{DType::F64, {61, 1}, 40, 64, 8, ir::Priority::TokenMajor, ""}));

class GateCudaOnce : public ::testing::Test {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
};

TEST_F(GateCudaOnce, noisyScoresOfTwoProducts) {
  GateCase c{DType::F32, {45}, 12, 6, 2, ir::Priority::TokenMajor, ""};
  KernelMaker maker(*context);
  mlir::Value x = maker.tensor(c.type, {"t", "12"}), w = maker.tensor(c.type, {"6", "12"});
  mlir::Value clean = maker.make<ir::MatmulOp>(x, w), width = maker.make<ir::SoftplusOp>(maker.make<ir::MatmulOp>(x, maker.tensor(c.type, {"6", "12"})));
  mlir::Value noise = draw(maker, clean.getType(), ir::Distribution::Normal, "gate.noise");
  ir::SelectOp top = select(maker, c, maker.make<ir::AddOp>(clean, maker.make<ir::MulOp>(noise, width)));
  checkCuda(maker.finish("gate", {assign(maker, c, top.getIndices()), maker.make<ir::SoftmaxOp>(top.getValues())}), {.check = {.bindings = {{"t", 45}}}});
}

TEST_F(GateCudaOnce, secondChoicesDropAtRandom) {
  // GShard: a first choice stays, a second one where twice its weight is at least a draw.
  GateCase c{DType::F32, {100}, 24, 8, 2, ir::Priority::TokenMajor, "20"};
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
      GateCase c{DType::F32, {9001}, 4, 16, 3, priority, capacity};
      KernelMaker maker(*context);
      ir::SelectOp top = select(maker, c, maker.tensor(c.type, {"t", "16"}));
      mlir::Value routing = assign(maker, c, top.getIndices());
      if (*capacity)
        routing = maker.make<ir::DropOp>(routing, compare(maker, ir::Predicate::LT, top.getValues(), maker.tensor(c.type, {"1"})));
      CudaRun run = checkCuda(maker.finish("gate", {routing}), {.check = {.bindings = {{"t", 9001}}}});
      EXPECT_EQ(run.counters.size(), *capacity ? 5u : 3u);
    }
}

TEST_F(GateCudaOnce, launchesOfAFewRowsAreTwo) {
  GateCase c{DType::F32, {256}, 64, 8, 2, ir::Priority::TokenMajor, ""};
  KernelMaker maker(*context);
  mlir::Value x = maker.tensor(c.type, {"256", "64"}), w = maker.tensor(c.type, {"8", "64"});
  ir::SelectOp top = select(maker, c, maker.make<ir::SoftmaxOp>(maker.make<ir::MatmulOp>(x, w)));
  CudaRun run = checkCuda(maker.finish("gate", {assign(maker, c, top.getIndices()), top.getValues()}));
  EXPECT_EQ(run.counters.size(), 2u);
  EXPECT_LE(run.sectorRatio(), 1.15);
}

TEST_F(GateCudaOnce, scoresAlone) {
  KernelMaker maker(*context);
  mlir::Value scores = maker.make<ir::MatmulOp>(maker.tensor(DType::F32, {"7", "12"}), maker.tensor(DType::F32, {"40", "12"}));
  checkCuda(maker.finish("gate", {scores}));
}

TEST_F(GateCudaOnce, scoresInBf16) {
  GateCase c{DType::BF16, {30}, 0, 9, 2, ir::Priority::TokenMajor, "5"};
  KernelMaker maker(*context);
  ir::SelectOp top = select(maker, c, maker.tensor(c.type, {"30", "9"}));
  checkCuda(maker.finish("gate", {assign(maker, c, top.getIndices()), maker.make<ir::SoftmaxOp>(top.getValues())}));
}

} // namespace
} // namespace moec::testing
