// Owner of: kernels of kind `matmul`. Every result is held against the reference interpreter.
#include "tests/codegen/ProductCheck.h"

#include <cstring>
#include <gtest/gtest.h>

namespace moec::testing {
namespace {

struct Shape3 {
  DType type;
  int64_t m, n, k;
};
void PrintTo(const Shape3& one, std::ostream* stream) { *stream << name(one.type) << " m " << one.m << " n " << one.n << " k " << one.k; }

std::string text(int64_t value) { return std::to_string(value); }

class MatmulKernel : public ::testing::TestWithParam<Shape3> {};

TEST_P(MatmulKernel, plain) {
  auto [type, m, n, k] = GetParam();
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value a = maker.tensor(type, {"m", text(k)}), w = weights(maker, type, {n, k});
                     return maker.finish("matmul", {maker.make<ir::MatmulOp>(a, w)});
                   },
                   {randomTensor(type, {m, k}, 1), randomTensor(type, {n, k}, 2)},
                   1,
                   {{"m", m}},
                   k});
}

TEST_P(MatmulKernel, biasActivationResidualAndScalar) {
  auto [type, m, n, k] = GetParam();
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value a = maker.tensor(type, {text(m), text(k)}), w = weights(maker, type, {n, k});
                     mlir::Value bias = maker.tensor(type, {text(n)}), residual = maker.tensor(type, {text(m), text(n)});
                     mlir::Value scalar = maker.tensor(type, {"1"}), perRow = maker.tensor(type, {text(m), "1"});
                     mlir::Value y = maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(a, w), bias);
                     y = maker.make<ir::MulOp>(maker.make<ir::GeluOp>(y), scalar);
                     y = maker.make<ir::MulOp>(maker.make<ir::AddOp>(y, residual), perRow);
                     return maker.finish("matmul", {y});
                   },
                   {randomTensor(type, {m, k}, 1), randomTensor(type, {n, k}, 2), randomTensor(type, {n}, 3), randomTensor(type, {m, n}, 4),
                    randomTensor(type, {1}, 5), randomTensor(type, {m, 1}, 6)},
                   1,
                   {},
                   k});
}

INSTANTIATE_TEST_SUITE_P(Shapes, MatmulKernel,
                         ::testing::Values(Shape3{DType::F32, 1, 1, 1}, Shape3{DType::F32, 5, 3, 7}, Shape3{DType::F32, 13, 37, 29},
                                           Shape3{DType::F32, 64, 96, 64}, Shape3{DType::F32, 131, 40, 300}, Shape3{DType::F32, 7, 1000, 33},
                                           Shape3{DType::F32, 23, 33, 1030}, Shape3{DType::F32, 50, 100, 1100}, Shape3{DType::F64, 1, 20, 60},
                                           Shape3{DType::F64, 19, 21, 17}, Shape3{DType::F64, 50, 256, 600}, Shape3{DType::BF16, 1, 1, 1},
                                           Shape3{DType::BF16, 19, 37, 29}, Shape3{DType::BF16, 131, 96, 300}, Shape3{DType::BF16, 23, 33, 1030}));

/// Whole panels with little behind them: sums go from the registers to the results, and no stage holds tiles.
TEST(MatmulKernelShapes, sumsWithLittleBehindThemNeedNoTiles) {
  for (auto [type, m] : {std::pair<DType, int64_t>{DType::F32, 1}, {DType::F32, 131}, {DType::F64, 19}}) {
    WriteKernel write = [&, type = type](KernelMaker& maker, const Weights& weights) {
      mlir::Value a = maker.tensor(type, {"m", "40"}), w = weights(maker, type, {64, 40}), bias = maker.tensor(type, {"64"});
      mlir::Value residual = maker.tensor(type, {"m", "64"}), y = maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(a, w), bias);
      return maker.finish("matmul", {maker.make<ir::ReluOp>(y), maker.make<ir::MulOp>(y, residual)});
    };
    std::vector<Tensor> inputs{randomTensor(type, {m, 40}, 1), randomTensor(type, {64, 40}, 2), randomTensor(type, {64}, 3), randomTensor(type, {m, 64}, 4)};
    expectReference({write, inputs, 1, {{"m", m}}, 40});
  }
  auto context = makeContext();
  for (const std::string& target : testTargets()) {
    std::string error;
    auto emitter = codegen::makeEmitter(target, error);
    auto scratchOf = [&](bool isLight) {
      auto write = [&](KernelMaker& maker, const Weights& weights) {
        mlir::Value a = maker.tensor(DType::F32, {"m", "40"}), y = maker.make<ir::MatmulOp>(a, weights(maker, DType::F32, {64, 40}));
        return maker.finish("matmul", {isLight ? maker.make<ir::ReluOp>(y) : maker.make<ir::GeluOp>(y)});
      };
      KernelMaker plain(*context), packed(*context);
      int64_t nr = emitter->chooseSchedule(write(plain, Weights(std::nullopt))).getAs<mlir::IntegerAttr>("nr").getInt();
      return LoadedKernel(write(packed, Weights(nr)), target).image().stages.front().scratchBytes;
    };
    EXPECT_EQ(scratchOf(true), Size(0)) << target;
    EXPECT_FALSE(scratchOf(false) == Size(0)) << target;
  }
}

