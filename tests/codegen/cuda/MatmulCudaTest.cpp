// Owner of: CUDA kernels of kind `matmul`. Every result is held against the reference interpreter.
#include "tests/codegen/ProductCheck.h"
#include "tests/codegen/cuda/CudaKernelCheck.h"

namespace moec::testing {
namespace {

struct Shape3 {
  DType type;
  int64_t m, n, k;
};
void PrintTo(const Shape3& one, std::ostream* stream) { *stream << name(one.type) << " m " << one.m << " n " << one.n << " k " << one.k; }

std::string text(int64_t value) { return std::to_string(value); }

ir::KernelOp plain(KernelMaker& maker, const Shape3& s, bool symbolic) {
  mlir::Value a = maker.tensor(s.type, {symbolic ? "m" : text(s.m), text(s.k)}), w = maker.tensor(s.type, {text(s.n), text(s.k)});
  return maker.finish("matmul", {maker.make<ir::MatmulOp>(a, w)});
}

class MatmulCuda : public ::testing::TestWithParam<Shape3> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  void expectNoConflicts(const CudaRun& run) { EXPECT_EQ(run.bankConflicts(), 0u); }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
};

TEST_P(MatmulCuda, plain) {
  KernelMaker maker(*context);
  const Shape3& s = GetParam();
  expectNoConflicts(checkCuda(plain(maker, s, true), {.check = {.bindings = {{"m", s.m}}, .terms = s.k}}));
}

TEST_P(MatmulCuda, biasActivationResidualAndScalar) {
  auto [type, m, n, k] = GetParam();
  KernelMaker maker(*context);
  mlir::Value a = maker.tensor(type, {text(m), text(k)}), w = maker.tensor(type, {text(n), text(k)});
  mlir::Value bias = maker.tensor(type, {text(n)}), residual = maker.tensor(type, {text(m), text(n)});
  mlir::Value scalar = maker.tensor(type, {"1"}), perRow = maker.tensor(type, {text(m), "1"});
  mlir::Value y = maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(a, w), bias);
  y = maker.make<ir::MulOp>(maker.make<ir::GeluOp>(y), scalar);
  y = maker.make<ir::MulOp>(maker.make<ir::AddOp>(y, residual), perRow);
  expectNoConflicts(checkCuda(maker.finish("matmul", {y}), {.check = {.terms = k}}));
}

INSTANTIATE_TEST_SUITE_P(Shapes, MatmulCuda,
                         ::testing::Values(Shape3{DType::F32, 1, 1, 1}, Shape3{DType::F32, 3, 17, 7}, Shape3{DType::F32, 17, 63, 29},
                                           Shape3{DType::F32, 63, 64, 64}, Shape3{DType::F32, 64, 65, 66}, Shape3{DType::F32, 65, 127, 128},
                                           Shape3{DType::F32, 127, 33, 300}, Shape3{DType::F32, 1, 1000, 100}, Shape3{DType::F32, 4, 96, 1028},
                                           Shape3{DType::F64, 1, 20, 60}, Shape3{DType::F64, 19, 21, 17}, Shape3{DType::F64, 65, 127, 130},
                                           Shape3{DType::F64, 50, 256, 63}, Shape3{DType::BF16, 1, 1, 1}, Shape3{DType::BF16, 19, 37, 29},
                                           Shape3{DType::BF16, 65, 127, 130}, Shape3{DType::BF16, 131, 96, 256}, Shape3{DType::BF16, 50, 256, 1000}));

/// a, b or both with their last two dimensions exchanged, as the gradients of products have them.
TEST_P(MatmulCuda, transposedOperands) {
  auto [type, m, n, k] = GetParam();
  for (auto [ofA, ofB] : {std::pair{false, true}, {true, false}, {true, true}}) {
    SCOPED_TRACE(::testing::Message() << (ofA ? "a " : "") << (ofB ? "b" : ""));
    KernelMaker maker(*context);
    auto operand = [&](bool transposed, const std::string& rows) {
      if (!transposed)
        return maker.tensor(type, {rows, text(k)});
      return maker.make<ir::TransposeOp>(maker.tensor(type, {text(k), rows}), maker.builder().getDenseI64ArrayAttr({1, 0}));
    };
    mlir::Value a = operand(ofA, text(m)), b = operand(ofB, text(n)), bias = maker.tensor(type, {text(n)});
    expectNoConflicts(checkCuda(maker.finish("matmul", {maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(a, b), bias)}), {.check = {.terms = k}}));
  }
}

