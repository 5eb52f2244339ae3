// Owner of: what the cost model makes of a product's sizes: its items, and how wide its panels are. MatmulKernelTest.cpp holds the results.
#include "tests/codegen/ProductCheck.h"

#include "mlir/Parser/Parser.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace moec::testing {
namespace {

/// Of few rows each item takes few panels, or fewer rows where all panels stay in the cache, so that threads get some; of many it takes what the schedule has.
TEST(MatmulItems, fewRowsAreSeveralItems) {
  auto context = makeContext();
  std::string error;
  auto emitter = codegen::makeEmitter(testTargets().back(), error);
  ASSERT_TRUE(emitter) << error;
  auto write = [&](KernelMaker& maker, const Weights& weights, int64_t columns) {
    mlir::Value a = maker.tensor(DType::F32, {"m", "32"}), w = weights(maker, DType::F32, {columns, 32});
    return maker.finish("matmul", {maker.make<ir::MatmulOp>(a, w)});
  };
  int64_t nr = 0;
  auto itemsOf = [&](int64_t columns) {
    KernelMaker plain(*context), packed(*context);
    nr = emitter->chooseSchedule(write(plain, Weights(std::nullopt), columns)).getAs<mlir::IntegerAttr>("nr").getInt();
    return LoadedKernel(write(packed, Weights(nr), columns), testTargets().back()).image().stages.back().items;
  };
  Size wide = itemsOf(2048), narrow = itemsOf(32);
  EXPECT_GE(wide.evaluate({{"m", 20}}), 8);
  EXPECT_LE(wide.evaluate({{"m", 20000}}), 20000 / 16);
  EXPECT_GE(narrow.evaluate({{"m", 65}}), 5);
  EXPECT_EQ(narrow.evaluate({{"m", 1}}), 32 / nr); // a row is not cut, its panels are
  EXPECT_LE(narrow.evaluate({{"m", 20000}}), 20000 / 64);
}

/// Rows that are copied are so for each item: of many, an item takes as many panels as the schedule has, however few items that makes.
TEST(MatmulItems, manyCopiedRowsAreFewItems) {
  auto context = makeContext();
  std::string error;
  auto emitter = codegen::makeEmitter(testTargets().back(), error);
  ASSERT_TRUE(emitter) << error;
  KernelMaker maker(*context);
  ir::KernelOp kernel = maker.finish("matmul", {maker.make<ir::MatmulOp>(maker.tensor(DType::BF16, {"m", "32"}), maker.tensor(DType::BF16, {"512", "32"}))});
  auto schedule = emitter->chooseSchedule(kernel);
  auto field = [&](const char* name) { return schedule.getAs<mlir::IntegerAttr>(name).getInt(); };
  ASSERT_EQ(field("pack_rows"), 1);
  int64_t panels = (512 + field("nr") - 1) / field("nr"), groups = (panels + field("panels") - 1) / field("panels");
  StageInfo stage = LoadedKernel(kernel, testTargets().back()).image().stages.back();
  EXPECT_GE(stage.items.evaluate({{"m", 20}}), 8);
  EXPECT_EQ(stage.items.evaluate({{"m", 2 * field("row_block")}}), 2 * groups);
}

/// A single block of copied rows is several items where the weight is packed already, too: else one thread has all of it.
TEST(MatmulItems, aBlockOfCopiedRowsIsSeveralItems) {
  auto context = makeContext();
  std::string error;
  for (const std::string& target : testTargets()) {
    auto emitter = codegen::makeEmitter(target, error);
    ASSERT_TRUE(emitter) << error;
    auto write = [&](KernelMaker& maker, const Weights& weights) {
      mlir::Value a = maker.tensor(DType::F32, {"m", "256"}), w = weights(maker, DType::F32, {256, 256});
      return maker.finish("matmul", {maker.make<ir::MatmulOp>(a, w)});
    };
    KernelMaker plain(*context), packed(*context);
    auto schedule = emitter->chooseSchedule(write(plain, Weights(std::nullopt)));
    auto field = [&](const char* name) { return schedule.getAs<mlir::IntegerAttr>(name).getInt(); };
    ASSERT_EQ(field("pack_rows"), 1);
    StageInfo stage = LoadedKernel(write(packed, Weights(field("nr"))), target).image().stages.back();
    int64_t panels = 256 / field("nr"), groups = (panels + field("panels") - 1) / field("panels");
    EXPECT_GE(stage.items.evaluate({{"m", 3}}), 4) << target;
    EXPECT_EQ(stage.items.evaluate({{"m", 2 * field("row_block")}}), 2 * groups) << target;
  }
}

/// Of the gradient of a weight, an item copies rows of both operands once for all that it multiplies: it is not narrow in one direction, and there are items
/// for some threads, of which the first half has about half of the rows.
TEST(MatmulItems, itemsOfAWeightsGradientAreNotNarrow) {
  auto context = makeContext();
  std::string error;
  auto emitter = codegen::makeEmitter("cpu:x86-64-v4", error);
  ASSERT_TRUE(emitter) << error;
  for (auto [rows, columns, copies] :
       {std::tuple(256, 256, 1.0 / 24), {512, 256, 1.0 / 40}, {256, 512, 1.0 / 40}, {768, 256, 1.0 / 40}, {8000, 256, 1.0 / 72}}) {
    KernelMaker maker(*context);
    auto turned = [&](int64_t size) {
      return maker.make<ir::TransposeOp>(maker.tensor(DType::F32, {"tokens", std::to_string(size)}), maker.builder().getDenseI64ArrayAttr({1, 0}));
    };
    auto schedule = emitter->chooseSchedule(maker.finish("matmul", {maker.make<ir::MatmulOp>(turned(rows), turned(columns))}));
    ASSERT_TRUE(schedule);
    auto field = [&](const char* name) { return schedule.getAs<mlir::IntegerAttr>(name).getInt(); };
    int64_t high = field("row_block"), wide = field("panels") * field("nr"), blocks = (rows + high - 1) / high, groups = (columns + wide - 1) / wide;
    SCOPED_TRACE(fmt::format("{} x {} in items of {} x {}", rows, columns, high, wide));
    EXPECT_GE(blocks * groups, 16);
    EXPECT_LE(1.0 / static_cast<double>(high) + 1.0 / static_cast<double>(wide), copies);
    EXPECT_EQ(blocks % 2, 0);
    EXPECT_LE(static_cast<double>(blocks / 2 * high), 0.55 * static_cast<double>(rows));
  }
}

/// Of a parameter that stays, panels are two vectors wide; in a step of training calls make them, of one vector where it is large, vectors are long and rows
/// are not known to be many; but of two where few rows read slices of them where they lie, and they come from memory.
TEST(MatmulItems, largePanelsThatCallsMakeAreOneVectorWhereVectorsAreLong) {
  for (auto [rows, columns, depth, isExchanged, widthOfLong] : {std::tuple("m", 256, 256, false, 32),
                                                                {"m", 512, 256, false, 16},
                                                                {"21", 512, 256, false, 16},
                                                                {"4096", 512, 256, false, 32},
                                                                {"m", 256, 768, true, 16},
                                                                {"m", 256, 8000, true, 32},
                                                                {"m", 240, 8000, true, 16},
                                                                {"200", 256, 8000, true, 16}}) {
    SCOPED_TRACE(fmt::format("{} rows, {} columns, a depth of {}", rows, columns, depth));
    auto context = makeContext();
    KernelMaker maker(*context);
    int64_t high = isExchanged ? depth : columns, wide = isExchanged ? columns : depth;
    mlir::Value a = maker.tensor(DType::F32, {rows, std::to_string(depth)}), b = maker.tensor(DType::F32, {std::to_string(high), std::to_string(wide)});
    ir::KernelOp kernel = maker.finish("matmul", {maker.make<ir::MatmulOp>(a, isExchanged ? exchange(maker, b) : b)});
    auto parameter = mlir::parseSourceString<mlir::ModuleOp>(
        fmt::format("moe.parameter @w : tensor<{}x{}xf32> init #moe.init<\"zeros\", 0.0 : f64, 0.0 : f64>", high, wide), context.get());
    ASSERT_TRUE(parameter);
    auto function = kernel->getParentOfType<mlir::func::FuncOp>();
    function->getBlock()->getOperations().splice(function->getIterator(), parameter->getBody()->getOperations());
    mlir::OpBuilder builder(kernel);
    auto read = ir::ReadOp::create(builder, kernel.getLoc(), kernel->getOperand(1).getType(), mlir::FlatSymbolRefAttr::get(context.get(), "w"));
    kernel->setOperand(1, read);
    auto widthFor = [&](const char* target) {
      std::string error;
      return codegen::makeEmitter(target, error)->chooseSchedule(kernel).getAs<mlir::IntegerAttr>("nr").getInt();
    };
    std::string error;
    auto emitter = codegen::makeEmitter("cpu:x86-64-v4", error);
    std::string keyBefore = emitter->keyWithoutSchedule(kernel);
    EXPECT_EQ(widthFor("cpu:x86-64-v3"), 16);
    EXPECT_EQ(widthFor("cpu:x86-64-v4"), isExchanged ? widthOfLong : 32); // calls make panels of exchanged ones in any case
    function.setSymName("train_step");
    EXPECT_EQ(emitter->keyWithoutSchedule(kernel) == keyBefore, isExchanged) << "schedules tuned for one are taken for the other";
    EXPECT_EQ(widthFor("cpu:x86-64-v3"), 16);
    EXPECT_EQ(widthFor("cpu:x86-64-v4"), widthOfLong);
  }
}

/// Columns of three vectors are one panel.
TEST(MatmulItems, threeVectorsOfColumnsAreOnePanel) {
  auto context = makeContext();
  for (auto [target, lanes] : {std::pair("cpu:x86-64-v3", 4), {"cpu:x86-64-v4", 8}})
    for (auto [columns, vectors] : {std::pair(2 * lanes, 2), {2 * lanes + 1, 3}, {3 * lanes, 3}, {4 * lanes, 2}}) {
      KernelMaker maker(*context);
      mlir::Value a = maker.tensor(DType::F64, {"m", "64"}), b = maker.tensor(DType::F64, {std::to_string(columns), "64"});
      std::string error;
      auto schedule = codegen::makeEmitter(target, error)->chooseSchedule(maker.finish("matmul", {maker.make<ir::MatmulOp>(a, b)}));
      EXPECT_EQ(schedule.getAs<mlir::IntegerAttr>("nr").getInt(), vectors * lanes) << target << ", " << columns;
    }
}

} // namespace
} // namespace moec::testing