/// A result past the caches, whose lines are stored from the registers.
TEST(MatmulKernelShapes, sumsWithLittleBehindThemFillLinesOfALargeResult) {
  DType type = DType::F32;
  constexpr int64_t m = 8192, n = 1024, k = 5; // 32 MiB
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value a = maker.tensor(type, {text(m), text(k)}), w = weights(maker, type, {n, k}),
                                 residual = maker.tensor(type, {text(m), text(n)});
                     return maker.finish("matmul", {maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(a, w), residual)});
                   },
                   {randomTensor(type, {m, k}, 1), randomTensor(type, {n, k}, 2), randomTensor(type, {m, n}, 3)},
                   1,
                   {},
                   k});
}

TEST(MatmulKernelShapes, aNumberWithoutDimensionsStandsBehindWholePanels) {
  for (DType type : {DType::F32, DType::F64, DType::BF16})
    expectReference({[&](KernelMaker& maker, const Weights& weights) {
                       mlir::Value a = maker.tensor(type, {"m", "40"}), w = weights(maker, type, {64, 40}), number = maker.tensor(type, {});
                       return maker.finish("matmul", {maker.make<ir::MulOp>(maker.make<ir::MatmulOp>(a, w), number)});
                     },
                     {randomTensor(type, {13, 40}, 1), randomTensor(type, {64, 40}, 2), randomTensor(type, {}, 3)},
                     1,
                     {{"m", 13}},
                     40});
}

/// Rows so long that blocks fetch those behind them, and slices of a wide b behind narrow rows: with tails.
TEST(MatmulKernelShapes, whatIsFetchedAheadMayNotBeThere) {
  DType type = DType::F32;
  for (int64_t n : {4, 8, 17})
    for (int64_t m : {12, 29})
      expectReference({[&, n = n](KernelMaker& maker, const Weights& weights) {
                         mlir::Value a = maker.tensor(type, {"m", "200"}), w = weights(maker, type, {n, 200});
                         return maker.finish("matmul", {maker.make<ir::MatmulOp>(a, w)});
                       },
                       {randomTensor(type, {m, 200}, 1), randomTensor(type, {n, 200}, 2)},
                       1,
                       {{"m", m}},
                       200});
}

/// Of 16 registers a turn takes one element of each row: a fetch for each of them would cost more than it brings.
TEST(MatmulKernelShapes, rowsAreFetchedAheadWhereATurnTakesAGoodPartOfALine) {
  auto context = makeContext();
  for (const char* target : {"cpu:x86-64-v3", "cpu:x86-64-v4"}) {
    std::string error;
    auto emitter = codegen::makeEmitter(target, error);
    ASSERT_TRUE(emitter) << error;
    KernelMaker maker(*context);
    mlir::Value a = maker.tensor(DType::F32, {"m", "200"}), w = maker.tensor(DType::F32, {"8", "200"});
    ir::KernelOp kernel = maker.finish("matmul", {maker.make<ir::MatmulOp>(a, w)});
    kernel.setScheduleAttr(emitter->chooseSchedule(kernel));
    auto text = emitter->print(kernel, codegen::CodeText::Llvm);
    ASSERT_TRUE(succeeded(text));
    bool fetchesIntoL2 = text->find(", i32 0, i32 2, i32 1)") != std::string::npos;
    EXPECT_EQ(fetchesIntoL2, target == std::string("cpu:x86-64-v4"));
  }
}