/// The gradient of a weight with that of the bias.
TEST_P(MatmulCuda, sumsOfRowsBesideTheProduct) {
  auto [type, m, n, k] = GetParam();
  KernelMaker maker(*context);
  auto exchange = [&](mlir::Value x) { return maker.make<ir::TransposeOp>(x, maker.builder().getDenseI64ArrayAttr({1, 0})); };
  mlir::Value dy = maker.tensor(type, {"t", text(m)}), x = maker.tensor(type, {"t", text(n)});
  mlir::Value bias = maker.make<ir::ReduceOp>(ir::ReduceKind::Sum, dy, uint64_t{0}), other = maker.make<ir::ReduceOp>(ir::ReduceKind::Sum, x, uint64_t{0});
  mlir::Value y = maker.make<ir::MatmulOp>(exchange(dy), exchange(x));
  ir::KernelOp kernel = maker.finish("matmul", {bias, y, maker.make<ir::ReluOp>(y), other});
  for (int64_t tokens : {k, int64_t{0}})
    expectNoConflicts(checkCuda(kernel, {.check = {.bindings = {{"t", tokens}}, .terms = k}}));
}

/// A dropout behind a product, whose mask is a result too.
TEST_P(MatmulCuda, dropoutBehindTheProduct) {
  auto [type, m, n, k] = GetParam();
  DType wide = type == DType::BF16 ? DType::F32 : type;
  KernelMaker maker(*context);
  mlir::OpBuilder& b = maker.builder();
  auto element = [&](DType dtype) { return ir::elementType(dtype, b.getContext()); };
  auto number = [&](double value) {
    return maker.make<ir::ConstantOp>(mlir::DenseElementsAttr::get(mlir::RankedTensorType::get({1}, element(wide)), b.getFloatAttr(element(wide), value)));
  };
  auto cast = [&](mlir::Value x, DType to) { return maker.make<ir::CastOp>(x, mlir::TypeAttr::get(element(to))); };
  mlir::Value a = maker.tensor(type, {"2", "m", text(k)}), w = maker.tensor(type, {text(n), text(k)}), residual = maker.tensor(type, {"2", "m", text(n)});
  mlir::Value stays = maker.make<ir::CompareOp>(ir::Predicate::GE, maker.draws(wide, {"2", "m", text(n)}), number(0.25));
  mlir::Value y = maker.make<ir::MulOp>(cast(maker.make<ir::MatmulOp>(a, w), wide), maker.make<ir::MulOp>(cast(stays, wide), number(1 / 0.75)));
  expectNoConflicts(
      checkCuda(maker.finish("matmul", {maker.make<ir::AddOp>(cast(y, type), residual), stays}), {.check = {.bindings = {{"m", m}}, .terms = k}}));
}

/// A tile of every form that the cost model may choose.
class MatmulCudaTiles : public ::testing::TestWithParam<std::tuple<DType, std::array<int64_t, 5>, int64_t>> {};

TEST_P(MatmulCudaTiles, givesTheSameBits) {
  MOEC_SKIP_WITHOUT_NVRTC();
  auto [type, tile, k] = GetParam();
  auto context = makeContext();
  KernelMaker maker(*context);
  ir::KernelOp kernel = plain(maker, {type, 67, 131, k}, false);
  mlir::Builder b(context.get());
  llvm::SmallVector<mlir::NamedAttribute> fields;
  for (auto [name, value] : llvm::zip(std::array{"tile_m", "tile_n", "warps_m", "warps_n", "stages"}, tile))
    fields.push_back(b.getNamedAttr(name, b.getI64IntegerAttr(value)));
  kernel.setScheduleAttr(b.getDictionaryAttr(fields));
  CudaRun run = checkCuda(kernel, {.check = {.terms = k}});
  EXPECT_EQ(run.bankConflicts(), 0u);
  // Sums are in the order of K in every tile.
  KernelMaker other(*context);
  CudaOptions options{.check = {.terms = k}};
  ir::KernelOp chosen = plain(other, {type, 67, 131, k}, false);
  std::vector<Tensor> inputs = inputsFor(chosen, options.check);
  EXPECT_EQ(runOnEmulator(chosen, inputs, options).outputs[0].toDoubles(), run.outputs[0].toDoubles());
}

