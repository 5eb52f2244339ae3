// Owner of: products by tiles. Their bits are held against a loop of what Intel's manual says of TDPBF16PS, computed by this machine's own flushing of
// denormals; panels in pairs against the reference; the code for machines with tiles is read, for not every machine has them.
#include "ir/reference/Evaluate.h"
#include "runtime/core/CpuTarget.h"
#include "tests/codegen/KernelCheck.h"
#include "tests/codegen/ProductCheck.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <xmmintrin.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <set>

namespace moec::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kSoft = "cpu:x86-64-v3+soft-tiles";
constexpr const char* kHardware = "cpu:x86-64-v4+amx";

/// Denormals are zeros, as operands and as results.
class Flushing {
public:
  Flushing() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
  ~Flushing() { _mm_setcsr(saved_); }

private:
  unsigned saved_;
};

float floatOf(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

/// The manual's sums of a (M, K) and w (N, K): (M, N) f32.
std::vector<float> manualProduct(const Tensor& a, const Tensor& w) {
  int64_t m = a.shape()[0], n = w.shape()[0], depth = a.shape()[1];
  auto *left = static_cast<const uint16_t*>(a.data()), *right = static_cast<const uint16_t*>(w.data());
  std::vector<float> result;
  Flushing flushing;
  for (int64_t row = 0; row < m; ++row)
    for (int64_t column = 0; column < n; ++column) {
      volatile float sum = 0, both = 0;
      for (int64_t k = 0; k < depth; k += 32) {
        volatile float even = 0, odd = 0;
        for (int64_t i = k; i < k + 32; i += 2) {
          even = std::fma(floatOf(left[row * depth + i]), floatOf(right[column * depth + i]), even);
          odd = std::fma(floatOf(left[row * depth + i + 1]), floatOf(right[column * depth + i + 1]), odd);
        }
        both = even + odd;
        sum = sum + both;
      }
      result.push_back(static_cast<float>(sum));
    }
  return result;
}

/// Random numbers, by rows: of usual sizes; so small that products are denormal; with a denormal, an infinity, a NaN or zeros of both signs among them.
Tensor withEdges(int64_t rows, int64_t depth, uint32_t seed, int period) {
  Tensor all = randomTensor(DType::F32, {rows, depth}, seed);
  auto values = all.as<float>();
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t k = 0; k < depth; ++k) {
      float& value = values[static_cast<size_t>(row * depth + k)];
      bool some = (k + row) % 29 == 3;
      switch (row % period) {
      case 1:
        value *= 0x1p-63F;
        break;
      case 2:
        value = some ? value * 0x1p-127F : value;
        break;
      case 3:
        value = some ? std::copysign(0.0F, value) : value * 0x1p-66F;
        break;
      case 4:
        value = k == 17 ? std::numeric_limits<float>::infinity() : value;
        break;
      case 5:
        value = k == depth - 2 ? std::numeric_limits<float>::quiet_NaN() : value;
        break;
      }
    }
  return all.cast(DType::BF16);
}

/// Sums of a product by tiles, as f32, of any number of rows.
ir::KernelOp productKernel(KernelMaker& maker, int64_t n, int64_t depth, int64_t nr) {
  auto text = [](int64_t value) { return std::to_string(value); };
  mlir::Value a = maker.tensor(DType::BF16, {"m", text(depth)}), panels = maker.tensor(DType::BF16, {text((n + nr - 1) / nr), text(depth), text(nr)});
  mlir::Value y = maker.make<ir::MatmulOp>(a, maker.make<ir::UnpackOp>(panels, n, true));
  return maker.finish("matmul", {maker.make<ir::CastOp>(y, mlir::TypeAttr::get(maker.builder().getF32Type()))});
}

/// Where bits differ, or nothing. One NaN is as good as another.
std::string difference(const Tensor& got, const std::vector<float>& want) {
  auto* values = static_cast<const float*>(got.data());
  for (size_t i = 0; i < want.size(); ++i)
    if (std::bit_cast<uint32_t>(values[i]) != std::bit_cast<uint32_t>(want[i]) && !(std::isnan(values[i]) && std::isnan(want[i])))
      return fmt::format("element {}: got {} ({:#x}), expected {} ({:#x})", i, values[i], std::bit_cast<uint32_t>(values[i]), want[i],
                         std::bit_cast<uint32_t>(want[i]));
  return {};
}