TEST(MatmulKernelShapes, leadingDimensionsAreRowsAndOperandsBroadcastOverSomeOfThem) {
  // (batch, 5, 6, 24) x (11, 24): one operand per (5, 1), one per batch, one per (6).
  DType type = DType::F32;
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value a = maker.tensor(type, {"batch", "5", "6", "24"}), w = weights(maker, type, {11, 24});
                     mlir::Value places = maker.tensor(type, {"5", "6", "11"}), fifths = maker.tensor(type, {"5", "1", "1"});
                     mlir::Value perBatch = maker.tensor(type, {"batch", "1", "1", "11"});
                     mlir::Value y = maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(a, w), places);
                     y = maker.make<ir::AddOp>(maker.make<ir::MulOp>(y, fifths), perBatch);
                     return maker.finish("matmul", {y, maker.make<ir::ReluOp>(y)});
                   },
                   {randomTensor(type, {3, 5, 6, 24}, 1), randomTensor(type, {11, 24}, 2), randomTensor(type, {5, 6, 11}, 3), randomTensor(type, {5, 1, 1}, 4),
                    randomTensor(type, {3, 1, 1, 11}, 5)},
                   1,
                   {{"batch", 3}},
                   24});
}

// A row's last vector holds one column. Numbers that every dtype holds exactly: row m, column n is n + 1 + m % 2; the terms that follow are zeros.
TEST(MatmulKernelShapes, aLastColumnAloneLeavesTheNextRowAsItIs) {
  constexpr int64_t n = 33, k = 1030;
  for (DType type : {DType::F32, DType::F64, DType::BF16})
    for (auto [batch, m, isPacked] : {std::tuple(1, 23, true), {1, 300, true}, {2, 300, false}}) {
      SCOPED_TRACE(::testing::Message() << name(type) << " batch " << batch << " m " << m << (isPacked ? ", packed" : ""));
      std::vector<double> a(static_cast<size_t>(batch * m * k)), w(static_cast<size_t>(batch * n * k));
      for (int64_t row = 0; row < batch * m; ++row) {
        a[static_cast<size_t>(row * k)] = 1;
        a[static_cast<size_t>(row * k + 1)] = static_cast<double>(row % 2);
      }
      for (int64_t column = 0; column < batch * n; ++column) {
        w[static_cast<size_t>(column * k)] = static_cast<double>(column % n + 1);
        w[static_cast<size_t>(column * k + 1)] = 1;
      }
      bool isBatch = batch > 1;
      Shape rows{m, k}, columns{n, k};
      if (isBatch) {
        rows.insert(rows.begin(), batch);
        columns.insert(columns.begin(), batch);
      }
      expectReference({[&, type = type](KernelMaker& maker, const Weights& weights) {
                         auto texts = [](const Shape& shape) {
                           std::vector<std::string> all;
                           for (int64_t size : shape)
                             all.push_back(text(size));
                           return all;
                         };
                         mlir::Value x = maker.tensor(type, texts(rows)), b = weights(maker, type, columns);
                         return maker.finish("matmul", {maker.make<ir::MatmulOp>(x, b)});
                       },
                       {Tensor::of(a, rows).cast(type), Tensor::of(w, columns).cast(type)},
                       isPacked ? 1 : -1,
                       {},
                       1});
    }
}

TEST(MatmulKernelShapes, everyExpertTimesTheSameRows) {
  for (DType type : {DType::F32, DType::F64})
    expectReference({[&](KernelMaker& maker, const Weights& weights) {
                       mlir::Value a = maker.tensor(type, {"m", "60"}), w = weights(maker, type, {4, 20, 60});
                       mlir::Value bias = maker.tensor(type, {"4", "1", "20"});
                       mlir::Value y = maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(a, w), bias);
                       return maker.finish("matmul", {maker.make<ir::TanhOp>(y)});
                     },
                     {randomTensor(type, {9, 60}, 1), randomTensor(type, {4, 20, 60}, 2), randomTensor(type, {4, 1, 20}, 3)},
                     1,
                     {{"m", 9}},
                     60});
}

TEST(MatmulKernelShapes, everyExpertTimesItsOwnRows) {
  DType type = DType::F64;
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value a = maker.tensor(type, {"3", "m", "16"}), w = weights(maker, type, {3, 10, 16});
                     return maker.finish("matmul", {maker.make<ir::MatmulOp>(a, w)});
                   },
                   {randomTensor(type, {3, 17, 16}, 1), randomTensor(type, {3, 10, 16}, 2)},
                   1,
                   {{"m", 17}},
                   16});
}