INSTANTIATE_TEST_SUITE_P(Tiles, MatmulCudaTiles,
                         ::testing::Combine(::testing::Values(DType::F32, DType::F64),
                                            ::testing::Values(std::array<int64_t, 5>{64, 64, 2, 2, 3}, std::array<int64_t, 5>{32, 64, 2, 2, 2},
                                                              std::array<int64_t, 5>{32, 32, 2, 2, 4}, std::array<int64_t, 5>{16, 64, 1, 4, 4},
                                                              std::array<int64_t, 5>{4, 32, 1, 4, 4}, std::array<int64_t, 5>{4, 16, 1, 2, 8}),
                                            ::testing::Values(64, 45)));
INSTANTIATE_TEST_SUITE_P(LargestTile, MatmulCudaTiles,
                         ::testing::Combine(::testing::Values(DType::F32), ::testing::Values(std::array<int64_t, 5>{64, 128, 2, 2, 2}),
                                            ::testing::Values(64, 45)));

class MatmulCudaShapes : public ::testing::Test {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
  KernelMaker maker{*context};
};

TEST_F(MatmulCudaShapes, leadingDimensionsAreRowsAndOperandsBroadcastOverSomeOfThem) {
  DType type = DType::F32;
  mlir::Value a = maker.tensor(type, {"batch", "5", "6", "24"}), w = maker.tensor(type, {"11", "24"});
  mlir::Value places = maker.tensor(type, {"5", "6", "11"}), fifths = maker.tensor(type, {"5", "1", "1"});
  mlir::Value perBatch = maker.tensor(type, {"batch", "1", "1", "11"});
  mlir::Value y = maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(a, w), places);
  y = maker.make<ir::AddOp>(maker.make<ir::MulOp>(y, fifths), perBatch);
  checkCuda(maker.finish("matmul", {y, maker.make<ir::ReluOp>(y)}), {.check = {.bindings = {{"batch", 3}}, .terms = 24}});
}

TEST_F(MatmulCudaShapes, everyExpertTimesTheSameRows) {
  for (DType type : {DType::F32, DType::F64}) {
    KernelMaker maker(*context);
    mlir::Value a = maker.tensor(type, {"m", "60"}), w = maker.tensor(type, {"4", "20", "60"}), bias = maker.tensor(type, {"4", "1", "20"});
    checkCuda(maker.finish("matmul", {maker.make<ir::TanhOp>(maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(a, w), bias))}),
              {.check = {.bindings = {{"m", 9}}, .low = -0.5, .high = 0.5, .terms = 60}});
  }
}

TEST_F(MatmulCudaShapes, everyExpertTimesItsOwnRows) {
  DType type = DType::F64;
  mlir::Value a = maker.tensor(type, {"3", "m", "16"}), w = maker.tensor(type, {"3", "10", "16"});
  checkCuda(maker.finish("matmul", {maker.make<ir::MatmulOp>(a, w)}), {.check = {.bindings = {{"m", 17}}, .terms = 16}});
}

TEST_F(MatmulCudaShapes, batchesBroadcastOnBothSides) {
  DType type = DType::F32;
  mlir::Value a = maker.tensor(type, {"2", "1", "7", "20"}), b = maker.tensor(type, {"3", "9", "20"});
  checkCuda(maker.finish("matmul", {maker.make<ir::MatmulOp>(a, b)}), {.check = {.terms = 20}});
}

TEST_F(MatmulCudaShapes, bThatTheCallComputedAndADepthKnownAtTheCall) {
  DType type = DType::F32;
  mlir::Value a = maker.tensor(type, {"batch", "7", "k"}), b = maker.tensor(type, {"batch", "n", "k"});
  checkCuda(maker.finish("matmul", {maker.make<ir::MatmulOp>(a, b)}), {.check = {.bindings = {{"batch", 2}, {"n", 45}, {"k", 35}}, .terms = 35}});
}

/// The gradient of weights sums over all tokens, whose number is known at the call; in a batch, each entry has its own.
TEST_F(MatmulCudaShapes, transposedOperandsOfSizesKnownAtTheCall) {
  for (DType type : {DType::F32, DType::F64, DType::BF16}) {
    KernelMaker maker(*context);
    mlir::OpBuilder& b = maker.builder();
    mlir::Value dy = maker.make<ir::TransposeOp>(maker.tensor(type, {"t", "45"}), b.getDenseI64ArrayAttr({1, 0}));
    mlir::Value x = maker.make<ir::TransposeOp>(maker.tensor(type, {"t", "24"}), b.getDenseI64ArrayAttr({1, 0}));
    ir::KernelOp kernel = maker.finish("matmul", {maker.make<ir::MatmulOp>(dy, x)});
    for (int64_t tokens : {0, 1, 130})
      checkCuda(kernel, {.check = {.bindings = {{"t", tokens}}, .terms = tokens}});
    KernelMaker batched(*context);
    mlir::Value p = batched.make<ir::TransposeOp>(batched.tensor(type, {"batch", "k", "m"}), b.getDenseI64ArrayAttr({0, 2, 1}));
    mlir::Value q = batched.make<ir::TransposeOp>(batched.tensor(type, {"batch", "k", "n"}), b.getDenseI64ArrayAttr({0, 2, 1}));
    checkCuda(batched.finish("matmul", {batched.make<ir::MatmulOp>(p, q)}),
              {.check = {.bindings = {{"batch", 3}, {"k", 35}, {"m", 45}, {"n", 33}}, .terms = 35}});
  }
}