class TileProducts : public ::testing::TestWithParam<const char*> {
protected:
  void SetUp() override {
    if (auto missing = missingFeatures(GetParam()); !missing.empty())
      GTEST_SKIP() << fmt::format("[SKIP] {}: this machine lacks {}", GetParam(), fmt::join(missing, ", "));
    requestRegisters(GetParam());
  }
};

TEST_P(TileProducts, haveTheManualsBits) {
  struct Case {
    int64_t n, depth, nr;
  };
  // Panels of one tile and of two, with tails; one slice of the depth, several equal ones, and a shorter last one.
  for (auto [n, depth, nr] : {Case{16, 32, 16}, {21, 96, 16}, {70, 64, 32}, {33, 1056, 32}, {40, 1504, 16}}) {
    auto context = makeContext();
    KernelMaker maker(*context);
    LoadedKernel kernel(productKernel(maker, n, depth, nr), GetParam());
    Tensor w = withEdges(n, depth, 2, 4), panels = reference::pack(w, nr, true);
    for (int64_t m : {1, 15, 16, 17, 31, 32, 33, 270}) {
      Tensor a = withEdges(m, depth, 1, 6);
      std::vector<float> want = manualProduct(a, w);
      for (int threads : {1, 2})
        EXPECT_EQ(difference(kernel.run({a, panels}, {{{"m", m}}, 0, 0, threads})[0], want), "")
            << fmt::format("{} rows, {} columns in panels of {}, depth {}, {} threads", m, n, nr, depth, threads);
    }
  }
}

/// The one sum of a row of pairs (a, b), which stand at even places of the depth, and what the manual's loop has of it.
std::pair<float, float> sumOf(const char* target, const std::vector<std::pair<float, float>>& terms) {
  Tensor a(DType::F32, {1, 32}), w(DType::F32, {1, 32});
  std::ranges::fill(a.as<float>(), 0.0F);
  std::ranges::fill(w.as<float>(), 0.0F);
  for (size_t i = 0; i < terms.size(); ++i)
    std::tie(a.as<float>()[2 * i], w.as<float>()[2 * i]) = terms[i];
  a = a.cast(DType::BF16);
  w = w.cast(DType::BF16);
  auto context = makeContext();
  KernelMaker maker(*context);
  LoadedKernel kernel(productKernel(maker, 1, 32, 16), target);
  return {kernel.run({a, reference::pack(w, 16, true)}, {{{"m", 1}}})[0].as<float>()[0], manualProduct(a, w)[0]};
}

// Between the largest denormal and the smallest normal number: a result is small where it is so rounded to 24 bits, however small they are.
TEST_P(TileProducts, flushWhatRoundsToLessThanTheNormalNumbers) {
  using Pair = std::pair<float, float>;
  EXPECT_EQ(sumOf(GetParam(), {{0x1p-63F, 0x1p-63F}, {1.5F * 0x1p-75F, -0x1p-76F}}), Pair(0.0F, 0.0F));      // 2^-126 - 1.5 * 2^-151
  EXPECT_EQ(sumOf(GetParam(), {{0x1p-63F, 0x1p-63F}, {0x1p-75F, -0x1p-76F}}), Pair(0x1p-126F, 0x1p-126F));   // half a unit is to even
  EXPECT_EQ(sumOf(GetParam(), {{0x1p-63F, 0x1p-64F}, {0x1p-63F, 0x1p-64F}}), Pair(0.0F, 0.0F));              // half and half, each flushed
  EXPECT_EQ(sumOf(GetParam(), {{0x1p-62F, 0x1p-63F}, {-1.5F * 0x1p-63F, 0x1p-63F}}), Pair(0.0F, 0.0F));      // what is left
  EXPECT_EQ(sumOf(GetParam(), {{0x1p100F, 0x1p20F}, {-0x1p100F, 0x1p20F}, {2.0F, 3.0F}}), Pair(6.0F, 6.0F)); // far from it, on both sides
}

