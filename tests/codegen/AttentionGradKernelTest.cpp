// Owner of: kernels of kind `attention_grad`. Every result is held against the reference interpreter.
#include "ir/reference/Evaluate.h"
#include "tests/codegen/ProductCheck.h"
#include "tests/runner/Combinations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <span>

namespace moec::testing {
namespace {

struct GradCase {
  DType type;
  int64_t batch, queries, keys, heads, headDim;
  bool causal;
  int64_t sharing = 1;
  int64_t biasHeads = 0; // 0: none, 1: one for all, else as many as heads
  enum Draws { None, Own, Given } draws = None;
  bool known = false; // the kernel knows how many queries and keys there are

  std::string n() const { return known ? std::to_string(queries) : "n"; }
  std::string m() const { return known ? std::to_string(keys) : "m"; }
};
void PrintTo(const GradCase& one, std::ostream* stream) {
  *stream << name(one.type) << " batch " << one.batch << " queries " << one.queries << " keys " << one.keys << " heads " << one.heads << " headDim "
          << one.headDim;
}

std::string text(int64_t value) { return std::to_string(value); }

ir::AttentionGradOp gradientOf(KernelMaker& maker, const GradCase& c, mlir::Value dy, mlir::Value q, mlir::Value k, mlir::Value v, mlir::Value bias = {},
                               mlir::Value draws = {}) {
  mlir::OpBuilder& b = maker.builder();
  mlir::IntegerAttr keyHeads = c.sharing > 1 ? b.getI64IntegerAttr(c.heads / c.sharing) : mlir::IntegerAttr();
  return ir::AttentionGradOp::create(b, maker.loc(), dy, q, k, v, bias, draws, b.getI64IntegerAttr(c.heads), keyHeads, b.getF64FloatAttr(0.37),
                                     c.causal ? b.getUnitAttr() : mlir::UnitAttr(), draws ? b.getF64FloatAttr(0.3) : mlir::FloatAttr());
}

class AttentionGradKernel : public ::testing::TestWithParam<GradCase> {};

TEST_P(AttentionGradKernel, allOfItsGradients) {
  const GradCase& c = GetParam();
  int64_t width = c.heads * c.headDim, keyWidth = width / c.sharing;
  std::vector<Tensor> inputs{randomTensor(c.type, {c.batch, c.queries, width}, 1), randomTensor(c.type, {c.batch, c.queries, width}, 2),
                             randomTensor(c.type, {c.batch, c.keys, 2 * keyWidth}, 3)};
  if (c.biasHeads)
    inputs.push_back(randomTensor(c.type, {c.biasHeads, c.queries, c.keys}, 4));
  DType drawn = c.type == DType::F64 ? DType::F64 : DType::F32;
  if (c.draws == GradCase::Given)
    inputs.push_back(reference::random(reference::Distribution::Uniform, drawn, {c.batch, c.heads, c.queries, c.keys}, {1, 2, 3}));
  expectReference(
      {[&](KernelMaker& maker, const Weights&) {
         mlir::OpBuilder& b = maker.builder();
         mlir::Value dy = maker.tensor(c.type, {"batch", c.n(), text(width)}), q = maker.tensor(c.type, {"batch", c.n(), text(width)});
         mlir::Value kv = maker.tensor(c.type, {"batch", c.m(), text(2 * keyWidth)});
         mlir::Value bias = c.biasHeads ? maker.tensor(c.type, {text(c.biasHeads), c.n(), c.m()}) : mlir::Value();
         std::vector<std::string> weights{"batch", text(c.heads), c.n(), c.m()};
         mlir::Value draws = c.draws == GradCase::Given ? maker.tensor(drawn, weights) : c.draws == GradCase::Own ? maker.draws(drawn, weights) : mlir::Value();
         auto part = [&](int64_t i) {
           return maker.make<ir::SliceOp>(kv, b.getI64IntegerAttr(2), b.getStringAttr(text(i * keyWidth)), b.getStringAttr(text(keyWidth)));
         };
         mlir::Value k = part(0), v = part(1);
         return maker.finish("attention_grad", gradientOf(maker, c, dy, q, k, v, bias, draws)->getResults());
       },
       inputs,
       -1,
       {{"batch", c.batch}, {"n", c.queries}, {"m", c.keys}},
       c.headDim + c.keys + c.queries * c.sharing});
}

INSTANTIATE_TEST_SUITE_P(
    Cases, AttentionGradKernel,
    ::testing::Values(
        GradCase{DType::F32, 1, 1, 1, 1, 1, false}, GradCase{DType::F32, 2, 65, 65, 2, 64, false}, GradCase{DType::F32, 1, 130, 130, 2, 40, true},
        GradCase{DType::F32, 2, 17, 29, 4, 20, true, 2}, GradCase{DType::F32, 3, 33, 40, 2, 16, false, 1, 2},
        GradCase{DType::F32, 2, 50, 61, 6, 13, true, 3, 6}, GradCase{DType::F32, 2, 26, 31, 4, 8, false, 2, 1}, GradCase{DType::F32, 1, 1, 200, 2, 32, true},
        GradCase{DType::F64, 2, 9, 9, 2, 8, false}, GradCase{DType::F64, 1, 110, 110, 4, 13, true}, GradCase{DType::F64, 3, 20, 23, 4, 5, true, 2, 1},
        GradCase{DType::BF16, 2, 65, 65, 2, 64, false}, GradCase{DType::BF16, 1, 50, 53, 4, 13, true, 2, 4},
        GradCase{DType::F32, 1, 1, 1, 1, 1, false, 1, 0, GradCase::Own}, GradCase{DType::F32, 2, 65, 65, 2, 64, false, 1, 0, GradCase::Own},
        GradCase{DType::F32, 2, 50, 61, 6, 13, true, 3, 6, GradCase::Own}, GradCase{DType::F32, 2, 50, 61, 6, 13, true, 3, 1, GradCase::Given},
        GradCase{DType::F64, 3, 20, 23, 4, 5, true, 2, 1, GradCase::Own}, GradCase{DType::F64, 1, 110, 110, 2, 13, false, 1, 0, GradCase::Given},
        GradCase{DType::BF16, 1, 50, 53, 4, 13, true, 2, 4, GradCase::Own}, GradCase{DType::BF16, 2, 35, 35, 2, 64, false, 1, 0, GradCase::Given},
        GradCase{DType::F32, 2, 65, 65, 2, 64, false, 1, 0, GradCase::None, true}, GradCase{DType::F32, 2, 50, 61, 6, 13, true, 3, 0, GradCase::Own, true},
        GradCase{DType::F64, 2, 110, 40, 4, 13, false, 2, 0, GradCase::Given, true}, GradCase{DType::BF16, 1, 50, 53, 4, 13, true, 2, 0, GradCase::Own, true},
        GradCase{DType::F32, 2, 30, 30, 2, 32, true}, GradCase{DType::F32, 2, 110, 96, 2, 16, false}, GradCase{DType::F64, 2, 51, 70, 4, 16, true, 2},
        GradCase{DType::F32, 2, 40, 117, 4, 20, true, 2, 0, GradCase::Own}, GradCase{DType::F32, 1, 100, 100, 4, 16, false, 2},
        GradCase{DType::BF16, 1, 120, 120, 2, 64, false}, GradCase{DType::F32, 2, 0, 5, 2, 16, false}, GradCase{DType::F32, 32, 130, 140, 2, 20, true},
        GradCase{DType::F32, 64, 70, 100, 2, 16, false, 2, 0, GradCase::Own}));

/// All of a head by one item, or stages for queries and keys, with keys that are multiplied by themselves and without: known before, known at a call, or as
/// the schedule's blocks have them. By default each way that a head is done has rows of it that are whole panels, whole vectors of 32 bytes, and neither; label
/// slow has all widths with all numbers of keys.
struct KnownKeys {
  int64_t keys, batch, headDim;
};
void PrintTo(const KnownKeys& one, std::ostream* stream) { *stream << one.keys << " keys, batch " << one.batch << ", headDim " << one.headDim; }
class KeysOfKnownSize : public ::testing::TestWithParam<KnownKeys> {};

enum Form { Unknown, Known, InBlocks };
constexpr Form kForms[] = {Unknown, Known, InBlocks};

/// The gradients of causal attention of 60 queries, two heads to each head of keys, in one of the forms. Of half of the keys the scores lie so far below the
/// first one's that their exponentials are about the smallest normal number.
std::vector<Tensor> gradientsOf(Form form, int64_t keyCount, int64_t batch, int64_t headDim, int64_t queryThatIsNoNumber = -1) {
  GradCase c{DType::F32, batch, 60, keyCount, 4, headDim, true, 2, 0, GradCase::Own, form != Unknown};
  bool isShort = keyCount <= 96 || (keyCount <= 256 && batch * 2 >= 64);
  auto context = makeContext();
  KernelMaker maker(*context);
  int64_t width = c.heads * c.headDim, keyWidth = width / c.sharing;
  std::vector<std::string> ofQueries{text(batch), c.n(), text(width)}, ofKeys{text(batch), c.m(), text(keyWidth)};
  mlir::Value dy = maker.tensor(c.type, ofQueries), q = maker.tensor(c.type, ofQueries), k = maker.tensor(c.type, ofKeys), v = maker.tensor(c.type, ofKeys);
  mlir::Value draws = maker.draws(c.type, {text(batch), text(c.heads), c.n(), c.m()});
  ir::KernelOp op = maker.finish("attention_grad", gradientOf(maker, c, dy, q, k, v, {}, draws)->getResults());
  if (form == InBlocks) {
    std::string error;
    mlir::NamedAttrList entries(codegen::makeEmitter(testTargets().back(), error)->chooseSchedule(op));
    entries.set("keys", mlir::Builder(&*context).getI64IntegerAttr(48));
    op.setScheduleAttr(entries.getDictionary(&*context));
  }
  LoadedKernel kernel(op);
  EXPECT_EQ(kernel.image().stages.size(), form == Unknown ? 4u : form == Known && isShort ? 1u : 3u);
  Shape queries{batch, c.queries, width}, keys{batch, c.keys, keyWidth};
  std::vector<Tensor> inputs{randomTensor(c.type, queries, 1), randomTensor(c.type, queries, 2), randomTensor(c.type, keys, 3), randomTensor(c.type, keys, 4)};
  float *ofQ = static_cast<float*>(inputs[1].data()), *ofK = static_cast<float*>(inputs[2].data());
  for (int64_t row = 0; row < batch * c.queries; ++row)
    for (int64_t column = 0; column < width; ++column) {
      if (column % headDim == 0)
        ofQ[row * width + column] = 10;
      if (row % c.queries == queryThatIsNoNumber)
        ofQ[row * width + column] = std::numeric_limits<float>::quiet_NaN();
    }
  for (int64_t row = 0; row < batch * c.keys; ++row)
    for (int64_t column = 0; column < keyWidth; column += headDim)
      ofK[row * keyWidth + column] = row % 2 ? -static_cast<float>(row % c.keys) / static_cast<float>(c.keys) - 23.5f : 0;
  Bindings sizes{{"n", c.queries}, {"m", c.keys}};
  if (form == Unknown)
    for (size_t stage = 0; stage < 4; ++stage)
      EXPECT_EQ(kernel.image().stages[stage].items.evaluate(sizes) > 0, (stage == 0) == isShort) << "stage " << stage;
  return kernel.run(inputs, {sizes, 7, 3});
}

/// All forms give the same bits. Of a query that is no number, keys that it does not see have nothing, in whatever vector they stand: dv; nor have other
/// queries: dq. What dk takes of it are zeros times what is no number, in the same places.
TEST_P(KeysOfKnownSize, changeNoBitsAndKeepAQueryThatIsNoNumberToWhatItSees) { // one case, whose kernels are compiled once
  auto [keys, batch, own] = GetParam();
  for (int64_t headDim : test::allCombinations() ? std::vector<int64_t>{16, 20, 24} : std::vector{own}) {
    std::vector<Tensor> expected = gradientsOf(Unknown, keys, batch, headDim);
    for (Form form : {Known, InBlocks}) {
      std::vector<Tensor> results = gradientsOf(form, keys, batch, headDim);
      for (size_t i = 0; i < results.size(); ++i)
        EXPECT_EQ(std::memcmp(expected[i].data(), results[i].data(), results[i].bytes()), 0) << "form " << form << ", result " << i;
    }

    constexpr int64_t query = 20;
    std::vector<std::vector<bool>> expectedPlaces;
    for (Form form : kForms) {
      std::vector<Tensor> results = gradientsOf(form, keys, batch, headDim, query);
      std::vector<std::vector<bool>> isNoNumber;
      for (size_t i = 0; i < results.size(); ++i) {
        const float* values = static_cast<const float*>(results[i].data());
        int64_t rows = i == 0 ? 60 : keys, width = headDim * (i == 0 ? 4 : 2);
        std::vector<bool>& here = isNoNumber.emplace_back();
        for (int64_t at = 0; at < batch * rows * width; ++at) {
          here.push_back(std::isnan(values[at]));
          int64_t row = at / width % rows;
          if (i != 1)
            ASSERT_EQ(here.back(), i == 0 ? row == query : row <= query + keys - 60) << "form " << form << ", result " << i << ", row " << row;
        }
      }
      EXPECT_TRUE(form == Unknown || isNoNumber == expectedPlaces) << "form " << form;
      expectedPlaces = isNoNumber;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AttentionGradKernels, KeysOfKnownSize,
                         ::testing::Values(KnownKeys{65, 3, 20}, KnownKeys{70, 3, 24}, KnownKeys{96, 3, 16}, KnownKeys{97, 3, 20}, KnownKeys{97, 3, 24},
                                           KnownKeys{131, 32, 24}, KnownKeys{131, 32, 16}, KnownKeys{256, 32, 20}, KnownKeys{257, 32, 16}));

/// Zeros times what no query sees are no zeros where it is not finite: schedules must not differ in which of them they add.
TEST(AttentionGradKernels, candidatesOfCausalOnesKeepBitsBeforeAKeyThatIsNoNumber) {
  GradCase c{DType::F32, 1, 50, 50, 2, 16, true, 1, 0, GradCase::None, true};
  auto context = makeContext();
  Shape shape{1, c.queries, c.heads * c.headDim};
  std::vector<Tensor> inputs;
  for (uint32_t i = 1; i <= 4; ++i)
    inputs.push_back(randomTensor(c.type, shape, i)); // dy, q, k, v
  for (int64_t i = 0; i < shape[2]; ++i)
    static_cast<float*>(inputs[2].data())[(c.keys - 1) * shape[2] + i] = std::numeric_limits<float>::quiet_NaN();
  std::string error;
  auto emitter = codegen::makeEmitter(testTargets().back(), error);
  ASSERT_TRUE(emitter) << error;
  mlir::DictionaryAttr model;
  std::vector<mlir::DictionaryAttr> schedules;
  auto resultsOf = [&](mlir::DictionaryAttr schedule) {
    KernelMaker maker(*context);
    std::vector<std::string> sizes{"1", c.n(), text(shape[2])};
    mlir::Value dy = maker.tensor(c.type, sizes), q = maker.tensor(c.type, sizes), k = maker.tensor(c.type, sizes), v = maker.tensor(c.type, sizes);
    ir::KernelOp op = maker.finish("attention_grad", gradientOf(maker, c, dy, q, k, v)->getResults());
    if (schedule) {
      op.setScheduleAttr(schedule);
    } else {
      model = emitter->chooseSchedule(op);
      schedules = emitter->candidates(op, model);
      mlir::NamedAttrList entries(model);
      entries.set("turn", mlir::Builder(&*context).getI64IntegerAttr(24));
      EXPECT_TRUE(emitter->refuse(op, entries.getDictionary(&*context)));
    }
    std::vector<Tensor> results = LoadedKernel(op).run(inputs, {});
    for (Tensor& result : results) // which NaN it is nobody promises
      for (float& value : std::span(static_cast<float*>(result.data()), static_cast<size_t>(shape[1] * shape[2])))
        value = std::isnan(value) ? std::numeric_limits<float>::quiet_NaN() : value;
    return results;
  };
  std::vector<Tensor> expected = resultsOf({});
  EXPECT_FALSE(schedules.empty());
  for (mlir::DictionaryAttr schedule : schedules) {
    std::vector<Tensor> results = resultsOf(schedule);
    for (size_t i = 0; i < results.size(); ++i)
      EXPECT_EQ(std::memcmp(results[i].data(), expected[i].data(), results[i].bytes()), 0) << "result " << i;
  }
}

/// Where known sizes forbid that one item does a head, there is no code for it; and never with a gradient of the bias, whose turns may be any.
TEST(AttentionGradKernels, noCodeForHeadsThatAreNeverShort) {
  std::string error;
  auto emitter = codegen::makeEmitter(testTargets().back(), error);
  ASSERT_TRUE(emitter) << error;
  auto imageOf = [&](std::string batch, std::string n, int64_t biasHeads = 0) {
    GradCase c{DType::F32, 1, 1, 1, 2, 16, true, 1, biasHeads};
    auto context = makeContext();
    KernelMaker maker(*context);
    std::vector<std::string> sizes{batch, n, "32"};
    mlir::Value dy = maker.tensor(c.type, sizes), q = maker.tensor(c.type, sizes), k = maker.tensor(c.type, sizes), v = maker.tensor(c.type, sizes);
    mlir::Value bias = biasHeads ? maker.tensor(c.type, {text(biasHeads), n, n}) : mlir::Value();
    ir::KernelOp op = maker.finish("attention_grad", gradientOf(maker, c, dy, q, k, v, bias)->getResults());
    mlir::NamedAttrList entries(emitter->chooseSchedule(op));
    entries.set("turn", mlir::Builder(&*context).getI64IntegerAttr(24));
    EXPECT_EQ(emitter->refuse(op, entries.getDictionary(&*context)).has_value(), n != "1025" && !biasHeads);
    return LoadedKernel(op).image();
  };
  codegen::KernelImage unknown = imageOf("batch", "1025"), known = imageOf("64", "1025");
  ASSERT_EQ(unknown.stages.size(), 3u);
  ASSERT_EQ(known.stages.size(), 3u);
  for (size_t stage : {0, 1, 2})
    EXPECT_EQ(unknown.stages[stage].scratchBytes, known.stages[stage].scratchBytes);
  EXPECT_EQ(imageOf("batch", "128").stages.size(), 4u);
  EXPECT_EQ(imageOf("batch", "50").stages.size(), 1u);
  EXPECT_EQ(imageOf("batch", "n").stages.size(), 4u);
  EXPECT_EQ(imageOf("batch", "50", 2).stages.size(), 3u);
}

/// q, k and v of one argument, and only some of the gradients.
TEST(AttentionGradKernels, givesTheGradientsThatAreAskedFor) {
  for (const std::vector<unsigned>& wanted : std::vector<std::vector<unsigned>>{{0}, {2, 1}, {1}, {2}, {2, 0, 1}}) {
    GradCase c{DType::F32, 2, 19, 19, 2, 12, false};
    c.known = wanted.size() == 1;
    int64_t inner = c.heads * c.headDim;
    expectReference({[&](KernelMaker& maker, const Weights&) {
                       mlir::OpBuilder& b = maker.builder();
                       mlir::Value all = maker.tensor(c.type, {"2", c.n(), text(3 * inner)}), dy = maker.tensor(c.type, {"2", c.n(), text(inner)});
                       auto part = [&](int64_t i) {
                         return maker.make<ir::SliceOp>(all, b.getI64IntegerAttr(2), b.getStringAttr(text(i * inner)), b.getStringAttr(text(inner)));
                       };
                       mlir::Value q = part(0), k = part(1), v = part(2);
                       auto op = gradientOf(maker, c, dy, q, k, v);
                       llvm::SmallVector<mlir::Value> results;
                       for (unsigned i : wanted)
                         results.push_back(op->getResult(i));
                       return maker.finish("attention_grad", results);
                     },
                     {randomTensor(c.type, {2, 19, 3 * inner}, 1), randomTensor(c.type, {2, 19, inner}, 2)},
                     -1,
                     {{"n", c.queries}},
                     c.headDim + 2 * c.queries});
  }
}

/// Gradients that are columns of one result, as their projection's gradient reads them; or two of them, and one apart.
TEST(AttentionGradKernels, joinsItsGradients) {
  struct Join {
    DType type;
    std::vector<unsigned> order;
    bool known;
    int64_t sharing;
  };
  for (const auto& [type, order, known, sharing] :
       {Join{DType::F32, {0, 1, 2}, true, 1}, {DType::F32, {2, 0, 1}, false, 2}, {DType::F64, {1, 2}, true, 2}, {DType::BF16, {0, 1, 2}, true, 1}}) {
    GradCase c{type, 2, 19, 19, 4, 16, true, sharing};
    c.known = known;
    int64_t inner = c.heads * c.headDim, keyInner = inner / c.sharing;
    expectReference({[&](KernelMaker& maker, const Weights&) {
                       auto tensor = [&](int64_t width) { return maker.tensor(c.type, {"2", c.n(), text(width)}); };
                       mlir::Value q = tensor(inner), k = tensor(keyInner), v = tensor(keyInner), dy = tensor(inner);
                       auto op = gradientOf(maker, c, dy, q, k, v);
                       llvm::SmallVector<mlir::Value> parts, results;
                       for (unsigned i : order)
                         parts.push_back(op->getResult(i));
                       results.push_back(maker.make<ir::ConcatOp>(parts, maker.builder().getI64IntegerAttr(2)));
                       if (order.size() == 2)
                         results.push_back(op->getResult(0));
                       return maker.finish("attention_grad", results);
                     },
                     {randomTensor(c.type, {2, 19, inner}, 1), randomTensor(c.type, {2, 19, keyInner}, 2), randomTensor(c.type, {2, 19, keyInner}, 3),
                      randomTensor(c.type, {2, 19, inner}, 4)},
                     -1,
                     {{"n", c.queries}},
                     c.headDim + 2 * c.queries});
  }
}

} // namespace
} // namespace moec::testing
