// Owner of: weights that are kept in another form than the model's. Packing gives the reference's bits; products by what was packed are held against the
// reference's of the same codes.
#include "codegen/cpu/KernelBuilder.h"
#include "runtime/core/WeightsAs.h"
#include "tests/codegen/KernelCheck.h"
#include "tests/codegen/ProductCheck.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

namespace moec::testing {
namespace {

/// Random numbers; some groups of zeros, some with numbers that are none, very large and very small ones.
Tensor weightsWithEdges(const Shape& shape) {
  Tensor w = randomTensor(DType::F32, shape, 11);
  auto values = w.as<float>();
  for (size_t i = 0; i < values.size(); ++i)
    values[i] *= std::ldexp(1.0F, static_cast<int>(i / 32 % 60) * 4 - 140); // a group is of one magnitude, the smallest below any scale
  for (size_t i = values.size() / 2; i < values.size() / 2 + 70 && i < values.size(); ++i)
    values[i] = 0;
  values[3] = std::numeric_limits<float>::quiet_NaN();
  values[values.size() - 1] = -std::numeric_limits<float>::infinity();
  values[values.size() / 3] = std::numeric_limits<float>::max();
  return w;
}

TEST(PackConverted, givesTheReferencesBits) {
  struct Case {
    const char *from, *codes, *scales;
    Shape shape;
    int nr, group;
  };
  // Tails of rows, of the depth and of groups; a group longer than the depth; experts.
  for (const Case& c : {Case{"16x64", "2x64x8", "2x2x8", {16, 64}, 8, 32}, Case{"37x100", "3x100x16", "3x4x16", {37, 100}, 16, 32},
                        Case{"3x21x70", "3x2x70x16", "3x2x9x16", {3, 21, 70}, 16, 8}, Case{"5x40", "1x40x32", "1x1x32", {5, 40}, 32, 4096}})
    for (const std::string& target : testTargets()) {
      if (codegen::cpu::findTarget(target)->vectorBytes == 64 && c.nr % 16 != 0)
        continue; // narrower than a vector: no schedule has such panels
      CheckOptions options;
      options.exact = true;
      options.target = target;
      options.inputs = {weightsWithEdges(c.shape)};
      options.block = c.nr == 8 ? 1 : 0;
      check(parseKernel("pack", fmt::format("%w: tensor<{}xf32>", c.from), fmt::format("tensor<{}xui8>, tensor<{}xbf16>", c.codes, c.scales),
                        fmt::format(
                            R"(%c, %s = moe.quantize %w group {0} : tensor<{1}xf32>
    %p = moe.pack %c nr {2} : tensor<{1}xui8>
    %q = moe.pack %s nr {2} : tensor<{3}xbf16>
    moe.yield %p, %q : tensor<{4}xui8>, tensor<{5}xbf16>)",
                            c.group, c.from, c.nr,
                            [&] {
                              std::string rows(c.from, std::string_view(c.from).rfind('x'));
                              return fmt::format("{}x{}", rows, (c.shape.back() + c.group - 1) / c.group);
                            }(),
                            c.codes, c.scales)),
            options);
      check(parseKernel("pack", fmt::format("%w: tensor<{}xf32>", c.from), fmt::format("tensor<{}xbf16>", c.codes),
                        fmt::format("%b = moe.cast %w to bf16 : tensor<{0}xf32>\n %p = moe.pack %b nr {1} : tensor<{0}xbf16>\n"
                                    " moe.yield %p : tensor<{2}xbf16>",
                                    c.from, c.nr, c.codes)),
            options);
    }
}

/// Rows of a matrix: those of one part of a joined projection.
TEST(PackConverted, packsRowsOfAMatrix) {
  for (const std::string& target : testTargets()) {
    CheckOptions options;
    options.exact = true;
    options.target = target;
    options.inputs = {weightsWithEdges({50, 40})};
    std::string rows = "%r = moe.slice %w axis 0 from \"7\" size \"37\" : tensor<50x40xf32>\n ";
    check(parseKernel("pack", "%w: tensor<50x40xf32>", "tensor<3x40x16xf32>",
                      rows + "%p = moe.pack %r nr 16 : tensor<37x40xf32>\n moe.yield %p : tensor<3x40x16xf32>"),
          options);
    check(
        parseKernel("pack", "%w: tensor<50x40xf32>", "tensor<3x40x16xbf16>",
                    rows + "%b = moe.cast %r to bf16 : tensor<37x40xf32>\n %p = moe.pack %b nr 16 : tensor<37x40xbf16>\n moe.yield %p : tensor<3x40x16xbf16>"),
        options);
  }
}

const WeightsAs kForms[] = {{WeightsAs::Kind::BF16, 0}, {WeightsAs::Kind::Int8, 32}, {WeightsAs::Kind::Int8, 8}, {WeightsAs::Kind::Int8, 4096}};

std::string text(int64_t value) { return std::to_string(value); }

void expectProduct(const WeightsAs& as, int64_t m, int64_t n, int64_t k) {
  SCOPED_TRACE(fmt::format("{}: {} x {} x {}", as.str(), m, n, k));
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value a = maker.tensor(DType::F32, {"m", text(k)}), w = weights(maker, DType::F32, {n, k}),
                                 bias = maker.tensor(DType::F32, {text(n)});
                     return maker.finish("matmul", {maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(a, w), bias)});
                   },
                   {randomTensor(DType::F32, {m, k}, 1), randomTensor(DType::F32, {n, k}, 2), randomTensor(DType::F32, {n}, 3)},
                   1,
                   {{"m", m}},
                   k,
                   -1,
                   5,
                   3,
                   as});
}