TEST(MatmulKernelShapes, bThatTheCallComputed) {
  // (batch, 7, 12) x (batch, n, 12): packed by the kernel itself, n known at the call.
  DType type = DType::F32;
  expectReference({[&](KernelMaker& maker, const Weights&) {
                     mlir::Value a = maker.tensor(type, {"batch", "7", "12"}), b = maker.tensor(type, {"batch", "n", "12"});
                     return maker.finish("matmul", {maker.make<ir::MatmulOp>(a, b)});
                   },
                   {randomTensor(type, {2, 7, 12}, 1), randomTensor(type, {2, 45, 12}, 2)},
                   -1,
                   {{"batch", 2}, {"n", 45}},
                   12});
}

/// The gradient of x: dy (m, k) times w (k, n), read as the rows of its transpose.
TEST_P(MatmulKernel, bLiesTransposed) {
  auto [type, m, n, k] = GetParam();
  expectReference({[&](KernelMaker& maker, const Weights&) {
                     mlir::Value a = maker.tensor(type, {"m", text(k)}), w = maker.tensor(type, {text(k), text(n)}),
                                 residual = maker.tensor(type, {"m", text(n)});
                     mlir::Value y = maker.make<ir::MatmulOp>(a, exchange(maker, w));
                     return maker.finish("matmul", {maker.make<ir::AddOp>(y, residual)});
                   },
                   {randomTensor(type, {m, k}, 1), randomTensor(type, {k, n}, 2), randomTensor(type, {m, n}, 3)},
                   -1,
                   {{"m", m}},
                   k});
}

/// Rows of a weight, and the gradient of what they were multiplied by: they are read where they lie.
TEST(MatmulKernelShapes, rowsOfAWeight) {
  for (auto [type, m, n, k] : {Shape3{DType::F32, 3, 64, 40}, Shape3{DType::F32, 300, 37, 29}, Shape3{DType::F64, 5, 16, 24}, Shape3{DType::BF16, 19, 40, 33}})
    for (bool isTurned : {false, true}) {
      SCOPED_TRACE(::testing::Message() << name(type) << " m " << m << (isTurned ? ", turned" : ""));
      int64_t rows = isTurned ? k : n, width = isTurned ? n : k;
      expectReference({[&, type = type, k = k](KernelMaker& maker, const Weights&) {
                         mlir::OpBuilder& b = maker.builder();
                         mlir::Value a = maker.tensor(type, {"m", text(k)}), w = maker.tensor(type, {text(rows + 9), text(width)});
                         mlir::Value part = maker.make<ir::SliceOp>(w, b.getI64IntegerAttr(0), b.getStringAttr("5"), b.getStringAttr(text(rows)));
                         return maker.finish("matmul", {maker.make<ir::MatmulOp>(a, isTurned ? exchange(maker, part) : part)});
                       },
                       {randomTensor(type, {m, k}, 1), randomTensor(type, {rows + 9, width}, 2)},
                       -1,
                       {{"m", m}},
                       k});
    }
}

/// What hoist-slices makes of a product that is read in part: some of its rows, or some of its columns.
TEST(MatmulKernelShapes, aPartHasTheBitsOfTheWhole) {
  struct Part {
    int64_t row, rows, column, columns;
  };
  for (auto [type, m, n, k] :
       {Shape3{DType::F32, 65, 112, 40}, Shape3{DType::F32, 23, 37, 1030}, Shape3{DType::F64, 19, 40, 24}, Shape3{DType::BF16, 19, 40, 33}})
    for (auto part : {Part{0, 1, 0, n}, Part{7, 5, 0, n}, Part{0, m, 16, n - 16}, Part{m - 1, 1, 3, 17}}) {
      SCOPED_TRACE(::testing::Message() << name(type) << ", rows from " << part.row << ", columns from " << part.column);
      auto context = makeContext();
      auto product = [&, type = type, n = n, k = k](int64_t rows, int64_t column, int64_t columns, const Tensor& a, const Tensor& w) {
        KernelMaker maker(*context);
        mlir::OpBuilder& b = maker.builder();
        mlir::Value left = maker.tensor(type, {text(rows), text(k)}), right = maker.tensor(type, {text(n), text(k)});
        if (columns != n)
          right = maker.make<ir::SliceOp>(right, b.getI64IntegerAttr(0), b.getStringAttr(text(column)), b.getStringAttr(text(columns)));
        return LoadedKernel(maker.finish("matmul", {maker.make<ir::MatmulOp>(left, right)})).run({a, w}, {})[0].toDoubles();
      };
      Tensor a = randomTensor(type, {m, k}, 1), w = randomTensor(type, {n, k}, 2);
      std::vector<double> rows = a.toDoubles(), whole = product(m, 0, n, a, w), expected;
      rows = {rows.begin() + part.row * k, rows.begin() + (part.row + part.rows) * k};
      for (int64_t row = part.row; row < part.row + part.rows; ++row)
        expected.insert(expected.end(), whole.begin() + row * n + part.column, whole.begin() + row * n + part.column + part.columns);
      Tensor few = Tensor::of(rows, {part.rows, k}).cast(type);
      EXPECT_EQ(product(part.rows, part.column, part.columns, few, w), expected);
    }
}

