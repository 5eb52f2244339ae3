// Owner of: kernels of the kinds `cached_attention` and `append`. Every result is held against the reference interpreter.
#include "ir/reference/Evaluate.h"
#include "tests/codegen/ProductCheck.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace moec::testing {
namespace {

std::string text(int64_t value) { return std::to_string(value); }

struct CachedCase {
  DType type;
  int64_t batch, tokens, position, context, heads, sharing, headDim;
};
void PrintTo(const CachedCase& one, std::ostream* stream) {
  *stream << name(one.type) << " batch " << one.batch << " tokens " << one.tokens << " position " << one.position << " context " << one.context << " heads "
          << one.heads << " sharing " << one.sharing << " headDim " << one.headDim;
}

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

class CachedAttentionKernel : public ::testing::TestWithParam<CachedCase> {};

/// New tokens' columns of one argument, as a projection leaves them; a bias of every head, of all, and none.
TEST_P(CachedAttentionKernel, newRowsBehindKeptOnes) {
  const CachedCase& c = GetParam();
  int64_t heads = c.heads * c.sharing, inner = heads * c.headDim, outer = c.heads * c.headDim;
  for (int64_t biasHeads : {int64_t(0), int64_t(1), heads}) {
    SCOPED_TRACE(::testing::Message() << "a bias of " << biasHeads << " heads");
    std::vector<Tensor> inputs{randomTensor(c.type, {c.batch, c.tokens, inner + 2 * outer}, 1), kept(c, 2), kept(c, 3), Tensor::of<int64_t>({c.position}, {})};
    if (biasHeads > 0) {
      Tensor bias = randomTensor(DType::F64, {biasHeads, c.tokens, c.context}, 4);
      auto numbers = bias.as<double>();
      for (int64_t i = 0; i < bias.elements(); ++i) // more keys than a block has, none of which counts
        if (biasHeads == 1 && c.position > 70 && i % c.context < 70)
          numbers[i] = -std::numeric_limits<double>::infinity();
      inputs.push_back(bias.cast(c.type));
    }
    expectReference({[&](KernelMaker& maker, const Weights&) {
                       mlir::OpBuilder& b = maker.builder();
                       mlir::Value all = maker.tensor(c.type, {text(c.batch), "n", text(inner + 2 * outer)});
                       std::vector<std::string> cache{text(c.batch), text(c.context), text(outer)};
                       mlir::Value keys = maker.tensor(c.type, cache), values = maker.tensor(c.type, cache), position = maker.tensor(DType::I64, {}), bias;
                       if (biasHeads > 0)
                         bias = maker.tensor(c.type, {text(biasHeads), "n", text(c.context)});
                       auto part = [&](int64_t start, int64_t size) {
                         return maker.make<ir::SliceOp>(all, b.getI64IntegerAttr(2), b.getStringAttr(text(start)), b.getStringAttr(text(size)));
                       };
                       mlir::Value q = part(0, inner), k = part(inner, outer), v = part(inner + outer, outer);
                       auto keyHeads = c.sharing > 1 ? b.getI64IntegerAttr(c.heads) : mlir::IntegerAttr();
                       mlir::Value y = ir::CachedAttentionOp::create(b, maker.loc(), q, k, v, keys, values, position, bias, b.getI64IntegerAttr(heads),
                                                                     keyHeads, b.getF64FloatAttr(0.37));
                       return maker.finish("cached_attention", {y});
                     },
                     inputs,
                     -1,
                     {{"n", c.tokens}},
                     c.headDim + c.position + c.tokens});
  }
}

/// A key that is no number, kept or new, makes rows none that see it, be they few or many, and no others.
TEST(CachedAttentionKernels, aKeyThatIsNoNumber) {
  constexpr int64_t position = 70, context = 100, width = 20;
  for (int64_t tokens : {3, 19}) {
    auto owner = makeContext();
    KernelMaker maker(*owner);
    mlir::OpBuilder& b = maker.builder();
    std::vector<std::string> fresh{"1", "n", text(width)}, cache{"1", text(context), text(width)};
    mlir::Value q = maker.tensor(DType::F32, fresh), k = maker.tensor(DType::F32, fresh), v = maker.tensor(DType::F32, fresh);
    mlir::Value keys = maker.tensor(DType::F32, cache), values = maker.tensor(DType::F32, cache), at = maker.tensor(DType::I64, {});
    mlir::Value y = ir::CachedAttentionOp::create(b, maker.loc(), q, k, v, keys, values, at, mlir::Value(), b.getI64IntegerAttr(1), mlir::IntegerAttr(),
                                                  b.getF64FloatAttr(0.37));
    LoadedKernel kernel(maker.finish("cached_attention", {y}));
    for (int64_t key : {int64_t(0), int64_t(20), position - 1, position, position + 1, position + tokens - 1}) {
      Shape shape{1, tokens, width};
      std::vector<Tensor> inputs{randomTensor(DType::F32, shape, 1), randomTensor(DType::F32, shape, 2), randomTensor(DType::F32, shape, 3)};
      for (uint32_t seed : {4, 5})
        inputs.push_back(randomTensor(DType::F32, {1, context, width}, seed));
      inputs.push_back(Tensor::of<int64_t>({position}, {}));
      bool isKept = key < position;
      inputs[isKept ? 3 : 1].as<float>()[static_cast<size_t>((isKept ? key : key - position) * width + 5)] = std::numeric_limits<float>::quiet_NaN();
      Tensor result = kernel.run(inputs, {{{"n", tokens}}})[0];
      for (int64_t token = 0; token < tokens; ++token)
        for (int64_t column = 0; column < width; ++column)
          EXPECT_EQ(std::isnan(result.as<float>()[static_cast<size_t>(token * width + column)]), position + token >= key)
              << tokens << " tokens, key " << key << ", token " << token;
    }
  }
}

TEST_P(CachedAttentionKernel, rowsOfTwoStatesInPlace) {
  const CachedCase& c = GetParam();
  int64_t width = c.heads * c.headDim;
  auto context = makeContext();
  KernelMaker maker(*context);
  mlir::OpBuilder& b = maker.builder();
  std::vector<std::string> cache{text(c.batch), text(c.context), text(width)};
  mlir::Value keys = maker.tensor(c.type, cache), values = maker.tensor(c.type, cache), position = maker.tensor(DType::I64, {});
  mlir::Value k = maker.tensor(c.type, {text(c.batch), "n", text(width)}), all = maker.tensor(c.type, {text(c.batch), "n", text(width + 3)});
  mlir::Value v = maker.make<ir::SliceOp>(all, b.getI64IntegerAttr(2), b.getStringAttr("3"), b.getStringAttr(text(width)));
  mlir::Value first = ir::AppendOp::create(b, maker.loc(), keys, k, position), second = ir::AppendOp::create(b, maker.loc(), values, v, position);
  LoadedKernel kernel(maker.finish("append", {first, second}));
  Tensor rows = randomTensor(c.type, {c.batch, c.tokens, width}, 1), wide = randomTensor(c.type, {c.batch, c.tokens, width + 3}, 4),
         at = Tensor::of<int64_t>({c.position}, {});
  std::vector<Tensor> expected{reference::append(kept(c, 2), rows, c.position), reference::append(kept(c, 3), reference::slice(wide, 2, 3, width), c.position)};
  for (int threads : {1, 3}) {
    Tensor ofKeys = kept(c, 2), ofValues = kept(c, 3);
    kernel.run({ofKeys, ofValues, at, rows, wide}, {ofKeys, ofValues}, {.bindings = {{"n", c.tokens}}, .threads = threads});
    EXPECT_EQ(std::memcmp(ofKeys.data(), expected[0].data(), ofKeys.bytes()), 0);
    EXPECT_EQ(std::memcmp(ofValues.data(), expected[1].data(), ofValues.bytes()), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CachedAttentionKernel,
                         ::testing::Values(CachedCase{DType::F32, 1, 1, 0, 1, 1, 1, 1}, CachedCase{DType::F32, 2, 1, 130, 200, 2, 1, 64},
                                           CachedCase{DType::F32, 2, 1, 70, 71, 3, 1, 20}, CachedCase{DType::F32, 1, 2, 64, 100, 2, 3, 16},
                                           CachedCase{DType::F32, 2, 37, 0, 64, 2, 1, 16}, CachedCase{DType::F32, 1, 70, 65, 300, 2, 2, 24},
                                           CachedCase{DType::F64, 2, 1, 33, 40, 2, 1, 8}, CachedCase{DType::F64, 1, 19, 7, 40, 2, 3, 13},
                                           CachedCase{DType::BF16, 2, 1, 66, 80, 2, 1, 64}, CachedCase{DType::BF16, 1, 30, 5, 70, 2, 2, 13}));

} // namespace
} // namespace moec::testing