// Every count of few rows, blocks and what is left of them; tails of columns and groups; a depth of several slices.
TEST(ProductsOfConvertedWeights, agreeWithTheReference) {
  for (const WeightsAs& as : kForms) {
    for (int64_t m : {1, 2, 3, 4, 17})
      expectProduct(as, m, 117, 100);
    for (int64_t m : {2, 30})
      expectProduct(as, m, 37, 2104);
    expectProduct(as, 1, 3, 5);
  }
}

/// A product of rows (m, k) by panels of a form, and the panels: any numbers. `together`: an item of few rows has so many panels; else there are 64 columns.
struct ProductOfPanels {
  ir::KernelOp kernel;
  std::vector<Tensor> panels;
  int64_t n = 64;

  ProductOfPanels(KernelMaker& plain, KernelMaker& packed, const std::string& target, const std::optional<WeightsAs>& as, int64_t k = 100,
                  std::optional<int64_t> together = {}) {
    auto write = [&](KernelMaker& maker, const Weights& weights) {
      mlir::Value a = maker.tensor(DType::F32, {"m", text(k)}), w = weights(maker, DType::F32, {n, k});
      return maker.finish("matmul", {maker.make<ir::MatmulOp>(a, w)});
    };
    std::string error;
    auto emitter = codegen::makeEmitter(target, error);
    int64_t nr = emitter->chooseSchedule(write(plain, Weights(std::nullopt))).getAs<mlir::IntegerAttr>("nr").getInt();
    n = together ? *together * 8 * nr : n; // there are eight items at least
    kernel = write(packed, Weights(nr, as));
    if (together) {
      mlir::NamedAttrList schedule(emitter->chooseSchedule(kernel));
      schedule.set("panels", packed.builder().getI64IntegerAttr(*together));
      kernel.setScheduleAttr(schedule.getDictionary(kernel.getContext()));
    }
    if (!as || as->kind == WeightsAs::Kind::BF16) {
      panels.push_back(randomTensor(as ? DType::BF16 : DType::F32, {n / nr, k, nr}, 2));
      return;
    }
    std::vector<uint8_t> codes(static_cast<size_t>(n * k));
    for (size_t i = 0; i < codes.size(); ++i)
      codes[i] = static_cast<uint8_t>(i * 37);
    panels.push_back(Tensor::of(codes, {n / nr, k, nr}));
    panels.push_back(randomTensor(DType::BF16, {n / nr, (k + as->group - 1) / as->group, nr}, 3));
  }
};