/// The gradient of w where dy or x are narrow and the other is copied: each is read where it lies, slices of the wide one are fetched ahead.
TEST(MatmulKernelShapes, narrowAndWideLieTransposed) {
  DType type = DType::F32;
  for (auto [m, n] : {std::pair<int64_t, int64_t>{100, 32}, {32, 100}, {100, 260}})
    expectReference({[&](KernelMaker& maker, const Weights&) {
                       mlir::Value dy = maker.tensor(type, {"t", text(m)}), x = maker.tensor(type, {"t", text(n)});
                       return maker.finish("matmul", {maker.make<ir::MatmulOp>(exchange(maker, dy), exchange(maker, x))});
                     },
                     {randomTensor(type, {391, m}, 1), randomTensor(type, {391, n}, 2)},
                     -1,
                     {{"t", 391}},
                     391});
}

/// The gradient of w: dy (tokens, m) and x (tokens, n), tokens known at the call.
TEST_P(MatmulKernel, bothLieTransposed) {
  auto [type, m, n, k] = GetParam();
  for (int64_t tokens : {k, int64_t{0}})
    expectReference({[&](KernelMaker& maker, const Weights&) {
                       mlir::Value dy = maker.tensor(type, {"t", text(m)}), x = maker.tensor(type, {"t", text(n)}), scale = maker.tensor(type, {"1"});
                       mlir::Value y = maker.make<ir::MatmulOp>(exchange(maker, dy), exchange(maker, x));
                       return maker.finish("matmul", {maker.make<ir::MulOp>(y, scale), y});
                     },
                     {randomTensor(type, {tokens, m}, 1), randomTensor(type, {tokens, n}, 2), randomTensor(type, {1}, 3)},
                     -1,
                     {{"t", tokens}},
                     k});
}

/// The gradient of w with that of the bias, and a sum of the other operand's rows.
void expectSumsOfRowsBeside(DType type, int64_t m, int64_t n, int64_t tokens) {
  expectReference({[&](KernelMaker& maker, const Weights&) {
                     mlir::Value dy = maker.tensor(type, {"t", text(m)}), x = maker.tensor(type, {"t", text(n)});
                     mlir::Value bias = maker.make<ir::ReduceOp>(ir::ReduceKind::Sum, dy, uint64_t{0}),
                                 other = maker.make<ir::ReduceOp>(ir::ReduceKind::Sum, x, uint64_t{0});
                     mlir::Value y = maker.make<ir::MatmulOp>(exchange(maker, dy), exchange(maker, x));
                     return maker.finish("matmul", {bias, y, maker.make<ir::ReluOp>(y), other});
                   },
                   {randomTensor(type, {tokens, m}, 1), randomTensor(type, {tokens, n}, 2)},
                   -1,
                   {{"t", tokens}},
                   std::max<int64_t>(tokens, 1)});
}

TEST_P(MatmulKernel, sumsOfRowsBesideTheProduct) {
  auto [type, m, n, k] = GetParam();
  for (int64_t tokens : {k, int64_t{0}, int64_t{700}})
    expectSumsOfRowsBeside(type, m, n, tokens);
}

/// Several items copy the rows: one for each block of columns sums them up, slice by slice.
TEST(MatmulKernelShapes, sumsOfRowsBesideSeveralItems) {
  for (DType type : {DType::F32, DType::F64, DType::BF16})
    for (int64_t m : {450, 197})
      expectSumsOfRowsBeside(type, m, 301, 300);
}

