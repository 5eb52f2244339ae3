// Owner of: kernels of kind `attention`. Every result is held against the reference interpreter.
#include "ir/reference/Evaluate.h"
#include "runtime/core/Philox.h"
#include "tests/codegen/ProductCheck.h"
#include "tests/runner/Combinations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace moec::testing {
namespace {

struct AttentionCase {
  DType type;
  int64_t batch, queries, heads, headDim;
  bool causal;
  bool known = false; // the kernel knows how many queries and keys there are

  std::string n() const { return known ? std::to_string(queries) : "n"; }
  std::string m(int64_t keys) const { return known ? std::to_string(keys) : "m"; }
};
void PrintTo(const AttentionCase& one, std::ostream* stream) {
  *stream << name(one.type) << " batch " << one.batch << " queries " << one.queries << " heads " << one.heads << " headDim " << one.headDim;
}

std::string text(int64_t value) { return std::to_string(value); }

mlir::Value attend(KernelMaker& maker, const AttentionCase& c, mlir::Value q, mlir::Value k, mlir::Value v) {
  mlir::OpBuilder& b = maker.builder();
  return ir::AttentionOp::create(b, maker.loc(), q, k, v, b.getI64IntegerAttr(c.heads), b.getF64FloatAttr(0.37), c.causal ? b.getUnitAttr() : mlir::UnitAttr());
}

class AttentionKernel : public ::testing::TestWithParam<AttentionCase> {};

TEST_P(AttentionKernel, slicesOfOneArgument) {
  const AttentionCase& c = GetParam();
  int64_t inner = c.heads * c.headDim;
  expectReference({[&](KernelMaker& maker, const Weights&) {
                     mlir::OpBuilder& b = maker.builder();
                     mlir::Value all = maker.tensor(c.type, {"batch", c.n(), text(3 * inner)});
                     auto part = [&](int64_t i) {
                       return maker.make<ir::SliceOp>(all, b.getI64IntegerAttr(2), b.getStringAttr(text(i * inner)), b.getStringAttr(text(inner)));
                     };
                     mlir::Value q = part(0), k = part(1), v = part(2);
                     return maker.finish("attention", {attend(maker, c, q, k, v)});
                   },
                   {randomTensor(c.type, {c.batch, c.queries, 3 * inner}, 1)},
                   -1,
                   {{"batch", c.batch}, {"n", c.queries}},
                   c.headDim + c.queries});
}

TEST_P(AttentionKernel, moreKeysThanQueries) {
  const AttentionCase& c = GetParam();
  int64_t inner = c.heads * c.headDim, keys = c.queries + 5;
  expectReference(
      {[&](KernelMaker& maker, const Weights&) {
         mlir::Value q = maker.tensor(c.type, {text(c.batch), c.n(), text(inner)});
         mlir::Value k = maker.tensor(c.type, {text(c.batch), c.m(keys), text(inner)}), v = maker.tensor(c.type, {text(c.batch), c.m(keys), text(inner)});
         return maker.finish("attention", {attend(maker, c, q, k, v)});
       },
       {randomTensor(c.type, {c.batch, c.queries, inner}, 1), randomTensor(c.type, {c.batch, keys, inner}, 2), randomTensor(c.type, {c.batch, keys, inner}, 3)},
       -1,
       {{"n", c.queries}, {"m", keys}},
       c.headDim + keys});
}

/// What hoist-slices makes of an attention that is read for some tokens: of a causal one the last.
TEST_P(AttentionKernel, fewQueriesHaveTheBitsThatTheyHaveAmongAll) {
  const AttentionCase& all = GetParam();
  int64_t inner = all.heads * all.headDim;
  auto context = makeContext();
  auto run = [&](const AttentionCase& c, const Tensor& queries, const Tensor& keys, const Tensor& values) {
    KernelMaker maker(*context);
    mlir::Value q = maker.tensor(c.type, {text(c.batch), c.n(), text(inner)});
    mlir::Value k = maker.tensor(c.type, {text(c.batch), all.m(all.queries), text(inner)}),
                v = maker.tensor(c.type, {text(c.batch), all.m(all.queries), text(inner)});
    ir::KernelOp kernel = maker.finish("attention", {attend(maker, c, q, k, v)});
    return LoadedKernel(kernel).run({queries, keys, values}, {{{"n", c.queries}, {"m", all.queries}}})[0].toDoubles();
  };
  auto part = [&](const std::vector<double>& of, int64_t first, int64_t count) {
    std::vector<double> rows;
    for (int64_t entry = 0; entry < all.batch; ++entry) {
      auto begin = of.begin() + (entry * all.queries + first) * inner;
      rows.insert(rows.end(), begin, begin + count * inner);
    }
    return rows;
  };
  Shape shape{all.batch, all.queries, inner};
  Tensor q = randomTensor(all.type, shape, 1), k = randomTensor(all.type, shape, 2), v = randomTensor(all.type, shape, 3);
  std::vector<double> whole = run(all, q, k, v);
  for (int64_t count : {int64_t{1}, (all.queries + 1) / 2}) {
    AttentionCase few = all;
    few.queries = count;
    int64_t first = all.causal ? all.queries - count : (all.queries - count) / 2;
    Tensor sliced = Tensor::of(part(q.toDoubles(), first, count), {all.batch, count, inner}).cast(all.type);
    EXPECT_EQ(run(few, sliced, k, v), part(whole, first, count)) << count << " queries";
  }
}

/// Heads that share keys, other tokens' keys, and a bias of each head or of all. By default a case has three of the six kernels, causal ones the other three.
TEST_P(AttentionKernel, biasAndSharedKeys) {
  const AttentionCase& c = GetParam();
  for (int64_t sharing : {1, 2, 3})
    for (bool ofAllHeads : {false, true}) {
      if (!test::allCombinations() && ofAllHeads != (c.causal == (sharing != 2)))
        continue;
      int64_t heads = c.heads * sharing, keys = c.queries + 3, biasHeads = ofAllHeads ? 1 : heads;
      SCOPED_TRACE(::testing::Message() << heads << " heads on " << c.heads << ", a bias of " << biasHeads);
      expectReference({[&](KernelMaker& maker, const Weights&) {
                         mlir::OpBuilder& b = maker.builder();
                         mlir::Value q = maker.tensor(c.type, {text(c.batch), c.n(), text(heads * c.headDim)});
                         mlir::Value kv = maker.tensor(c.type, {text(c.batch), c.m(keys), text(2 * c.heads * c.headDim)});
                         mlir::Value bias = maker.tensor(c.type, {text(biasHeads), c.n(), c.m(keys)});
                         auto part = [&](int64_t i) {
                           return maker.make<ir::SliceOp>(kv, b.getI64IntegerAttr(2), b.getStringAttr(text(i * c.heads * c.headDim)),
                                                          b.getStringAttr(text(c.heads * c.headDim)));
                         };
                         mlir::Value k = part(0), v = part(1);
                         mlir::Value y = ir::AttentionOp::create(b, maker.loc(), q, k, v, bias, b.getI64IntegerAttr(heads), b.getI64IntegerAttr(c.heads),
                                                                 b.getF64FloatAttr(0.37), c.causal ? b.getUnitAttr() : mlir::UnitAttr());
                         return maker.finish("attention", {y});
                       },
                       {randomTensor(c.type, {c.batch, c.queries, heads * c.headDim}, 1), randomTensor(c.type, {c.batch, keys, 2 * c.heads * c.headDim}, 2),
                        randomTensor(c.type, {biasHeads, c.queries, keys}, 3)},
                       -1,
                       {{"n", c.queries}, {"m", keys}},
                       c.headDim + keys});
    }
}

/// Dropout by draws of the kernel's own and by those of an argument, whose numbers are the same.
TEST_P(AttentionKernel, dropout) {
  const AttentionCase& c = GetParam();
  int64_t heads = 2 * c.heads, keys = c.queries + 3;
  DType drawn = c.type == DType::F64 ? DType::F64 : DType::F32;
  uint64_t seed = 0x123456789ab;
  Tensor draws = reference::random(reference::Distribution::Uniform, drawn, {c.batch, heads, c.queries, keys}, {seed, streamOf("test.draws"), 3});
  for (bool given : {false, true}) {
    SCOPED_TRACE(given ? "draws are an argument" : "draws are the kernel's");
    std::vector<Tensor> inputs{randomTensor(c.type, {c.batch, c.queries, heads * c.headDim}, 1), randomTensor(c.type, {c.batch, keys, c.heads * c.headDim}, 2),
                               randomTensor(c.type, {c.batch, keys, c.heads * c.headDim}, 3), randomTensor(c.type, {heads, c.queries, keys}, 4)};
    if (given)
      inputs.push_back(draws);
    expectReference({[&](KernelMaker& maker, const Weights&) {
                       mlir::OpBuilder& b = maker.builder();
                       mlir::Value q = maker.tensor(c.type, {text(c.batch), c.n(), text(heads * c.headDim)}),
                                   k = maker.tensor(c.type, {text(c.batch), c.m(keys), text(c.heads * c.headDim)});
                       mlir::Value v = maker.tensor(c.type, {text(c.batch), c.m(keys), text(c.heads * c.headDim)}),
                                   bias = maker.tensor(c.type, {text(heads), c.n(), c.m(keys)});
                       std::vector<std::string> sizes{text(c.batch), text(heads), c.n(), c.m(keys)};
                       mlir::Value used = given ? maker.tensor(drawn, sizes) : maker.draws(drawn, sizes);
                       mlir::Value y = ir::AttentionOp::create(b, maker.loc(), q, k, v, bias, used, b.getI64IntegerAttr(heads), b.getI64IntegerAttr(c.heads),
                                                               b.getF64FloatAttr(0.37), c.causal ? b.getUnitAttr() : mlir::UnitAttr(), b.getF64FloatAttr(0.3));
                       return maker.finish("attention", {y});
                     },
                     inputs,
                     -1,
                     {{"n", c.queries}, {"m", keys}},
                     c.headDim + keys,
                     -1,
                     seed,
                     3});
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, AttentionKernel,
                         ::testing::Values(AttentionCase{DType::F32, 1, 1, 1, 1, false}, AttentionCase{DType::F32, 2, 65, 2, 64, false},
                                           AttentionCase{DType::F32, 3, 17, 3, 20, true}, AttentionCase{DType::F32, 1, 130, 2, 40, true},
                                           AttentionCase{DType::F64, 2, 9, 2, 8, false}, AttentionCase{DType::F64, 1, 50, 4, 13, true},
                                           AttentionCase{DType::BF16, 2, 65, 2, 64, false}, AttentionCase{DType::BF16, 1, 50, 4, 13, true},
                                           AttentionCase{DType::F32, 2, 65, 2, 64, false, true}, AttentionCase{DType::F64, 1, 50, 4, 13, true, true},
                                           AttentionCase{DType::BF16, 2, 33, 2, 24, true, true}));

/// All of a head by one item, or its blocks by several.
TEST(AttentionKernels, knownSizesChangeNoBits) {
  for (bool causal : {false, true})
    for (int64_t queries : {65, 100}) {
      std::vector<Tensor> results;
      for (bool known : {false, true}) {
        AttentionCase c{DType::F32, 3, queries, 2, 24, causal, known};
        auto context = makeContext();
        KernelMaker maker(*context);
        std::vector<std::string> sizes{"3", c.n(), text(c.heads * c.headDim)};
        mlir::Value q = maker.tensor(c.type, sizes), k = maker.tensor(c.type, sizes), v = maker.tensor(c.type, sizes);
        LoadedKernel kernel(maker.finish("attention", {attend(maker, c, q, k, v)}));
        EXPECT_EQ(kernel.image().stages.size(), !known ? 3u : queries <= 96 ? 1u : 2u);
        Shape shape{3, c.queries, c.heads * c.headDim};
        Bindings bindings{{"n", c.queries}};
        results.push_back(kernel.run({randomTensor(c.type, shape, 1), randomTensor(c.type, shape, 2), randomTensor(c.type, shape, 3)}, {bindings})[0]);
        for (size_t stage = 0; !known && stage < 3; ++stage)
          EXPECT_EQ(kernel.image().stages[stage].items.evaluate(bindings) > 0, (stage == 0) == (queries <= 96)) << "stage " << stage;
      }
      EXPECT_EQ(std::memcmp(results[0].data(), results[1].data(), results[0].bytes()), 0) << (causal ? "causal" : "all") << ", " << queries << " queries";
    }
}

/// Few queries of few keys are one item's, and many are not.
TEST(AttentionKernels, whoDoesAHeadChangesNoBits) {
  constexpr int64_t keys = 65, few = 60, many = 200, width = 48;
  Tensor k = randomTensor(DType::F32, {1, keys, width}, 1), v = randomTensor(DType::F32, {1, keys, width}, 2);
  Tensor all = randomTensor(DType::F32, {1, many, width}, 3);
  std::vector<Tensor> results;
  for (int64_t queries : {few, many}) {
    AttentionCase c{DType::F32, 1, queries, 2, 24, false, true};
    auto context = makeContext();
    KernelMaker maker(*context);
    mlir::Value q = maker.tensor(c.type, {"1", c.n(), text(width)}), ks = maker.tensor(c.type, {"1", text(keys), text(width)}),
                vs = maker.tensor(c.type, {"1", text(keys), text(width)});
    LoadedKernel kernel(maker.finish("attention", {attend(maker, c, q, ks, vs)}));
    EXPECT_EQ(kernel.image().stages.size(), queries == few ? 1u : 2u);
    results.push_back(kernel.run({Tensor::borrow(all.data(), {1, queries, width}, c.type), k, v}, {})[0]);
  }
  EXPECT_EQ(std::memcmp(results[0].data(), results[1].data(), results[0].bytes()), 0);
}

/// A key that is no number makes rows none that see it, wherever it stands among the lanes, and no others.
TEST(AttentionKernels, aKeyThatIsNoNumber) {
  for (int64_t key : {0, 20, 47, 63, 64})
    for (bool causal : {false, true}) {
      AttentionCase c{DType::F32, 1, 65, 1, 24, causal, true};
      auto context = makeContext();
      KernelMaker maker(*context);
      std::vector<std::string> sizes{"1", c.n(), text(c.headDim)};
      mlir::Value q = maker.tensor(c.type, sizes), k = maker.tensor(c.type, sizes), v = maker.tensor(c.type, sizes);
      LoadedKernel kernel(maker.finish("attention", {attend(maker, c, q, k, v)}));
      Shape shape{1, c.queries, c.headDim};
      std::vector<Tensor> inputs{randomTensor(c.type, shape, 1), randomTensor(c.type, shape, 2), randomTensor(c.type, shape, 3)};
      static_cast<float*>(inputs[1].data())[key * c.headDim + 5] = std::numeric_limits<float>::quiet_NaN();
      Tensor result = kernel.run(inputs, {})[0];
      for (int64_t query = 0; query < c.queries; ++query)
        for (int64_t column = 0; column < c.headDim; ++column)
          EXPECT_EQ(std::isnan(static_cast<const float*>(result.data())[query * c.headDim + column]), !causal || query >= key)
              << "key " << key << ", query " << query;
    }
}

/// Weights of keys whose scores are far below the highest: those that are no normal numbers are nothing, or nearly.
template <class Number> void expectWeights(DType type, const std::vector<double>& below) {
  auto keys = static_cast<int64_t>(below.size());
  auto context = makeContext();
  KernelMaker maker(*context);
  mlir::OpBuilder& b = maker.builder();
  mlir::Value q = maker.tensor(type, {"1", "1", text(keys)}), k = maker.tensor(type, {"1", text(keys), text(keys)});
  mlir::Value v = maker.tensor(type, {"1", text(keys), text(keys)}), bias = maker.tensor(type, {"1", "1", text(keys)});
  LoadedKernel kernel(maker.finish("attention", {ir::AttentionOp::create(b, maker.loc(), q, k, v, bias, b.getI64IntegerAttr(1), b.getI64IntegerAttr(1),
                                                                         b.getF64FloatAttr(1), mlir::UnitAttr())}));
  std::vector<Tensor> inputs{Tensor(type, {1, 1, keys}), Tensor(type, {1, keys, keys}), Tensor(type, {1, keys, keys}), Tensor(type, {1, 1, keys})};
  for (Tensor& input : inputs)
    std::memset(input.data(), 0, input.bytes());
  double sum = 0;
  for (int64_t key = 0; key < keys; ++key) {
    inputs[2].as<Number>()[key * keys + key] = 1;
    inputs[3].as<Number>()[key] = static_cast<Number>(below[key]);
    sum += std::exp(below[key]);
  }
  Tensor result = kernel.run(inputs, {})[0];
  for (int64_t key = 0; key < keys; ++key) {
    double weight = std::exp(below[key]) / sum, least = std::numeric_limits<Number>::min(), got = result.as<Number>()[key];
    EXPECT_NEAR(got, weight, weight < least ? least : weight * 32 * std::numeric_limits<Number>::epsilon()) << name(type) << " " << below[key];
    if (below[key] < -1000)
      EXPECT_EQ(got, 0) << name(type) << " " << below[key];
  }
}
TEST(AttentionKernels, keysFarBelowTheHighest) {
  double none = -std::numeric_limits<double>::infinity();
  expectWeights<float>(DType::F32, {0, -1, -80, -87, -87.5, -88, -95, -104, -1e30, none, -5});
  expectWeights<double>(DType::F64, {0, -1, -600, -708, -708.8, -709.5, -720, -745, -1e300, none, -5});
}

/// Heads of one launch with their own or shared keys: one stage where an item is little work and stays in the cache.
TEST(AttentionKernels, oneItemDoesAHeadOfKeysWhereThatIsLittle) {
  auto stages = [](DType type, int64_t queries, int64_t keys, int64_t heads, int64_t keyHeads, int64_t headDim) {
    auto context = makeContext();
    KernelMaker maker(*context);
    mlir::OpBuilder& b = maker.builder();
    mlir::Value q = maker.tensor(type, {"1", text(queries), text(heads * headDim)}), k = maker.tensor(type, {"1", text(keys), text(keyHeads * headDim)});
    mlir::Value v = maker.tensor(type, {"1", text(keys), text(keyHeads * headDim)});
    mlir::Value y = ir::AttentionOp::create(b, maker.loc(), q, k, v, mlir::Value(), b.getI64IntegerAttr(heads), b.getI64IntegerAttr(keyHeads),
                                            b.getF64FloatAttr(0.37), mlir::UnitAttr());
    return LoadedKernel(maker.finish("attention", {y})).image().stages.size();
  };
  EXPECT_EQ(stages(DType::F32, 64, 64, 8, 8, 64), 1u);
  EXPECT_EQ(stages(DType::F32, 64, 64, 8, 4, 64), 1u);
  EXPECT_EQ(stages(DType::F32, 64, 64, 8, 1, 64), 2u) << "one item would do all heads";
  EXPECT_EQ(stages(DType::F32, 190, 96, 1, 1, 256), 1u);
  EXPECT_EQ(stages(DType::F64, 190, 96, 1, 1, 256), 2u) << "twice the bytes";
  EXPECT_EQ(stages(DType::F32, 128, 128, 64, 64, 32), 1u);
  EXPECT_EQ(stages(DType::F32, 128, 128, 60, 60, 32), 2u) << "much work, and few items of it";
  EXPECT_EQ(stages(DType::F32, 300, 300, 64, 64, 32), 2u) << "many keys";
}

/// Where known sizes forbid that one item does a head, there is no code for it, whatever else a call decides.
TEST(AttentionKernels, noCodeForHeadsThatAreNeverShort) {
  auto imageOf = [](std::string batch, std::string queries, int64_t keys, int64_t headDim) {
    auto context = makeContext();
    KernelMaker maker(*context);
    std::string width = text(2 * headDim);
    mlir::Value q = maker.tensor(DType::F32, {batch, queries, width}), k = maker.tensor(DType::F32, {batch, text(keys), width});
    mlir::Value v = maker.tensor(DType::F32, {batch, text(keys), width});
    AttentionCase c{DType::F32, 1, 1, 2, headDim, false};
    return LoadedKernel(maker.finish("attention", {attend(maker, c, q, k, v)})).image();
  };
  codegen::KernelImage unknown = imageOf("batch", "1025", 1025, 64), known = imageOf("64", "1025", 1025, 64);
  ASSERT_EQ(unknown.stages.size(), 2u);
  ASSERT_EQ(known.stages.size(), 2u);
  EXPECT_EQ(unknown.stages[1].scratchBytes, known.stages[1].scratchBytes);
  EXPECT_EQ(imageOf("batch", "n", 1025, 64).stages.size(), 2u);
  EXPECT_EQ(imageOf("batch", "1025", 64, 64).stages.size(), 2u);
  EXPECT_EQ(imageOf("batch", "n", 256, 2048).stages.size(), 2u) << "more keys than L2 holds";
  EXPECT_EQ(imageOf("8", "n", 128, 32).stages.size(), 2u) << "much work, and few items of it";
  EXPECT_EQ(imageOf("8", "n", 96, 32).stages.size(), 3u);
  EXPECT_EQ(imageOf("batch", "n", 128, 32).stages.size(), 3u);
}

/// Narrow panels end in fewer zeros; where a target's vectors are short, its loads ask for wide ones.
TEST(AttentionKernels, panelsAreOneVectorWhereVectorsAreLong) {
  auto context = makeContext();
  KernelMaker maker(*context);
  mlir::OpBuilder& b = maker.builder();
  mlir::Value q = maker.tensor(DType::F32, {"1", "n", "64"}), k = maker.tensor(DType::F32, {"1", "m", "64"}), v = maker.tensor(DType::F32, {"1", "m", "64"});
  mlir::Value y = ir::AttentionOp::create(b, maker.loc(), q, k, v, b.getI64IntegerAttr(2), b.getF64FloatAttr(0.37), mlir::UnitAttr());
  ir::KernelOp kernel = maker.finish("attention", {y});
  for (auto [target, nr] : {std::pair("cpu:x86-64-v2", 8), {"cpu:x86-64-v3", 16}, {"cpu:x86-64-v4", 16}}) {
    std::string error;
    auto schedule = codegen::makeEmitter(target, error)->chooseSchedule(kernel);
    EXPECT_EQ(schedule.getAs<mlir::IntegerAttr>("nr").getInt(), nr) << target;
  }
}

} // namespace
} // namespace moec::testing