/// All leading dimensions of a are rows of its own transpose in memory: each is a batch entry.
TEST_F(MatmulCudaShapes, aTransposedOperandWithLeadingDimensions) {
  DType type = DType::F32;
  mlir::Value a = maker.make<ir::TransposeOp>(maker.tensor(type, {"2", "3", "20", "7"}), maker.builder().getDenseI64ArrayAttr({0, 1, 3, 2}));
  mlir::Value w = maker.make<ir::TransposeOp>(maker.tensor(type, {"20", "9"}), maker.builder().getDenseI64ArrayAttr({1, 0}));
  checkCuda(maker.finish("matmul", {maker.make<ir::MatmulOp>(a, w)}), {.check = {.terms = 20}});
}

/// Rows of a weight lie behind each other: the product reads them where they are, also where the weight is turned, and where they begin in the midst of 16
/// bytes.
TEST_F(MatmulCudaShapes, rowsOfAWeight) {
  for (DType type : {DType::F32, DType::F64, DType::BF16})
    for (auto [n, k] : {std::pair<int64_t, int64_t>{45, 33}, {64, 40}})
      for (bool isTurned : {false, true}) {
        SCOPED_TRACE(::testing::Message() << name(type) << " n " << n << (isTurned ? ", turned" : ""));
        int64_t rows = isTurned ? k : n, width = isTurned ? n : k;
        KernelMaker maker(*context);
        mlir::OpBuilder& b = maker.builder();
        mlir::Value a = maker.tensor(type, {"m", text(k)}), w = maker.tensor(type, {text(rows + 9), text(width)});
        mlir::Value part = maker.make<ir::SliceOp>(w, b.getI64IntegerAttr(0), b.getStringAttr("5"), b.getStringAttr(text(rows)));
        if (isTurned)
          part = maker.make<ir::TransposeOp>(part, b.getDenseI64ArrayAttr({1, 0}));
        checkCuda(maker.finish("matmul", {maker.make<ir::MatmulOp>(a, part)}), {.check = {.bindings = {{"m", 19}}, .terms = k}});
      }
}

TEST_F(MatmulCudaShapes, noRowsAtAll) {
  DType type = DType::F32;
  mlir::Value a = maker.tensor(type, {"m", "8"}), w = maker.tensor(type, {"8", "8"});
  checkCuda(maker.finish("matmul", {maker.make<ir::MatmulOp>(a, w)}), {.check = {.bindings = {{"m", 0}}}});
}

TEST_F(MatmulCudaShapes, twoBlocksFitAMultiprocessorOfEveryTarget) {
  for (const std::string& target : cudaTargetNames()) {
    KernelMaker maker(*context);
    CudaRun run = checkCuda(plain(maker, {DType::F32, 65, 72, 40}, false), {.target = target, .check = {.terms = 40}});
    for (const StageInfo& stage : run.stages)
      EXPECT_GE(stage.grid->blocksPerMultiprocessor, 2) << target;
  }
}

TEST_F(MatmulCudaShapes, resultsAndResidualsInBfloat16) {
  for (DType type : {DType::F32, DType::F64}) {
    KernelMaker maker(*context);
    mlir::OpBuilder& b = maker.builder();
    mlir::Value a = maker.tensor(type, {"m", "20"}), w = maker.tensor(type, {"13", "20"}), residual = maker.tensor(DType::BF16, {"m", "13"});
    mlir::Value y = maker.make<ir::CastOp>(residual, mlir::TypeAttr::get(ir::elementType(type, b.getContext())));
    y = maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(a, w), y);
    checkCuda(maker.finish("matmul", {maker.make<ir::CastOp>(y, mlir::TypeAttr::get(b.getBF16Type())), y}), {.check = {.bindings = {{"m", 19}}, .terms = 20}});
  }
}

} // namespace
} // namespace moec::testing