INSTANTIATE_TEST_SUITE_P(Targets, TileProducts, ::testing::Values(kSoft, kHardware),
                         [](const auto& info) { return std::string(info.param == std::string(kSoft) ? "soft" : "hardware"); });

//===--- experts ---===//

/// Rows of token t, of the first choice, by expert.
void expectExperts(const std::vector<int32_t>& experts) {
  int64_t tokens = static_cast<int64_t>(experts.size()), width = 64, hidden = 80;
  std::string t = std::to_string(tokens);
  Tensor routing = routingTensor(experts, 4, 1);
  int64_t kept = static_cast<const int32_t*>(routing.data())[4];
  expectReference({.write =
                       [&](KernelMaker& maker, const Weights& weights) {
                         mlir::Value x = maker.tensor(DType::BF16, {t, std::to_string(width)}), route = maker.routing(4, t, 1);
                         mlir::Value w = weights(maker, DType::BF16, {4, hidden, width});
                         mlir::Value y = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, route), w, route);
                         return maker.finish("expert_up", {maker.make<ir::GeluOp>(y)});
                       },
                   .inputs = {randomTensor(DType::BF16, {tokens, width}, 1), routing, randomTensor(DType::BF16, {4, hidden, width}, 2)},
                   .weights = 2,
                   .terms = width,
                   .rowsKept = kept,
                   .targets = {kSoft}});
  Tensor weights = randomTensor(DType::F32, {tokens, 1}, 4);
  expectReference({.write =
                       [&](KernelMaker& maker, const Weights& packed) {
                         mlir::Value rows = maker.tensor(DType::BF16, {t, std::to_string(width)}), route = maker.routing(4, t, 1);
                         mlir::Value w = packed(maker, DType::BF16, {4, hidden, width}), choice = maker.tensor(DType::F32, {t, "1"});
                         return maker.finish("expert_down", {maker.make<ir::CombineOp>(maker.make<ir::GroupedMatmulOp>(rows, w, route), route, choice)});
                       },
                   .inputs = {randomTensor(DType::BF16, {tokens, width}, 1), routing, randomTensor(DType::BF16, {4, hidden, width}, 2), weights},
                   .weights = 2,
                   .terms = width,
                   .targets = {kSoft}});
}

TEST(TileExperts, ofNoRowsOneRowAndMany) {
  expectExperts({2});
  std::vector<int32_t> experts(90, 3);
  experts[7] = 0;
  expectExperts(experts);
  experts.assign(5, -1);
  expectExperts(experts);
}

//===--- panels in pairs ---===//

TEST(PackInPairs, givesTheReferencesBits) {
  for (const std::string& target : testTargets()) {
    CheckOptions options{.exact = true, .target = target};
    auto packs = [&](const std::string& from, const std::string& before, const std::string& w, const std::string& panels, int nr) {
      check(parseKernel("pack", "%w: tensor<" + from + "xbf16>", "tensor<" + panels + "xbf16>",
                        fmt::format("{}%p = moe.pack {} nr {} pairs : tensor<{}xbf16>\n moe.yield %p : tensor<{}xbf16>", before, before.empty() ? "%w" : "%v",
                                    nr, w, panels)),
            options);
    };
    packs("37x64", "", "37x64", "2x64x32", 32);
    packs("3x21x70", "", "3x21x70", "3x2x70x16", 16);
    packs("40x6", "", "40x6", "2x6x32", 32);
    packs("2x34x21", "%v = moe.transpose %w [0, 2, 1] : tensor<2x34x21xbf16>\n ", "2x21x34", "2x2x34x16", 16);
    packs("50x40", "%v = moe.slice %w axis 0 from \"7\" size \"37\" : tensor<50x40xbf16>\n ", "37x40", "3x40x16", 16);
  }
}

//===--- what does not fit ---===//

