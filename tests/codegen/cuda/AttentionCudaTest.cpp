// Owner of: CUDA kernels of kind `attention`. Every result is held against the reference interpreter.
#include "tests/codegen/cuda/CudaKernelCheck.h"
#include "tests/runner/Combinations.h"

#include <cmath>

namespace moec::testing {
namespace {

struct AttentionCase {
  DType type;
  int64_t batch, queries, heads, headDim;
  bool causal;
};
void PrintTo(const AttentionCase& one, std::ostream* stream) {
  *stream << name(one.type) << " batch " << one.batch << " queries " << one.queries << " heads " << one.heads << " headDim " << one.headDim;
}

std::string text(int64_t value) { return std::to_string(value); }

mlir::Value attend(KernelMaker& maker, const AttentionCase& c, mlir::Value q, mlir::Value k, mlir::Value v) {
  mlir::OpBuilder& b = maker.builder();
  return ir::AttentionOp::create(b, maker.loc(), q, k, v, b.getI64IntegerAttr(c.heads), b.getF64FloatAttr(1.5 / std::sqrt(static_cast<double>(c.headDim))),
                                 c.causal ? b.getUnitAttr() : mlir::UnitAttr());
}

ir::KernelOp slicesOfOne(KernelMaker& maker, const AttentionCase& c, bool symbolic) {
  mlir::OpBuilder& b = maker.builder();
  int64_t inner = c.heads * c.headDim;
  mlir::Value all = maker.tensor(c.type, {symbolic ? "batch" : text(c.batch), symbolic ? "n" : text(c.queries), text(3 * inner)});
  auto part = [&](int64_t i) { return maker.make<ir::SliceOp>(all, b.getI64IntegerAttr(2), b.getStringAttr(text(i * inner)), b.getStringAttr(text(inner))); };
  mlir::Value q = part(0), k = part(1), v = part(2);
  return maker.finish("attention", {attend(maker, c, q, k, v)});
}

class AttentionCuda : public ::testing::TestWithParam<AttentionCase> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
  KernelMaker maker{*context};
};

TEST_P(AttentionCuda, slicesOfOneArgument) {
  const AttentionCase& c = GetParam();
  CudaRun run = checkCuda(slicesOfOne(maker, c, true), {.check = {.bindings = {{"batch", c.batch}, {"n", c.queries}}, .terms = c.headDim + c.queries}});
  EXPECT_EQ(run.bankConflicts(), 0u);
}

class AttentionCudaKeys : public AttentionCuda {};

TEST_P(AttentionCudaKeys, moreKeysThanQueries) {
  const AttentionCase& c = GetParam();
  int64_t inner = c.heads * c.headDim;
  mlir::Value q = maker.tensor(c.type, {text(c.batch), "n", text(inner)});
  mlir::Value k = maker.tensor(c.type, {text(c.batch), "m", text(inner)}), v = maker.tensor(c.type, {text(c.batch), "m", text(inner)});
  ir::KernelOp kernel = maker.finish("attention", {attend(maker, c, q, k, v)});
  for (auto [queries, keys] :
       {std::pair{c.queries, c.queries + 5}, {c.queries, c.queries}, {int64_t{1}, int64_t{1}}, {int64_t{1}, int64_t{67}}, {int64_t{0}, int64_t{3}}}) {
    SCOPED_TRACE(::testing::Message() << queries << " queries, " << keys << " keys");
    CudaRun run = checkCuda(kernel, {.check = {.bindings = {{"n", queries}, {"m", keys}}, .terms = c.headDim + keys}});
    EXPECT_EQ(run.bankConflicts(), 0u);
  }
}

/// Heads that share keys, other tokens' keys, and a bias of each head or of all. By default a case has two of the four kernels, causal ones the other two.
TEST_P(AttentionCudaKeys, biasAndSharedKeys) {
  const AttentionCase& c = GetParam();
  for (int64_t sharing : {1, 3})
    for (bool ofAllHeads : {false, true}) {
      if (!test::allCombinations() && ofAllHeads != (c.causal == (sharing == 3)))
        continue;
      mlir::OpBuilder& b = maker.builder();
      int64_t heads = c.heads * sharing;
      SCOPED_TRACE(::testing::Message() << heads << " heads on " << c.heads << (ofAllHeads ? ", one bias" : ", a bias of each"));
      KernelMaker own(*context);
      mlir::Value q = own.tensor(c.type, {text(c.batch), "n", text(heads * c.headDim)});
      mlir::Value k = own.tensor(c.type, {text(c.batch), "m", text(c.heads * c.headDim)}),
                  v = own.tensor(c.type, {text(c.batch), "m", text(c.heads * c.headDim)});
      mlir::Value bias = own.tensor(c.type, {text(ofAllHeads ? 1 : heads), "n", "m"});
      mlir::Value y =
          ir::AttentionOp::create(own.builder(), own.loc(), q, k, v, bias, b.getI64IntegerAttr(heads), b.getI64IntegerAttr(c.heads),
                                  b.getF64FloatAttr(1.5 / std::sqrt(static_cast<double>(c.headDim))), c.causal ? b.getUnitAttr() : mlir::UnitAttr());
      ir::KernelOp kernel = own.finish("attention", {y});
      CudaRun run = checkCuda(kernel, {.check = {.bindings = {{"n", c.queries}, {"m", c.queries + 5}}, .terms = c.headDim + c.queries}});
      EXPECT_EQ(run.bankConflicts(), 0u);
    }
}

/// By draws of the kernel's own and by those of an argument; with and without a bias by the same choice.
TEST_P(AttentionCudaKeys, dropout) {
  const AttentionCase& c = GetParam();
  for (bool given : {false, true})
    for (bool biased : {false, true}) {
      if (!test::allCombinations() && biased != (c.causal == given))
        continue;
      SCOPED_TRACE(::testing::Message() << (given ? "draws are an argument" : "draws are the kernel's") << (biased ? ", a bias" : ""));
      KernelMaker own(*context);
      mlir::OpBuilder& b = own.builder();
      DType drawn = c.type == DType::F64 ? DType::F64 : DType::F32;
      std::string narrow = text(c.heads * c.headDim);
      std::vector<std::string> weights{text(c.batch), text(2 * c.heads), "n", "m"};
      mlir::Value q = own.tensor(c.type, {text(c.batch), "n", text(2 * c.heads * c.headDim)}), k = own.tensor(c.type, {text(c.batch), "m", narrow});
      mlir::Value v = own.tensor(c.type, {text(c.batch), "m", narrow}), bias = biased ? own.tensor(c.type, {"1", "n", "m"}) : mlir::Value();
      mlir::Value draws = given ? own.tensor(drawn, weights) : own.draws(drawn, weights);
      mlir::Value y = ir::AttentionOp::create(b, own.loc(), q, k, v, bias, draws, b.getI64IntegerAttr(2 * c.heads), b.getI64IntegerAttr(c.heads),
                                              b.getF64FloatAttr(1.5 / std::sqrt(static_cast<double>(c.headDim))), c.causal ? b.getUnitAttr() : mlir::UnitAttr(),
                                              b.getF64FloatAttr(0.3));
      CudaOptions options{.check = {.bindings = {{"n", c.queries}, {"m", c.queries + 5}}, .terms = c.headDim + c.queries}};
      checkCuda(own.finish("attention", {y}), options);
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, AttentionCudaKeys,
                         ::testing::Values(AttentionCase{DType::F32, 3, 17, 3, 20, true}, AttentionCase{DType::F32, 2, 63, 2, 33, false},
                                           AttentionCase{DType::F64, 1, 50, 4, 13, true}, AttentionCase{DType::BF16, 1, 19, 2, 24, true}));

INSTANTIATE_TEST_SUITE_P(Cases, AttentionCuda,
                         ::testing::Values(AttentionCase{DType::F32, 1, 1, 1, 1, false}, AttentionCase{DType::F32, 2, 65, 2, 64, false},
                                           AttentionCase{DType::F32, 3, 17, 3, 20, true}, AttentionCase{DType::F32, 1, 130, 2, 40, true},
                                           AttentionCase{DType::F32, 2, 63, 1, 33, false}, AttentionCase{DType::F32, 1, 37, 1, 300, true},
                                           AttentionCase{DType::F64, 2, 9, 2, 8, false}, AttentionCase{DType::F64, 1, 50, 4, 13, true},
                                           AttentionCase{DType::F64, 1, 127, 1, 64, false}, AttentionCase{DType::F64, 1, 20, 1, 500, true},
                                           AttentionCase{DType::BF16, 2, 65, 2, 64, false}, AttentionCase{DType::BF16, 1, 50, 4, 13, true},
                                           AttentionCase{DType::BF16, 1, 20, 1, 500, true}));

class AttentionCudaOnce : public ::testing::Test {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
};

/// Every form of a block that the cost model may choose.
TEST_F(AttentionCudaOnce, everySchedule) {
  for (auto [warps, rows, keys, slices, stages] :
       {std::array<int64_t, 5>{4, 4, 64, 3, 3}, {4, 2, 32, 2, 2}, {2, 4, 32, 1, 4}, {2, 1, 64, 3, 3}, {1, 1, 32, 2, 3}}) {
    KernelMaker maker(*context);
    ir::KernelOp kernel = slicesOfOne(maker, {DType::F32, 1, 70, 2, 48, true}, false);
    mlir::Builder b(context.get());
    auto field = [&](const char* name, int64_t value) { return b.getNamedAttr(name, b.getI64IntegerAttr(value)); };
    kernel.setScheduleAttr(
        b.getDictionaryAttr({field("warps", warps), field("rows", rows), field("keys", keys), field("value_slices", slices), field("stages", stages)}));
    CudaRun run = checkCuda(kernel, {.check = {.terms = 118}});
    EXPECT_EQ(run.bankConflicts(), 0u);
  }
}

TEST_F(AttentionCudaOnce, largeAndInfiniteScoresAsTheReference) {
  // Rows of q: ordinary; huge, so that weights are 0 or 1; -inf against positive keys; one NaN; one +inf.
  KernelMaker maker(*context);
  AttentionCase c{DType::F32, 1, 5, 1, 4, false};
  mlir::Value q = maker.tensor(c.type, {"1", "5", "4"}), k = maker.tensor(c.type, {"1", "70", "4"}), v = maker.tensor(c.type, {"1", "70", "4"});
  ir::KernelOp kernel = maker.finish("attention", {attend(maker, c, q, k, v)});
  Tensor queries = randomTensor(c.type, {1, 5, 4}, 1), keys = randomTensor(c.type, {1, 70, 4}, 2);
  for (float& key : keys.as<float>())
    key = std::abs(key) + 0.01f;
  std::span<float> at = queries.as<float>();
  for (int i = 0; i < 4; ++i) {
    at[4 + i] *= 1e4f;
    at[8 + i] = -INFINITY;
  }
  at[12] = NAN;
  at[16] = INFINITY;
  checkCuda(kernel, {.check = {.inputs = {queries, keys}, .terms = 74}});
}

} // namespace
} // namespace moec::testing