// There is a body for each count of few rows, for blocks and for what is left of them.
TEST(ProductsOfConvertedWeights, rowsHaveTheirBitsAmongAnyNumber) {
  constexpr int64_t most = 24;
  struct Case {
    int64_t depth;
    std::optional<int64_t> panels;
  };
  // Long panels of several slices, of which few rows read two at once that lie apart, of an odd number.
  for (const Case& c : {Case{100, {}}, {1064, 3}})
    for (const std::optional<WeightsAs>& as : {std::optional<WeightsAs>(), std::optional(kForms[0]), std::optional(kForms[1]), std::optional(kForms[2])})
      for (const std::string& target : testTargets()) {
        auto context = makeContext();
        KernelMaker plain(*context), packed(*context);
        ProductOfPanels product(plain, packed, target, as, c.depth, c.panels);
        LoadedKernel loaded(product.kernel, target);
        auto results = [&](int64_t rows) {
          std::vector<Tensor> inputs = product.panels;
          std::vector<double> all = randomTensor(DType::F32, {most, c.depth}, 1).toDoubles();
          inputs.insert(inputs.begin(), Tensor::of(std::vector<double>(all.begin(), all.begin() + rows * c.depth), {rows, c.depth}).cast(DType::F32));
          return loaded.run(inputs, {{{"m", rows}}})[0].toDoubles();
        };
        std::vector<double> all = results(most);
        for (int64_t rows = 1; rows < most; ++rows)
          EXPECT_EQ(results(rows), std::vector<double>(all.begin(), all.begin() + rows * product.n))
              << target << ", " << (as ? as->str() : "f32") << ", depth " << c.depth << ": " << rows;
      }
}

// The order of docs/PRECISION.md, in plain loops: the terms of a group from zero, and its sum times its scale behind those of the groups before.
TEST(ProductsOfConvertedWeights, sumUpAGroupBeforeItsScale) {
  constexpr int64_t rows = 9, n = 64, depth = 100;
  Tensor a = randomTensor(DType::F32, {rows, depth}, 1);
  for (const WeightsAs& as : {kForms[1], kForms[2]})
    for (const std::string& target : testTargets()) {
      auto context = makeContext();
      KernelMaker plain(*context), packed(*context);
      ProductOfPanels product(plain, packed, target, as);
      std::vector<Tensor> inputs = product.panels;
      inputs.insert(inputs.begin(), a);
      Tensor y = LoadedKernel(product.kernel, target).run(inputs, {{{"m", rows}}})[0];
      auto codes = product.panels[0].as<uint8_t>();
      std::vector<double> scales = product.panels[1].toDoubles();
      int64_t nr = product.panels[0].shape()[2], groups = product.panels[1].shape()[1];
      auto plus = [fused = target != "cpu:x86-64-v2"](float x, float w, float sum) {
        float term = x * w;
        return fused ? std::fma(x, w, sum) : sum + term;
      };
      for (int64_t m = 0; m < rows; ++m)
        for (int64_t column = 0; column < n; ++column) {
          int64_t panel = column / nr, r = column % nr;
          float total = 0;
          for (int64_t group = 0; group < groups; ++group) {
            float sum = 0;
            for (int64_t k = group * as.group; k < std::min(depth, (group + 1) * as.group); ++k)
              sum = plus(a.as<float>()[m * depth + k], static_cast<int8_t>(codes[(panel * depth + k) * nr + r]), sum);
            total = plus(static_cast<float>(scales[(panel * groups + group) * nr + r]), sum, total);
          }
          EXPECT_EQ(y.as<float>()[m * n + column], total) << target << ", " << as.str() << ": " << m << ", " << column;
        }
    }
}