std::string errorOf(const std::function<ir::KernelOp(KernelMaker&)>& write, const char* target, const std::string& changed = "", int64_t to = 0) {
  auto context = makeContext();
  KernelMaker maker(*context);
  ir::KernelOp kernel = write(maker);
  std::string error;
  auto schedule = codegen::makeEmitter(target, error)->chooseSchedule(kernel);
  mlir::NamedAttrList entries(schedule);
  if (!changed.empty())
    entries.set(changed, maker.builder().getI64IntegerAttr(to));
  kernel.setScheduleAttr(entries.getDictionary(context.get()));
  try {
    emitKernel(kernel, target);
  } catch (const std::runtime_error& problem) {
    return problem.what();
  }
  return "none";
}

TEST(TileErrors, nameWhatDoesNotFit) {
  auto product = [](KernelMaker& maker) { return productKernel(maker, 40, 96, 32); };
  EXPECT_EQ(errorOf(product, kSoft), "none");
  EXPECT_THAT(errorOf(product, "cpu:x86-64-v3"), HasSubstr("has panels in pairs and a schedule without tiles"));
  EXPECT_THAT(errorOf(product, "cpu:x86-64-v3", "tiles", 1), HasSubstr("cpu:x86-64-v3 has no tiles"));
  EXPECT_THAT(errorOf(product, kSoft, "tiles", 0), HasSubstr("does not fit into the registers"));
  EXPECT_THAT(errorOf(product, kSoft, "rows", 48), HasSubstr("a block of 48 x 32 is not one or two tiles high and wide"));
  EXPECT_THAT(errorOf(product, kSoft, "slice", 48), HasSubstr("slice 48 is not a multiple of the 32 that tiles are deep"));
  EXPECT_THAT(errorOf([](KernelMaker& maker) { return productKernel(maker, 40, 40, 32); }, kSoft), HasSubstr("panels in pairs and a schedule without tiles"));
}

TEST(TileErrors, aMachineWithoutTilesSaysSo) {
  if (missingFeatures(kHardware).empty())
    GTEST_SKIP() << "[SKIP] this machine has tiles";
  try {
    requestRegisters(kHardware);
    FAIL() << "the system gives registers that the machine lacks";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), HasSubstr("does not give this process the registers of tiles (AMX) that cpu:x86-64-v4+amx needs"));
  }
}

//===--- code for tiles ---===//

int count(const std::string& text, const std::string& word) {
  int found = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1))
    ++found;
  return found;
}

/// Products of each loop of one block, which goes back to itself.
std::multiset<int> productsOfLoops(const std::string& code) {
  std::multiset<int> found;
  for (size_t at = code.find("\n.LBB"); at != std::string::npos;) {
    size_t next = code.find("\n.LBB", at + 1);
    std::string block = code.substr(at + 1, next - at - 1), name = block.substr(0, block.find(':'));
    if (int products = count(block, "\ttdpbf16ps"); products > 0 && block.find("\t" + name + "\n") != std::string::npos)
      found.insert(products);
    at = next;
  }
  return found;
}

// Two bodies, of 32 rows and of 16. A spilled tile would be loaded or stored more often than that is written.
TEST(TileCode, keepsTilesInRegisters) {
  for (int64_t depth : {512, 1056}) {
    auto context = makeContext();
    KernelMaker maker(*context);
    ir::KernelOp kernel = productKernel(maker, 70, depth, 32);
    std::string error;
    auto emitter = codegen::makeEmitter(kHardware, error);
    kernel.setScheduleAttr(emitter->chooseSchedule(kernel));
    auto code = emitter->print(kernel, codegen::CodeText::Asm);
    ASSERT_TRUE(succeeded(code));
    EXPECT_EQ(productsOfLoops(*code), (std::multiset<int>{2, 4})) << *code;
    EXPECT_EQ(count(*code, "\ttdpbf16ps"), 6) << *code;
    EXPECT_EQ(count(*code, "\ttileloaddt1"), 3);
    EXPECT_EQ(count(*code, "\ttileloadd\t"), depth == 512 ? 4 : 10); // of panels; sums of the slices before
    EXPECT_EQ(count(*code, "\ttilezero"), 6);
    EXPECT_GE(count(*code, "\ttilestored"), 4);
    EXPECT_LE(count(*code, "\ttilestored"), 6); // one may be of both bodies
    EXPECT_EQ(count(*code, "\tldtilecfg"), 1);  // of one function
  }
}

} // namespace
} // namespace moec::testing
