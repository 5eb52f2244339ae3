// Owner of: which schedules may take the place of the cost model's, on every target. That they keep bits, tests/e2e/TunedSchedulesTest.cpp shows in whole
// models.
#include "codegen/cpu/Candidates.h"
#include "tests/codegen/KernelCheck.h"
#include "tests/codegen/KernelHarness.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <tuple>

namespace moec::testing {
namespace {

const char* kTargets[] = {"cpu:x86-64-v2", "cpu:x86-64-v3", "cpu:x86-64-v4"};

std::unique_ptr<codegen::KernelEmitter> emitterOf(const std::string& target) {
  std::string error;
  auto emitter = codegen::makeEmitter(target, error);
  EXPECT_TRUE(emitter) << error;
  return emitter;
}

/// 96 rows times the transpose of (n, k).
ParsedKernel product(const std::string& type, int64_t n, int64_t k) {
  auto tensor = [&](int64_t rows, int64_t columns) { return "tensor<" + std::to_string(rows) + "x" + std::to_string(columns) + "x" + type + ">"; };
  return parseKernel("matmul", "%x: " + tensor(96, k) + ", %w: " + tensor(n, k), tensor(96, n),
                     "%y = moe.matmul %x, %w : " + tensor(96, k) + ", " + tensor(n, k) + " moe.yield %y : " + tensor(96, n));
}

mlir::DictionaryAttr with(mlir::DictionaryAttr schedule, const char* entry, int64_t value) {
  mlir::NamedAttrList entries(schedule);
  entries.set(entry, mlir::Builder(schedule.getContext()).getI64IntegerAttr(value));
  return entries.getDictionary(schedule.getContext());
}

TEST(Candidates, areLegalDifferentAndBuildable) {
  for (const char* target : kTargets)
    for (auto [type, n, k] : {std::tuple("f32", int64_t{200}, int64_t{1000}), {"f64", 10, 64}, {"bf16", 96, 300}}) {
      auto emitter = emitterOf(target);
      ParsedKernel kernel = product(type, n, k);
      mlir::DictionaryAttr model = emitter->chooseSchedule(kernel.op);
      auto candidates = emitter->candidates(kernel.op, model);
      EXPECT_GE(candidates.size(), 6u) << target << " " << type;
      std::set<std::string> keys;
      std::string without = emitter->keyWithoutSchedule(kernel.op);
      for (mlir::DictionaryAttr candidate : candidates) {
        EXPECT_NE(candidate, model);
        EXPECT_EQ(emitter->refuse(kernel.op, candidate), std::nullopt) << target;
        kernel.op.setScheduleAttr(candidate);
        EXPECT_TRUE(keys.insert(emitter->key(kernel.op)).second);
        EXPECT_EQ(emitter->keyWithoutSchedule(kernel.op), without);
        EXPECT_TRUE(succeeded(emitter->print(kernel.op, codegen::CodeText::None))) << target << " " << type;
      }
    }
}

// By tiles a block is whole ones, and no candidate is without them: bits would be others.
TEST(Candidates, ofTilesAreTiles) {
  for (const char* target : {"cpu:x86-64-v3+soft-tiles", "cpu:x86-64-v4+amx"}) {
    auto emitter = emitterOf(target);
    ParsedKernel kernel = parseKernel("matmul", "%x: tensor<96x1024xbf16>, %p: tensor<7x1024x32xbf16>", "tensor<96x200xbf16>",
                                      "%w = moe.unpack %p n 200 pairs : tensor<7x1024x32xbf16>\n"
                                      "%y = moe.matmul %x, %w : tensor<96x1024xbf16>, tensor<200x1024xbf16> moe.yield %y : tensor<96x200xbf16>");
    mlir::DictionaryAttr model = emitter->chooseSchedule(kernel.op);
    ASSERT_TRUE(model.contains("tiles")) << target;
    auto candidates = emitter->candidates(kernel.op, model);
    EXPECT_GE(candidates.size(), 6u) << target;
    for (mlir::DictionaryAttr candidate : candidates) {
      EXPECT_TRUE(candidate.contains("tiles"));
      EXPECT_EQ(candidate.getAs<mlir::IntegerAttr>("slice").getInt() % 32, 0);
      kernel.op.setScheduleAttr(candidate);
      EXPECT_TRUE(succeeded(emitter->print(kernel.op, codegen::CodeText::None))) << target;
    }
    mlir::NamedAttrList without(model);
    without.erase("tiles");
    without.set("rows", mlir::Builder(kernel.op.getContext()).getI64IntegerAttr(1));
    EXPECT_NE(emitter->refuse(kernel.op, without.getDictionary(kernel.op.getContext())), std::nullopt) << target;
  }
}

TEST(Candidates, whatIsNoneIsRefused) {
  auto emitter = emitterOf("cpu:x86-64-v3");
  ParsedKernel kernel = product("f32", 200, 1000);
  mlir::DictionaryAttr model = emitter->chooseSchedule(kernel.op);
  EXPECT_EQ(emitter->refuse(kernel.op, model), std::nullopt);
  for (auto [entry, value, words] : {std::tuple("rows", int64_t{7}, "does not fit into the registers"),
                                     {"nr", 12, "not a multiple of the 8 lanes"},
                                     {"row_block", 1, "not a multiple of rows"},
                                     {"slice", 0, "must be positive"},
                                     {"panels", int64_t{1} << 40, "no size of a block"},
                                     {"panels", 1 << 20, "bytes of each thread"},
                                     {"pack_rows", 2, "has not the entries"},
                                     {"more", 1, "has not the entries"}}) {
    auto why = emitter->refuse(kernel.op, with(model, entry, value));
    ASSERT_TRUE(why) << entry << " = " << value;
    EXPECT_NE(why->find(words), std::string::npos) << *why;
  }
  EXPECT_TRUE(emitter->refuse(kernel.op, mlir::DictionaryAttr::get(kernel.op.getContext())));
}

/// What stands in the place of the cost model's choice has to be one of the kernel's kind.
TEST(Candidates, withoutTheModelsEntriesAllIsRefused) {
  const codegen::cpu::CpuTarget& target = *codegen::cpu::findTarget("cpu:x86-64-v3");
  auto emitter = emitterOf("cpu:x86-64-v3");
  auto expectRefused = [&](ir::KernelOp kernel) {
    mlir::DictionaryAttr model = emitter->chooseSchedule(kernel), none = mlir::DictionaryAttr::get(kernel.getContext());
    EXPECT_EQ(codegen::cpu::refusalOf(kernel, model, model, target), std::nullopt);
    auto why = codegen::cpu::refusalOf(kernel, model, none, target);
    ASSERT_TRUE(why);
    EXPECT_NE(why->find("has not the entries"), std::string::npos) << *why;
  };
  expectRefused(product("f32", 200, 1000).op);
  auto context = makeContext();
  KernelMaker maker(*context);
  mlir::OpBuilder& builder = maker.builder();
  mlir::Value x = maker.tensor(DType::F32, {"2", "50", "64"});
  mlir::Value y = ir::AttentionOp::create(builder, maker.loc(), x, x, x, builder.getI64IntegerAttr(1), builder.getF64FloatAttr(1), mlir::UnitAttr());
  expectRefused(maker.finish("attention", {y}));
}

/// Scores of an item are as many as its queries times all keys, and those of calls that nobody knows yet are many.
TEST(Candidates, queriesOfManyKeysAreFew) {
  auto emitter = emitterOf("cpu:x86-64-v3");
  for (auto [queries, keys, most] : {std::tuple("200", "300", int64_t{1024}), {"2048", "2048", 480}, {"n", "n", 240}, {"9000", "100000", 0}}) {
    auto context = makeContext();
    KernelMaker maker(*context);
    mlir::OpBuilder& builder = maker.builder();
    mlir::Value q = maker.tensor(DType::F32, {"2", queries, "64"}), k = maker.tensor(DType::F32, {"2", keys, "64"}),
                v = maker.tensor(DType::F32, {"2", keys, "64"});
    mlir::Value y = ir::AttentionOp::create(builder, maker.loc(), q, k, v, builder.getI64IntegerAttr(1), builder.getF64FloatAttr(1), mlir::UnitAttr());
    ir::KernelOp kernel = maker.finish("attention", {y});
    mlir::DictionaryAttr model = emitter->chooseSchedule(kernel);
    EXPECT_EQ(emitter->refuse(kernel, model), std::nullopt) << keys;
    EXPECT_EQ(emitter->refuse(kernel, with(model, "queries", 2048)).has_value(), true) << keys;
    for (int64_t each : {240, 480, 1024})
      EXPECT_EQ(emitter->refuse(kernel, with(model, "queries", each)).has_value(), each > most) << each << " queries, " << keys << " keys";
    for (mlir::DictionaryAttr candidate : emitter->candidates(kernel, model))
      EXPECT_LE(candidate.getAs<mlir::IntegerAttr>("queries").getInt(), std::max<int64_t>(most, 48)) << keys;
  }
}

/// Keys that are multiplied one by one are the same ones for panels of any width: 49 keys are a key more than whole vectors, and half a wide panel.
TEST(Candidates, panelsOfKeysChangeNoBit) {
  for (const std::string& target : testTargets()) {
    auto emitter = emitterOf(target);
    auto context = makeContext();
    KernelMaker maker(*context);
    mlir::OpBuilder& builder = maker.builder();
    mlir::Value x = maker.tensor(DType::F32, {"2", "49", "24"});
    mlir::Value y = ir::AttentionOp::create(builder, maker.loc(), x, x, x, builder.getI64IntegerAttr(1), builder.getF64FloatAttr(0.5), mlir::UnitAttr());
    ir::KernelOp kernel = maker.finish("attention", {y});
    mlir::DictionaryAttr model = emitter->chooseSchedule(kernel);
    Tensor input = randomTensor(DType::F32, {2, 49, 24}, 1);
    auto resultOf = [&](mlir::DictionaryAttr schedule) {
      kernel.setScheduleAttr(schedule);
      return LoadedKernel(kernel, target).run({input}, {}).front();
    };
    Tensor expected = resultOf(model);
    auto candidates = emitter->candidates(kernel, model);
    EXPECT_FALSE(candidates.empty()) << target;
    for (mlir::DictionaryAttr candidate : candidates)
      EXPECT_EQ(std::memcmp(resultOf(candidate).data(), expected.data(), expected.bytes()), 0)
          << target << ", nr " << candidate.getAs<mlir::IntegerAttr>("nr").getInt();
  }
}

/// Products of bf16 are those of their sums' type: what fits into the registers is the same.
TEST(Candidates, ofBF16AreThoseOfF32) {
  for (const char* target : kTargets) {
    auto emitter = emitterOf(target);
    std::set<int64_t> rows[2];
    for (auto [type, i] : {std::pair("f32", 0), {"bf16", 1}}) {
      ParsedKernel kernel = product(type, 200, 1000);
      for (mlir::DictionaryAttr candidate : emitter->candidates(kernel.op, emitter->chooseSchedule(kernel.op)))
        rows[i].insert(candidate.getAs<mlir::IntegerAttr>("rows").getInt());
    }
    EXPECT_EQ(rows[0], rows[1]) << target;
  }
}

/// Of attention to kept keys, the rows of a register block, which change no bit: its blocks of keys and queries decide the order of sums.
TEST(Candidates, blocksOfKeptKeysStay) {
  for (const std::string& target : testTargets())
    for (int64_t tokens : {1, 37}) {
      auto emitter = emitterOf(target);
      auto context = makeContext();
      KernelMaker maker(*context);
      mlir::OpBuilder& builder = maker.builder();
      std::vector<mlir::Value> in;
      std::vector<Tensor> inputs;
      for (std::string rows : {"n", "n", "n", "256", "256"}) {
        in.push_back(maker.tensor(DType::F32, {"2", rows, "64"}));
        inputs.push_back(randomTensor(DType::F32, {2, rows == "n" ? tokens : 256, 64}, static_cast<uint32_t>(in.size())));
      }
      in.push_back(maker.tensor(DType::I64, {}));
      inputs.push_back(Tensor::of<int64_t>({100}, {}));
      mlir::Value y = ir::CachedAttentionOp::create(builder, maker.loc(), in[0], in[1], in[2], in[3], in[4], in[5], mlir::Value(), builder.getI64IntegerAttr(2),
                                                    mlir::IntegerAttr(), builder.getF64FloatAttr(0.5));
      ir::KernelOp kernel = maker.finish("cached_attention", {y});
      mlir::DictionaryAttr model = emitter->chooseSchedule(kernel);
      auto resultOf = [&](mlir::DictionaryAttr schedule) {
        kernel.setScheduleAttr(schedule);
        return LoadedKernel(kernel, target).run(inputs, {{{"n", tokens}}, 5, 3, 1}).front();
      };
      Tensor expected = resultOf(model);
      auto candidates = emitter->candidates(kernel, model);
      EXPECT_FALSE(candidates.empty()) << target;
      for (mlir::DictionaryAttr candidate : candidates) {
        EXPECT_EQ(emitter->refuse(kernel, candidate), std::nullopt) << target;
        EXPECT_EQ(std::memcmp(resultOf(candidate).data(), expected.data(), expected.bytes()), 0) << target << ", " << tokens << " tokens";
      }
      for (auto [entry, part] : {std::pair("keys", 3.0), {"nr", 0.5}}) {
        auto value = static_cast<int64_t>(part * static_cast<double>(model.getAs<mlir::IntegerAttr>(entry).getInt()));
        EXPECT_EQ(emitter->refuse(kernel, with(model, entry, value)), "its blocks of keys and of queries decide the order of sums") << entry;
      }
      EXPECT_NE(emitter->refuse(kernel, with(model, "rows", 1000)), std::nullopt);
    }
}

/// Of a product that updates its weight all that is free of one that gives its gradient; with a sum over all elements beside it what leaves its items and their
/// panels as they are.
TEST(Candidates, ofUpdatesLeaveTheOrderOfTotals) {
  for (const std::string& target : testTargets())
    for (bool hasTotal : {false, true}) {
      auto emitter = emitterOf(target);
      auto context = makeContext();
      KernelMaker maker(*context);
      auto turned = [&](mlir::Value rows) { return maker.make<ir::TransposeOp>(rows, maker.builder().getDenseI64ArrayAttr({0, 2, 1})); };
      mlir::Value dy = maker.tensor(DType::F32, {"3", "300", "50"}), x = maker.tensor(DType::F32, {"3", "300", "70"});
      mlir::Value weight = maker.tensor(DType::F32, {"3", "50", "70"});
      mlir::Value gradient = maker.make<ir::MatmulOp>(turned(dy), turned(x));
      llvm::SmallVector<mlir::Value> results{maker.make<ir::SubOp>(weight, gradient)};
      if (hasTotal) {
        auto type = mlir::RankedTensorType::get({3 * 50 * 70}, maker.builder().getF32Type());
        mlir::Value row = maker.make<ir::ReshapeOp>(type, maker.make<ir::MulOp>(gradient, gradient));
        results.push_back(maker.make<ir::ReduceOp>(ir::ReduceKind::Sum, row, uint64_t{0}));
      }
      ir::KernelOp kernel = maker.finish("weight_update", results);
      mlir::DictionaryAttr model = emitter->chooseSchedule(kernel);
      std::vector<Tensor> inputs{randomTensor(DType::F32, {3, 300, 50}, 1), randomTensor(DType::F32, {3, 300, 70}, 2),
                                 randomTensor(DType::F32, {3, 50, 70}, 3)};
      auto resultsOf = [&](mlir::DictionaryAttr schedule) {
        kernel.setScheduleAttr(schedule);
        return LoadedKernel(kernel, target).run(inputs, {});
      };
      std::vector<Tensor> expected = resultsOf(model);
      auto candidates = emitter->candidates(kernel, model);
      EXPECT_GE(candidates.size(), hasTotal ? 2u : 6u) << target;
      for (mlir::DictionaryAttr candidate : candidates) {
        std::vector<Tensor> found = resultsOf(candidate);
        for (size_t i = 0; i < expected.size(); ++i)
          EXPECT_EQ(std::memcmp(found[i].data(), expected[i].data(), expected[i].bytes()), 0) << target << ", result " << i;
      }
      for (const char* entry : {"row_block", "panels"}) {
        auto why = emitter->refuse(kernel, with(model, entry, 2 * model.getAs<mlir::IntegerAttr>(entry).getInt()));
        EXPECT_EQ(why && why->find("item by item") != std::string::npos, hasTotal) << target << ", " << entry;
      }
      bool changesWidth = llvm::any_of(candidates, [&](mlir::DictionaryAttr candidate) { return candidate.get("nr") != model.get("nr"); });
      EXPECT_EQ(changesWidth, !hasTotal) << target;
    }
}

TEST(Candidates, blocksThatDecideTheOrderOfASumStay) {
  auto emitter = emitterOf("cpu:x86-64-v3");
  std::string x = "tensor<512x40xf32>";
  ParsedKernel free = parseKernel("rows", "%x: " + x, x, "%y = moe.gelu %x : " + x + " moe.yield %y : " + x);
  ParsedKernel sums = parseKernel("rows", "%x: " + x, x + ", tensor<40xf32>",
                                  "%y = moe.gelu %x : " + x + "\n %s = moe.reduce sum %y axis 0 : " + x + "\n moe.yield %y, %s : " + x + ", tensor<40xf32>");
  for (auto [kernel, isFree] : {std::pair(&free, true), std::pair(&sums, false)}) {
    mlir::DictionaryAttr model = emitter->chooseSchedule(kernel->op);
    EXPECT_EQ(emitter->candidates(kernel->op, model).empty(), !isFree);
    EXPECT_EQ(emitter->refuse(kernel->op, with(model, "block", 7)).has_value(), !isFree);
    EXPECT_TRUE(emitter->refuse(kernel->op, with(model, "block", 0)));
    EXPECT_TRUE(emitter->refuse(kernel->op, with(model, "block", 1 << 20)));
  }
  auto gpu = emitterOf("cuda:sm_80");
  EXPECT_TRUE(gpu->candidates(free.op, gpu->chooseSchedule(free.op)).empty());
  EXPECT_TRUE(gpu->refuse(free.op, gpu->chooseSchedule(free.op)));
}

} // namespace
} // namespace moec::testing
