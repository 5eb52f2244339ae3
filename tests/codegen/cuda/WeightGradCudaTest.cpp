// Owner of: CUDA kernels of kind `weight_grad`. Every result is held against the reference interpreter.
#include "runtime/core/Philox.h"
#include "tests/codegen/ProductCheck.h"
#include "tests/codegen/cuda/CudaKernelCheck.h"

namespace moec::testing {
namespace {

std::string text(int64_t value) { return std::to_string(value); }
int32_t anyOf(int64_t row, int64_t experts) { return static_cast<int32_t>(draw(3, 1, 0, static_cast<uint64_t>(row))[0] % static_cast<uint32_t>(experts)); }

struct Fill {
  const char* name;
  int64_t tokens;
  int32_t (*expert)(int64_t row); // of five
};
const Fill kFills[] = {
    {"mixed", 37, [](int64_t row) { return anyOf(row, 5); }},
    {"emptyExperts", 61, [](int64_t row) { return row % 2 ? 4 : 1; }},
    {"oneGetsAll", 150, [](int64_t) { return 2; }},
    {"someDropped", 29, [](int64_t row) { return row % 4 == 0 || row < 3 ? -1 : anyOf(row, 5); }},
    {"allDropped", 6, [](int64_t) { return -1; }},
    {"oneToken", 1, [](int64_t row) { return row ? 3 : 0; }},
    {"noTokens", 0, [](int64_t) { return 0; }},
};

struct Case {
  DType type;
  int64_t columns, depth;
};

class WeightGradCuda : public ::testing::TestWithParam<Case> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  ir::KernelOp plain(KernelMaker& maker) {
    auto [type, columns, depth] = GetParam();
    mlir::Value dy = maker.tensor(type, {"2*t", text(columns)}), rows = maker.tensor(type, {"2*t", text(depth)}), routing = maker.routing(5, "t", 2);
    return maker.finish("weight_grad", {maker.make<ir::GroupedWeightGradOp>(dy, rows, routing)});
  }
  CudaRun check(ir::KernelOp kernel, const Fill& fill) {
    SCOPED_TRACE(fill.name);
    auto [type, columns, depth] = GetParam();
    std::vector<int32_t> experts;
    for (int64_t row = 0; row < fill.tokens * 2; ++row)
      experts.push_back(fill.expert(row));
    Tensor routing = routingTensor(experts, 5, 2);
    CudaOptions options{.kept = static_cast<const int32_t*>(routing.data())[5], .raggedInputs = {0, 1}};
    options.check.bindings = {{"t", fill.tokens}};
    options.check.inputs = {randomTensor(type, {fill.tokens * 2, columns}, 1), randomTensor(type, {fill.tokens * 2, depth}, 2), routing};
    options.check.terms = fill.tokens * 2;
    CudaRun run = checkCuda(kernel, options);
    EXPECT_EQ(run.bankConflicts(), 0u);
    return run;
  }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
};

TEST_P(WeightGradCuda, everyRouting) {
  KernelMaker maker(*context);
  ir::KernelOp kernel = plain(maker);
  for (const Fill& fill : kFills)
    check(kernel, fill);
}

TEST_P(WeightGradCuda, addedToWhatCameBefore) {
  auto [type, columns, depth] = GetParam();
  KernelMaker maker(*context);
  mlir::Value dy = maker.tensor(type, {"2*t", text(columns)}), rows = maker.tensor(type, {"2*t", text(depth)}), routing = maker.routing(5, "t", 2);
  mlir::Value before = maker.tensor(type, {"5", text(columns), text(depth)});
  ir::KernelOp kernel = maker.finish("weight_grad", {maker.make<ir::AddOp>(before, maker.make<ir::GroupedWeightGradOp>(dy, rows, routing))});
  check(kernel, kFills[1]);
}

/// The gradient of the experts' biases, of the same rows.
TEST_P(WeightGradCuda, sumsOfRowsBeside) {
  auto [type, columns, depth] = GetParam();
  KernelMaker maker(*context);
  mlir::Value dy = maker.tensor(type, {"2*t", text(columns)}), rows = maker.tensor(type, {"2*t", text(depth)}), routing = maker.routing(5, "t", 2);
  mlir::Value gradient = maker.make<ir::GroupedWeightGradOp>(dy, rows, routing);
  ir::KernelOp kernel = maker.finish("weight_grad", {gradient, maker.make<ir::ExpertSumsOp>(dy, routing)});
  for (const Fill& fill : kFills)
    check(kernel, fill);
}

/// Sums are in the order of the rows in every tile.
TEST_P(WeightGradCuda, everyTileGivesTheSameBits) {
  KernelMaker maker(*context);
  CudaRun chosen = check(plain(maker), kFills[2]);
  for (auto tile : {std::array<int64_t, 5>{64, 64, 2, 2, 2}, {4, 32, 1, 4, 4}, {16, 16, 1, 2, 3}}) {
    KernelMaker other(*context);
    ir::KernelOp kernel = plain(other);
    mlir::Builder b(context.get());
    llvm::SmallVector<mlir::NamedAttribute> fields;
    for (auto [name, value] : llvm::zip(std::array{"tile_m", "tile_n", "warps_m", "warps_n", "stages"}, tile))
      fields.push_back(b.getNamedAttr(name, b.getI64IntegerAttr(value)));
    kernel.setScheduleAttr(b.getDictionaryAttr(fields));
    EXPECT_EQ(check(kernel, kFills[2]).outputs[0].toDoubles(), chosen.outputs[0].toDoubles());
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, WeightGradCuda,
                         ::testing::Values(Case{DType::F32, 51, 24}, Case{DType::F32, 1, 1}, Case{DType::F32, 72, 130}, Case{DType::F32, 18, 33},
                                           Case{DType::F64, 40, 21}, Case{DType::F64, 16, 66}, Case{DType::BF16, 24, 40}, Case{DType::BF16, 19, 34},
                                           Case{DType::BF16, 17, 13}),
                         [](const auto& info) { return std::string(name(info.param.type)) + "_" + text(info.param.columns) + "x" + text(info.param.depth); });

} // namespace
} // namespace moec::testing
