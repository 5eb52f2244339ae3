// Owner of: CUDA kernels of kind `attention_grad`. Every result is held against the reference interpreter.
#include "tests/codegen/cuda/CudaKernelCheck.h"
#include "tests/runner/Combinations.h"

#include <cmath>

namespace moec::testing {
namespace {

struct Case {
  DType type;
  int64_t batch, queries, heads, headDim;
  bool causal;
};

std::string text(int64_t value) { return std::to_string(value); }

struct Operands {
  mlir::Value dy, q, k, v, bias, draws;
};

/// All gradients; `heads` of q share c.heads of k and v.
llvm::SmallVector<mlir::Value> gradients(KernelMaker& maker, const Case& c, const Operands& x, int64_t sharing = 1) {
  mlir::OpBuilder& b = maker.builder();
  auto op = ir::AttentionGradOp::create(b, maker.loc(), x.dy, x.q, x.k, x.v, x.bias, x.draws, b.getI64IntegerAttr(c.heads * sharing),
                                        sharing == 1 ? mlir::IntegerAttr() : b.getI64IntegerAttr(c.heads),
                                        b.getF64FloatAttr(1.5 / std::sqrt(static_cast<double>(c.headDim))), c.causal ? b.getUnitAttr() : mlir::UnitAttr(),
                                        x.draws ? b.getF64FloatAttr(0.3) : mlir::FloatAttr());
  return llvm::SmallVector<mlir::Value>(op->getResults());
}

class AttentionGradCuda : public ::testing::TestWithParam<Case> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
};
class AttentionGradCudaAlone : public ::testing::Test {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
};

TEST_P(AttentionGradCuda, slicesOfOneArgument) {
  const Case& c = GetParam();
  KernelMaker maker(*context);
  mlir::OpBuilder& b = maker.builder();
  int64_t inner = c.heads * c.headDim;
  mlir::Value dy = maker.tensor(c.type, {"batch", "n", text(inner)}), all = maker.tensor(c.type, {"batch", "n", text(3 * inner)});
  auto part = [&](int64_t i) { return maker.make<ir::SliceOp>(all, b.getI64IntegerAttr(2), b.getStringAttr(text(i * inner)), b.getStringAttr(text(inner))); };
  mlir::Value q = part(0), k = part(1), v = part(2);
  ir::KernelOp kernel = maker.finish("attention_grad", gradients(maker, c, {dy, q, k, v, {}, {}}));
  CudaRun run = checkCuda(kernel, {.check = {.bindings = {{"batch", c.batch}, {"n", c.queries}}, .terms = c.headDim + c.queries}});
  EXPECT_EQ(run.bankConflicts(), 0u);
}

/// By default a case has two of the four kernels, causal ones the other two: any two of causal, shared keys and one bias for all meet in every
/// type, by cases with two heads.
TEST_P(AttentionGradCuda, biasSharedKeysAndMoreKeysThanQueries) {
  const Case& c = GetParam();
  for (int64_t sharing : {1, 3})
    for (bool ofAllHeads : {false, true}) {
      if (!test::allCombinations() && ofAllHeads != (c.causal == (sharing == 3)))
        continue;
      SCOPED_TRACE(::testing::Message() << c.heads * sharing << " heads on " << c.heads << (ofAllHeads ? ", one bias" : ", a bias of each"));
      KernelMaker maker(*context);
      int64_t wide = c.heads * sharing * c.headDim, narrow = c.heads * c.headDim;
      Operands x{maker.tensor(c.type, {text(c.batch), "n", text(wide)}),
                 maker.tensor(c.type, {text(c.batch), "n", text(wide)}),
                 maker.tensor(c.type, {text(c.batch), "m", text(narrow)}),
                 maker.tensor(c.type, {text(c.batch), "m", text(narrow)}),
                 maker.tensor(c.type, {text(ofAllHeads ? 1 : c.heads * sharing), "n", "m"}),
                 {}};
      ir::KernelOp kernel = maker.finish("attention_grad", gradients(maker, c, x, sharing));
      for (auto [queries, keys] : {std::pair{c.queries, c.queries + 5}, {int64_t{1}, int64_t{1}}, {int64_t{1}, int64_t{67}}, {int64_t{0}, int64_t{3}}}) {
        SCOPED_TRACE(::testing::Message() << queries << " queries, " << keys << " keys");
        checkCuda(kernel, {.check = {.bindings = {{"n", queries}, {"m", keys}}, .terms = c.headDim + keys}});
      }
    }
}

// Where a bias leaves every key out, all scores are one number far from 0, and each key has the same share.
TEST_F(AttentionGradCudaAlone, keysThatAreAllLeftOutHaveEvenShares) {
  for (DType type : {DType::F32, DType::F64}) {
    SCOPED_TRACE(name(type));
    KernelMaker maker(*context);
    mlir::Value bias = maker.tensor(type, {"1", "5", "9"});
    mlir::Value dy = maker.tensor(type, {"2", "5", "8"}), q = maker.tensor(type, {"2", "5", "8"});
    mlir::Value k = maker.tensor(type, {"2", "9", "8"}), v = maker.tensor(type, {"2", "9", "8"});
    ir::KernelOp kernel = maker.finish("attention_grad", gradients(maker, {type, 2, 5, 1, 8, false}, {dy, q, k, v, bias, {}}));
    Tensor lowered = Tensor::of<double>(std::vector<double>(45, -1e30), {1, 5, 9}).cast(type);
    checkCuda(kernel, {.check = {.inputs = {lowered}, .terms = 17}});
  }
}

class AttentionGradCudaDropout : public AttentionGradCuda {};

/// By draws of the kernel's own and by those of an argument: by default of f32, which has two cases, both where it is not causal.
TEST_P(AttentionGradCudaDropout, dropout) {
  const Case& c = GetParam();
  for (bool given : {false, true}) {
    if (!test::allCombinations() && c.type == DType::F32 && given && c.causal)
      continue;
    SCOPED_TRACE(given ? "draws are an argument" : "draws are the kernel's");
    KernelMaker maker(*context);
    std::string wide = text(c.heads * 2 * c.headDim), narrow = text(c.heads * c.headDim), batch = text(c.batch), heads = text(2 * c.heads);
    Operands x{maker.tensor(c.type, {batch, "n", wide}),   maker.tensor(c.type, {batch, "n", wide}), maker.tensor(c.type, {batch, "m", narrow}),
               maker.tensor(c.type, {batch, "m", narrow}), maker.tensor(c.type, {heads, "n", "m"}),  {}};
    DType drawn = c.type == DType::F64 ? DType::F64 : DType::F32;
    x.draws = given ? maker.tensor(drawn, {batch, heads, "n", "m"}) : maker.draws(drawn, {batch, heads, "n", "m"});
    ir::KernelOp kernel = maker.finish("attention_grad", gradients(maker, c, x, 2));
    checkCuda(kernel, {.check = {.bindings = {{"n", c.queries}, {"m", c.queries + 5}}, .terms = c.headDim + c.queries}});
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, AttentionGradCudaDropout,
                         ::testing::Values(Case{DType::F32, 2, 65, 2, 64, false}, Case{DType::F32, 1, 70, 1, 33, true}, Case{DType::F64, 1, 50, 2, 13, true},
                                           Case{DType::BF16, 1, 40, 2, 13, true}));

INSTANTIATE_TEST_SUITE_P(Cases, AttentionGradCuda,
                         ::testing::Values(Case{DType::F32, 1, 1, 1, 1, false}, Case{DType::F32, 2, 65, 2, 64, false}, Case{DType::F32, 2, 17, 2, 20, true},
                                           Case{DType::F32, 1, 70, 1, 33, true}, Case{DType::F32, 1, 20, 1, 300, true}, Case{DType::F64, 1, 50, 2, 13, true},
                                           Case{DType::F64, 1, 37, 2, 130, false}, Case{DType::BF16, 2, 35, 2, 64, false},
                                           Case{DType::BF16, 1, 40, 2, 13, true}),
                         [](const auto& info) {
                           const Case& c = info.param;
                           return std::string(name(c.type)) + "_" + text(c.batch) + "x" + text(c.queries) + "_" + text(c.heads) + "x" + text(c.headDim) +
                                  (c.causal ? "_causal" : "");
                         });

class AttentionGradCudaOnce : public ::testing::Test {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
};

/// Only what is wanted is computed, in any order.
TEST_F(AttentionGradCudaOnce, someOfTheResults) {
  for (auto wanted : {std::vector<size_t>{2, 0}, {1}, {3}, {0}}) {
    KernelMaker maker(*context);
    auto tensor = [&] { return maker.tensor(DType::F32, {"1", "19", "16"}); };
    Operands x{tensor(), tensor(), tensor(), tensor(), maker.tensor(DType::F32, {"2", "19", "19"}), {}};
    llvm::SmallVector<mlir::Value> all = gradients(maker, {DType::F32, 1, 19, 2, 8, true}, x), some;
    for (size_t i : wanted)
      some.push_back(all[i]);
    checkCuda(maker.finish("attention_grad", some), {.check = {.terms = 35}});
  }
}

/// As columns of one result.
TEST_F(AttentionGradCudaOnce, joinedResults) {
  for (auto order : {std::vector<size_t>{0, 1, 2}, {2, 0, 1}}) {
    KernelMaker maker(*context);
    auto tensor = [&] { return maker.tensor(DType::F32, {"2", "19", "16"}); };
    llvm::SmallVector<mlir::Value> all = gradients(maker, {DType::F32, 2, 19, 2, 8, true}, {tensor(), tensor(), tensor(), tensor(), {}, {}}), parts;
    for (size_t i : order)
      parts.push_back(all[i]);
    checkCuda(maker.finish("attention_grad", {maker.make<ir::ConcatOp>(parts, maker.builder().getI64IntegerAttr(2))}), {.check = {.terms = 35}});
  }
}

TEST_F(AttentionGradCudaOnce, everySchedule) {
  for (auto [warps, rows, others, slices, stages] : {std::array<int64_t, 5>{4, 2, 32, 3, 3}, {2, 4, 32, 1, 2}, {1, 1, 64, 2, 4}, {8, 1, 32, 3, 2}}) {
    KernelMaker maker(*context);
    auto tensor = [&] { return maker.tensor(DType::F32, {"1", "70", "48"}); };
    Operands x{tensor(), tensor(), tensor(), tensor(), maker.tensor(DType::F32, {"1", "70", "70"}), {}};
    ir::KernelOp kernel = maker.finish("attention_grad", gradients(maker, {DType::F32, 1, 70, 1, 48, true}, x));
    mlir::Builder b(context.get());
    auto field = [&](const char* name, int64_t value) { return b.getNamedAttr(name, b.getI64IntegerAttr(value)); };
    kernel.setScheduleAttr(
        b.getDictionaryAttr({field("warps", warps), field("rows", rows), field("others", others), field("value_slices", slices), field("stages", stages)}));
    checkCuda(kernel, {.check = {.terms = 118}});
  }
}

/// Scores so large that weights are 0 or 1, and a query whose bias leaves it a single key.
TEST_F(AttentionGradCudaOnce, weightsOfZeroAndOne) {
  KernelMaker maker(*context);
  auto tensor = [&] { return maker.tensor(DType::F32, {"1", "40", "8"}); };
  mlir::Value bias = maker.tensor(DType::F32, {"1", "40", "40"});
  Operands x{tensor(), tensor(), tensor(), tensor(), bias, {}};
  ir::KernelOp kernel = maker.finish("attention_grad", gradients(maker, {DType::F32, 1, 40, 1, 8, false}, x));
  Tensor added = randomTensor(DType::F32, {1, 40, 40}, 7), queries = randomTensor(DType::F32, {1, 40, 8}, 8);
  for (size_t i = 0; i < 40; ++i)
    if (i != 11)
      added.as<float>()[5 * 40 + i] = -INFINITY;
  for (size_t i = 0; i < 8; ++i)
    queries.as<float>()[3 * 8 + i] *= 1e3f;
  checkCuda(kernel, {.check = {.inputs = {added, randomTensor(DType::F32, {1, 40, 8}, 9), queries}, .terms = 48}});
}

} // namespace
} // namespace moec::testing