/// Eight runs of 257 rows, of which the last has 251.
TEST(MatmulKernelShapes, sumsOfRowsBesideAProductInRunsThatAreNotEqual) {
  for (DType type : {DType::F32, DType::F64, DType::BF16})
    expectSumsOfRowsBeside(type, 13, 21, 2050);
}

/// A dropout behind a product, whose mask is a result too.
TEST_P(MatmulKernel, dropoutBehindTheProduct) {
  auto [type, m, n, k] = GetParam();
  DType wide = type == DType::BF16 ? DType::F32 : type;
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::OpBuilder& b = maker.builder();
                     auto element = [&](DType dtype) { return ir::elementType(dtype, b.getContext()); };
                     auto number = [&](double value) {
                       return maker.make<ir::ConstantOp>(
                           mlir::DenseElementsAttr::get(mlir::RankedTensorType::get({1}, element(wide)), b.getFloatAttr(element(wide), value)));
                     };
                     auto cast = [&](mlir::Value x, DType to) { return maker.make<ir::CastOp>(x, mlir::TypeAttr::get(element(to))); };
                     mlir::Value a = maker.tensor(type, {"2", "m", text(k)}), w = weights(maker, type, {n, k}),
                                 residual = maker.tensor(type, {"2", "m", text(n)});
                     mlir::Value stays = maker.make<ir::CompareOp>(ir::Predicate::GE, maker.draws(wide, {"2", "m", text(n)}), number(0.25));
                     mlir::Value factors = maker.make<ir::MulOp>(cast(stays, wide), number(1 / 0.75));
                     mlir::Value y = maker.make<ir::MulOp>(cast(maker.make<ir::MatmulOp>(a, w), wide), factors);
                     return maker.finish("matmul", {maker.make<ir::AddOp>(cast(y, type), residual), stays});
                   },
                   {randomTensor(type, {2, m, k}, 1), randomTensor(type, {n, k}, 2), randomTensor(type, {2, m, n}, 3)},
                   1,
                   {{"m", m}},
                   k});
}

TEST_P(MatmulKernel, aLiesTransposedAndBIsPacked) {
  auto [type, m, n, k] = GetParam();
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     mlir::Value a = maker.tensor(type, {text(k), "m"}), w = weights(maker, type, {n, k});
                     return maker.finish("matmul", {maker.make<ir::MatmulOp>(exchange(maker, a), w)});
                   },
                   {randomTensor(type, {k, m}, 1), randomTensor(type, {n, k}, 2)},
                   1,
                   {{"m", m}},
                   k});
}

TEST(MatmulKernelShapes, matricesOfABatchLieTransposed) {
  // Each of a, b and both; b of one batch entry for all; b plain beside a transposed a.
  for (DType type : {DType::F32, DType::F64, DType::BF16})
    for (int form = 0; form < 5; ++form) {
      SCOPED_TRACE(form);
      bool turnA = form != 1, turnB = form != 0 && form != 4, ofAll = form == 3, plainB = form == 4;
      Shape a = turnA ? Shape{3, 70, 41} : Shape{3, 41, 70}, b = turnB ? Shape{3, 70, 29} : Shape{3, 29, 70};
      if (ofAll || plainB)
        b.erase(b.begin());
      expectReference({[&](KernelMaker& maker, const Weights&) {
                         auto input = [&](const Shape& shape, bool turn) {
                           std::vector<std::string> sizes;
                           for (int64_t size : shape)
                             sizes.push_back(size == 3 ? "batch" : size == 70 ? "t" : text(size));
                           mlir::Value x = maker.tensor(type, sizes);
                           return turn ? exchange(maker, x) : x;
                         };
                         mlir::Value rows = input(a, turnA), columns = input(b, turnB);
                         return maker.finish("matmul", {maker.make<ir::MatmulOp>(rows, columns)});
                       },
                       {randomTensor(type, a, 1), randomTensor(type, b, 2)},
                       -1,
                       {{"batch", 3}, {"t", 70}},
                       70});
    }
}