// Widening weights takes the unit that broadcasts go through, where these are instructions of their own.
TEST(ProductsOfConvertedWeights, multiplyAddsBroadcastWhatTheyRead) {
  const std::string target = "cpu:x86-64-v4";
  for (const WeightsAs& as : {kForms[0], kForms[1]}) {
    auto context = makeContext();
    KernelMaker plain(*context), packed(*context);
    ir::KernelOp kernel = ProductOfPanels(plain, packed, target, as).kernel;
    std::string error;
    auto emitter = codegen::makeEmitter(target, error);
    kernel.setScheduleAttr(emitter->chooseSchedule(kernel));
    auto assembly = emitter->print(kernel, codegen::CodeText::Asm);
    ASSERT_TRUE(succeeded(assembly));
    auto count = [&](std::string_view word) {
      size_t found = 0;
      for (size_t at = assembly->find(word); at != std::string::npos; at = assembly->find(word, at + 1))
        ++found;
      return found;
    };
    EXPECT_GT(count("{1to16}"), 0) << as.str();
    // A group's first terms may take one each, into the register of their sum.
    EXPECT_LE(count("vbroadcastss"), as.group ? count("{1to16}") / 8 : 0) << as.str();
  }
}

TEST(ProductsOfConvertedWeights, ofExperts) {
  for (const WeightsAs& as : kForms)
    for (int64_t tokens : {1, 40}) {
      SCOPED_TRACE(fmt::format("{}: {} tokens", as.str(), tokens));
      std::vector<int32_t> experts;
      for (int64_t row = 0; row < 2 * tokens; ++row)
        experts.push_back(static_cast<int32_t>(row * 7 % 5));
      int64_t width = 70, hidden = 51;
      expectReference({[&](KernelMaker& maker, const Weights& weights) {
                         mlir::Value x = maker.tensor(DType::F32, {"t", text(width)}), routing = maker.routing(5, "t", 2);
                         mlir::Value w = weights(maker, DType::F32, {5, hidden, width});
                         mlir::Value y = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, routing), w, routing);
                         return maker.finish("expert_up", {maker.make<ir::SiluOp>(y)});
                       },
                       {randomTensor(DType::F32, {tokens, width}, 1), routingTensor(experts, 5, 2), randomTensor(DType::F32, {5, hidden, width}, 2)},
                       2,
                       {{"t", tokens}},
                       width,
                       2 * tokens,
                       5,
                       3,
                       as});
    }
}

// A group that holds a NaN is NaN in all its products, and in no other.
TEST(ProductsOfConvertedWeights, anElementThatIsNoNumberIsSeen) {
  auto context = makeContext();
  KernelMaker maker(*context);
  mlir::Value a = maker.tensor(DType::F32, {"1", "8"}), codes = maker.tensor(DType::U8, {"1", "8", "16"}), scales = maker.tensor(DType::BF16, {"1", "1", "16"});
  auto plain = [&](mlir::Value panels) { return maker.make<ir::UnpackOp>(panels, 2); };
  mlir::Value w = maker.make<ir::DequantizeOp>(plain(codes), plain(scales), maker.builder().getI64IntegerAttr(8));
  LoadedKernel loaded(maker.finish("matmul", {maker.make<ir::MatmulOp>(a, w)}));
  Tensor c(DType::U8, {1, 8, 16}), s(DType::BF16, {1, 1, 16});
  std::ranges::fill(c.as<uint8_t>(), 0xFF);    // -1
  std::ranges::fill(s.as<uint16_t>(), 0x3F80); // 1
  s.as<uint16_t>()[1] = 0x7FC0;
  Tensor x(DType::F32, {1, 8});
  std::ranges::fill(x.as<float>(), 0.5F);
  Tensor y = loaded.run({x, c, s}, {}).at(0);
  EXPECT_EQ(y.as<float>()[0], -4);
  EXPECT_TRUE(std::isnan(y.as<float>()[1]));
}

} // namespace
} // namespace moec::testing
