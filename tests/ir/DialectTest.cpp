// The C++ face of the dialect: types from sizes, builders that infer their results, broadcasting of sizes.

#include "tests/ir/TestModule.h"

namespace moec {

using ir::Sizes;

class DialectTest : public IrTest {};

static const Size batch = Size::symbol("batch");

TEST_F(DialectTest, SizesOfATensorComeBack) {
  mlir::Type f32 = mlir::Float32Type::get(&context);
  mlir::RankedTensorType dynamic = ir::tensorOf({batch * Size(2), 3}, f32);
  EXPECT_TRUE(dynamic.isDynamicDim(0));
  EXPECT_FALSE(dynamic.isDynamicDim(1));
  EXPECT_EQ(ir::describe(ir::sizesOf(dynamic)), "[2*batch, 3]");
  mlir::RankedTensorType constant = ir::tensorOf({2, 3}, f32);
  EXPECT_FALSE(constant.getEncoding());
  EXPECT_EQ(ir::describe(ir::sizesOf(constant)), "[2, 3]");
}

TEST_F(DialectTest, EverySizeBroadcastsToOneAndItself) {
  EXPECT_EQ(ir::broadcastSizes({batch, 1}, {3}), (Sizes{batch, 3}));
  EXPECT_EQ(ir::broadcastSizes({1, 3}, {batch, 3}), (Sizes{batch, 3}));
  EXPECT_EQ(ir::broadcastSizes({}, {batch}), (Sizes{batch}));
  EXPECT_EQ(ir::broadcastSizes({2}, {batch}), std::nullopt);
  EXPECT_EQ(ir::broadcastSizes({Size::symbol("n")}, {batch}), std::nullopt);
}

TEST_F(DialectTest, EveryDtypeHasItsElementType) {
  for (DType type : {DType::F64, DType::F32, DType::BF16, DType::I64, DType::I32, DType::U8, DType::Bool})
    EXPECT_EQ(ir::dtypeOf(ir::elementType(type, &context)), type);
}

TEST_F(DialectTest, BuildersInferTheirResults) {
  mlir::Location location = mlir::NameLoc::get(mlir::StringAttr::get(&context, "layers.0"));
  mlir::OwningOpRef<mlir::ModuleOp> owner = mlir::ModuleOp::create(location);
  mlir::OpBuilder builder = mlir::OpBuilder::atBlockEnd(owner->getBody());
  auto x = ir::RandomOp::create(builder, location, ir::tensorOf({batch, 8}, builder.getF32Type()), ir::Distribution::Normal, "x");
  auto w = ir::RandomOp::create(builder, location, ir::tensorOf({4, 8}, builder.getF32Type()), ir::Distribution::Normal, "w");
  auto product = ir::MatmulOp::create(builder, location, x, w);
  EXPECT_EQ(ir::describe(ir::sizesOf(product)), "[batch, 4]");
  auto select = ir::SelectOp::create(builder, location, product, 2);
  EXPECT_EQ(ir::describe(ir::sizesOf(select.getIndices())), "[batch, 2]");
  auto assign = ir::AssignOp::create(builder, location, select.getIndices(), builder.getI64IntegerAttr(4),
                                     ir::PriorityAttr::get(builder.getContext(), ir::Priority::TokenMajor), mlir::StringAttr());
  auto rows = ir::DispatchOp::create(builder, location, x, assign);
  EXPECT_EQ(ir::describe(ir::sizesOf(rows)), "[2*batch, 8]");
  auto combined = ir::CombineOp::create(builder, location, rows, assign, select.getValues());
  EXPECT_EQ(combined.getType(), x.getType());
  auto normal = ir::LayerNormOp::create(builder, location, x, mlir::Value(), mlir::Value(), llvm::APFloat(1e-5));
  EXPECT_EQ(normal.getType(), x.getType());
  EXPECT_TRUE(mlir::succeeded(owner->verify()));
  EXPECT_EQ(ir::pathOf(combined.getLoc()), "layers.0");
  EXPECT_TRUE(ir::isElementwise(ir::AddOp::create(builder, location, x, x)));
  EXPECT_FALSE(ir::isElementwise(product));
}

TEST_F(DialectTest, TryCreateReportsInsteadOfEnding) {
  mlir::Location location = mlir::UnknownLoc::get(&context);
  mlir::OwningOpRef<mlir::ModuleOp> owner = mlir::ModuleOp::create(location);
  mlir::OpBuilder builder = mlir::OpBuilder::atBlockEnd(owner->getBody());
  auto draw = [&](const Sizes& sizes) {
    mlir::Type type = ir::tensorOf(sizes, builder.getF32Type());
    return ir::RandomOp::create(builder, location, type, ir::Distribution::Normal, "x").getResult();
  };
  std::string text;
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic& diagnostic) { text = diagnostic.str(); });
  mlir::Value a = draw({2, 3}), b = draw({4, 5});
  EXPECT_TRUE(failed(ir::tryCreate<ir::MatmulOp>(builder, location, {a, b})));
  EXPECT_EQ(text, "matmul C4: the last dimensions of a and b agree: a has 3, b has 5");
  ir::SelectOp::Properties three;
  three.k = builder.getI64IntegerAttr(3);
  mlir::FailureOr<ir::SelectOp> select = ir::tryCreate<ir::SelectOp>(builder, location, a, three);
  ASSERT_TRUE(succeeded(select));
  EXPECT_EQ(select->getK(), 3u);
  EXPECT_EQ(ir::describe(ir::sizesOf(select->getValues())), "[2, 3]");
}

} // namespace moec