/// A plain b becomes panels in a stage of its own, or, of few rows, where it is multiplied: known at compile time or at the call.
TEST(MatmulKernelShapes, fewRowsAndManyMeetAPlainB) {
  struct Case {
    DType type;
    int64_t n, k;
    bool isTurned;
  };
  for (auto [type, n, k, isTurned] : {Case{DType::F32, 45, 70, false},
                                      {DType::F32, 70, 3, true},
                                      {DType::F64, 33, 1030, true},
                                      {DType::BF16, 34, 600, false},
                                      {DType::F32, 20, 5, false},
                                      {DType::F32, 64, 70, false},
                                      {DType::F32, 64, 70, true},
                                      {DType::F64, 64, 70, false},
                                      {DType::F64, 64, 70, true}}) {
    Shape b = isTurned ? Shape{2, k, n} : Shape{2, n, k};
    Tensor w = randomTensor(type, b, 2);
    auto write = [&, type = type, k = k, isTurned = isTurned](KernelMaker& maker, const std::string& m) {
      mlir::Value a = maker.tensor(type, {"2", m, text(k)}), w = maker.tensor(type, {text(b[0]), text(b[1]), text(b[2])});
      return maker.finish("matmul", {maker.make<ir::MatmulOp>(a, isTurned ? exchange(maker, w) : w)});
    };
    for (int64_t m : {0, 1, 5, 300}) {
      SCOPED_TRACE(::testing::Message() << name(type) << " m " << m << " n " << n << " k " << k << (isTurned ? ", turned" : ""));
      Tensor a = randomTensor(type, {2, m, k}, 1);
      expectReference({[&](KernelMaker& maker, const Weights&) { return write(maker, "m"); }, {a, w}, -1, {{"m", m}}, k});
      if (m > 0)
        expectReference({[&](KernelMaker& maker, const Weights&) { return write(maker, text(m)); }, {a, w}, -1, {}, k});
    }
  }
}

/// A turned b of whole panels is read where it lies, unless its rows are so long that a panel's would push each other out of the cache.
TEST(MatmulKernelShapes, fewRowsMeetATurnedBWhereItLies) {
  auto context = makeContext();
  for (const std::string& target : testTargets()) {
    auto scratchOf = [&](DType type, int64_t n, int64_t k) {
      KernelMaker maker(*context);
      mlir::Value a = maker.tensor(type, {"m", text(k)}), w = maker.tensor(type, {text(k), text(n)});
      return LoadedKernel(maker.finish("matmul", {maker.make<ir::MatmulOp>(a, exchange(maker, w))}), target).image().stages.back().scratchBytes;
    };
    EXPECT_EQ(scratchOf(DType::F32, 64, 70), Size(0)) << target;
    EXPECT_EQ(scratchOf(DType::F64, 64, 70), Size(0)) << target;
    EXPECT_FALSE(scratchOf(DType::F32, 8192, 70) == Size(0)) << target;
    EXPECT_FALSE(scratchOf(DType::F32, 65, 70) == Size(0)) << target;
  }
}

TEST(MatmulKernelShapes, rowsThatMeetAPlainBDoNotDependOnTheirNumber) {
  auto context = makeContext();
  for (const std::string& target : testTargets())
    for (bool isTurned : {false, true}) {
      KernelMaker maker(*context);
      mlir::Value a = maker.tensor(DType::F32, {"m", "50"}), b = isTurned ? maker.tensor(DType::F32, {"50", "20"}) : maker.tensor(DType::F32, {"20", "50"});
      LoadedKernel kernel(maker.finish("matmul", {maker.make<ir::MatmulOp>(a, isTurned ? exchange(maker, b) : b)}), target);
      Tensor rows = randomTensor(DType::F32, {300, 50}, 1), w = randomTensor(DType::F32, isTurned ? Shape{50, 20} : Shape{20, 50}, 2);
      Tensor all = kernel.run({rows, w}, {{{"m", 300}}})[0], few = kernel.run({Tensor::borrow(rows.data(), {7, 50}, DType::F32), w}, {{{"m", 7}}})[0];
      EXPECT_EQ(std::memcmp(all.data(), few.data(), few.bytes()), 0) << target;
    }
}

TEST(MatmulKernelShapes, noRowsAtAll) {
  DType type = DType::F32;
  expectReference({[&](KernelMaker& maker, const Weights& weights) {
                     return maker.finish("matmul", {maker.make<ir::MatmulOp>(maker.tensor(type, {"m", "8"}), weights(maker, type, {8, 8}))});
                   },
                   {Tensor(type, {0, 8}), randomTensor(type, {8, 8}, 2)},
                   1,
                   {{"m", 0}},
                   8});
}

