// Owner of: CUDA kernels of the kinds `cached_attention` and `append`. Every result is held against the reference interpreter.
#include "tests/codegen/cuda/CudaKernelCheck.h"
#include "tests/runner/Combinations.h"

#include <limits>

namespace moec::testing {
namespace {

struct CachedCase {
  DType type;
  int64_t batch, tokens, position, context, heads, sharing, headDim;
};
void PrintTo(const CachedCase& one, std::ostream* stream) {
  *stream << name(one.type) << " batch " << one.batch << " tokens " << one.tokens << " position " << one.position << " context " << one.context << " heads "
          << one.heads << " sharing " << one.sharing << " headDim " << one.headDim;
}

std::string text(int64_t value) { return std::to_string(value); }

/// Kept rows, and NaN behind them, which nobody may look at.
Tensor kept(const CachedCase& c, uint32_t seed) {
  int64_t width = c.heads * c.headDim;
  Tensor rows = randomTensor(DType::F64, {c.batch, c.context, width}, seed);
  auto values = rows.as<double>();
  for (int64_t i = 0; i < rows.elements(); ++i)
    if (i / width % c.context >= c.position)
      values[i] = std::numeric_limits<double>::quiet_NaN();
  return rows.cast(c.type);
}

class CachedAttentionCuda : public ::testing::TestWithParam<CachedCase> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
};

/// A bias of each head always: where heads share keys, it is what tells them apart. By default beside it either none or one of all heads: f32 has none where
/// each head has keys of its own, bf16 where heads share them; f64, which has one case, has both.
TEST_P(CachedAttentionCuda, newRowsBehindKeptOnes) {
  const CachedCase& c = GetParam();
  int64_t heads = c.heads * c.sharing, inner = heads * c.headDim, outer = c.heads * c.headDim;
  for (int64_t biasHeads : {int64_t(0), int64_t(1), heads}) {
    if (!test::allCombinations() && c.type != DType::F64 && biasHeads != heads && biasHeads != ((c.sharing > 1) == (c.type == DType::F32) ? 1 : 0))
      continue;
    SCOPED_TRACE(::testing::Message() << "a bias of " << biasHeads << " heads");
    KernelMaker maker(*context);
    mlir::OpBuilder& b = maker.builder();
    mlir::Value all = maker.tensor(c.type, {text(c.batch), "n", text(inner + 2 * outer)});
    std::vector<std::string> cache{text(c.batch), text(c.context), text(outer)};
    mlir::Value keys = maker.tensor(c.type, cache), values = maker.tensor(c.type, cache), position = maker.tensor(DType::I64, {}), bias;
    CudaOptions options{.check = {.bindings = {{"n", c.tokens}}, .terms = c.headDim + c.position + c.tokens}};
    options.check.inputs = {randomTensor(c.type, {c.batch, c.tokens, inner + 2 * outer}, 1), kept(c, 2), kept(c, 3), Tensor::of<int64_t>({c.position}, {})};
    if (biasHeads > 0) {
      bias = maker.tensor(c.type, {text(biasHeads), "n", text(c.context)});
      options.check.inputs.push_back(randomTensor(c.type, {biasHeads, c.tokens, c.context}, 4));
    }
    auto part = [&](int64_t start, int64_t size) {
      return maker.make<ir::SliceOp>(all, b.getI64IntegerAttr(2), b.getStringAttr(text(start)), b.getStringAttr(text(size)));
    };
    mlir::Value q = part(0, inner), k = part(inner, outer), v = part(inner + outer, outer);
    auto keyHeads = c.sharing > 1 ? b.getI64IntegerAttr(c.heads) : mlir::IntegerAttr();
    mlir::Value y =
        ir::CachedAttentionOp::create(b, maker.loc(), q, k, v, keys, values, position, bias, b.getI64IntegerAttr(heads), keyHeads, b.getF64FloatAttr(0.37));
    checkCuda(maker.finish("cached_attention", {y}), options);
  }
}

TEST_P(CachedAttentionCuda, rowsOfTwoStatesInPlace) {
  const CachedCase& c = GetParam();
  int64_t width = c.heads * c.headDim;
  KernelMaker maker(*context);
  mlir::OpBuilder& b = maker.builder();
  std::vector<std::string> cache{text(c.batch), text(c.context), text(width)};
  mlir::Value keys = maker.tensor(c.type, cache), values = maker.tensor(c.type, cache), position = maker.tensor(DType::I64, {});
  mlir::Value k = maker.tensor(c.type, {text(c.batch), "n", text(width)}), all = maker.tensor(c.type, {text(c.batch), "n", text(width + 3)});
  mlir::Value v = maker.make<ir::SliceOp>(all, b.getI64IntegerAttr(2), b.getStringAttr("3"), b.getStringAttr(text(width)));
  mlir::Value first = ir::AppendOp::create(b, maker.loc(), keys, k, position), second = ir::AppendOp::create(b, maker.loc(), values, v, position);
  CudaOptions options{.check = {.bindings = {{"n", c.tokens}}, .exact = true}};
  options.inPlace = {{0, 0}, {1, 1}};
  options.check.inputs = {randomTensor(c.type, {c.batch, c.context, width}, 5), randomTensor(c.type, {c.batch, c.context, width}, 6),
                          Tensor::of<int64_t>({c.position}, {}), randomTensor(c.type, {c.batch, c.tokens, width}, 1),
                          randomTensor(c.type, {c.batch, c.tokens, width + 3}, 4)};
  checkCuda(maker.finish("append", {first, second}), options);
}

INSTANTIATE_TEST_SUITE_P(Cases, CachedAttentionCuda,
                         ::testing::Values(CachedCase{DType::F32, 1, 1, 0, 1, 1, 1, 1}, CachedCase{DType::F32, 2, 1, 130, 200, 2, 1, 64},
                                           CachedCase{DType::F32, 1, 1, 70, 71, 1, 4, 20}, CachedCase{DType::F32, 1, 37, 65, 120, 2, 2, 24},
                                           CachedCase{DType::F64, 1, 19, 7, 40, 1, 3, 13}, CachedCase{DType::BF16, 2, 1, 66, 80, 2, 1, 64},
                                           CachedCase{DType::BF16, 1, 30, 5, 70, 1, 2, 13}));

} // namespace
} // namespace moec::testing