TEST(MatmulKernelShapes, rowsDoNotDependOnTheirNumber) {
  // The same row alone and among others: the same bits.
  auto context = makeContext();
  KernelMaker maker(*context);
  DType type = DType::F32;
  mlir::Value a = maker.tensor(type, {"m", "50"}), b = maker.tensor(type, {"1", "50", "16"});
  LoadedKernel kernel(maker.finish("matmul", {maker.make<ir::MatmulOp>(a, maker.make<ir::UnpackOp>(b, 16))}));
  Tensor rows = randomTensor(type, {9, 50}, 1), panels = randomTensor(type, {1, 50, 16}, 2);
  std::vector<double> all = kernel.run({rows, panels}, {{{"m", 9}}})[0].toDoubles();
  for (int64_t row = 0; row < 9; ++row) {
    Tensor one = Tensor::borrow(static_cast<float*>(rows.data()) + row * 50, {1, 50}, type);
    std::vector<double> alone = kernel.run({one, panels}, {{{"m", 1}}})[0].toDoubles();
    EXPECT_EQ(alone, std::vector<double>(all.begin() + row * 16, all.begin() + (row + 1) * 16)) << "row " << row;
  }
}

TEST(MatmulKernelTargets, everyTargetHasALegalScheduleAndCode) {
  // Machines that cannot run a target still compile for it.
  for (const char* target : {"cpu:x86-64-v2", "cpu:x86-64-v3", "cpu:x86-64-v4"})
    for (DType type : {DType::F32, DType::F64})
      for (int64_t n : {1, 7, 20, 64}) {
        auto context = makeContext();
        std::string error;
        auto emitter = codegen::makeEmitter(target, error);
        KernelMaker plain(*context), packed(*context);
        auto write = [&](KernelMaker& maker, const Weights& weights) {
          mlir::Value a = maker.tensor(type, {"m", "48"}), w = weights(maker, type, {n, 48});
          return maker.finish("matmul", {maker.make<ir::MatmulOp>(a, w)});
        };
        auto schedule = emitter->chooseSchedule(write(plain, Weights(std::nullopt)));
        ASSERT_TRUE(schedule) << target;
        ir::KernelOp kernel = write(packed, Weights(schedule.getAs<mlir::IntegerAttr>("nr").getInt()));
        kernel.setScheduleAttr(schedule);
        EXPECT_TRUE(succeeded(emitter->emit(kernel))) << target << ", n " << n;
      }
}

TEST(MatmulKernelErrors, namesWhatItCannotWrite) {
  auto context = makeContext();
  KernelMaker maker(*context);
  mlir::Value a = maker.tensor(DType::F32, {"4", "8"}), b = maker.tensor(DType::F32, {"1", "8", "16"});
  mlir::Value y = maker.make<ir::MatmulOp>(a, maker.make<ir::UnpackOp>(b, 16));
  ir::KernelOp kernel = maker.finish("matmul", {maker.make<ir::SoftmaxOp>(y)});
  try {
    LoadedKernel loaded(kernel);
    FAIL() << "a softmax behind a product was emitted";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("moe.softmax"), std::string::npos) << error.what();
  }
}

TEST(MatmulKernelErrors, drawsOfAnotherShapeBehindAProduct) {
  auto context = makeContext();
  KernelMaker maker(*context);
  mlir::Value a = maker.tensor(DType::F32, {"4", "8"}), w = maker.tensor(DType::F32, {"6", "8"}), draws = maker.draws(DType::F32, {"6"});
  ir::KernelOp kernel = maker.finish("matmul", {maker.make<ir::MulOp>(maker.make<ir::MatmulOp>(a, w), draws)});
  try {
    LoadedKernel loaded(kernel);
    FAIL() << "draws of one row were made for all";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("draws"), std::string::npos) << error.what();
  }
}

TEST(MatmulKernelErrors, sumsOfWhatTheProductMakes) {
  auto context = makeContext();
  KernelMaker maker(*context);
  mlir::Value a = maker.tensor(DType::F32, {"4", "8"}), w = maker.tensor(DType::F32, {"6", "8"}), y = maker.make<ir::MatmulOp>(a, w);
  ir::KernelOp kernel = maker.finish("matmul", {y, maker.make<ir::ReduceOp>(ir::ReduceKind::Sum, y, uint64_t{0})});
  try {
    LoadedKernel loaded(kernel);
    FAIL() << "the rows of a product were summed up beside it";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("what is summed up beside the product"), std::string::npos) << error.what();
  }
}

} // namespace
} // namespace moec::testing
