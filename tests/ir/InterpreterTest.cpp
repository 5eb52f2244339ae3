// The interpreter as the reference device uses it: one kernel's region from tensors to tensors, sizes from arguments,
// errors that name the op.

#include "ir/reference/Interpreter.h"
#include "ir/reference/Routing.h"
#include "runtime/core/Error.h"
#include "tests/ir/TestModule.h"

namespace moec {

class InterpreterTest : public IrTest {
protected:
  /// The text of the error that evaluating the function throws, after its fault.
  std::string errorOf(mlir::func::FuncOp function, std::vector<Tensor> arguments, Fault fault) {
    try {
      reference::Call call;
      reference::evaluate(function, arguments, call);
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), fault);
      return error.what();
    }
    return "no error";
  }
};

static const char* const expertLayer = R"(
func.func @f(%x: tensor<?x1xf32, #moe.sizes<"t", "1">>, %w: tensor<2x1x1xf32>, %r: !moe.routing<2 experts, "t" tokens, 1 choices>)
    -> tensor<?x1xf32, #moe.sizes<"t", "1">> {
  %y = moe.kernel "expert_up" "moe"(%x, %w, %r) : (tensor<?x1xf32, #moe.sizes<"t", "1">>, tensor<2x1x1xf32>,
      !moe.routing<2 experts, "t" tokens, 1 choices>) -> tensor<?x1xf32, #moe.sizes<"t", "1">> {
  ^bb0(%a: tensor<?x1xf32, #moe.sizes<"t", "1">>, %b: tensor<2x1x1xf32>, %c: !moe.routing<2 experts, "t" tokens, 1 choices>):
    %d = moe.dispatch %a, %c : tensor<?x1xf32, #moe.sizes<"t", "1">>, !moe.routing<2 experts, "t" tokens, 1 choices>
    %e = moe.grouped_matmul %d, %b, %c : tensor<?x1xf32, #moe.sizes<"t", "1">>, tensor<2x1x1xf32>, !moe.routing<2 experts, "t" tokens, 1 choices>
    moe.yield %e : tensor<?x1xf32, #moe.sizes<"t", "1">>
  }
  return %y : tensor<?x1xf32, #moe.sizes<"t", "1">>
})";

TEST_F(InterpreterTest, OneKernelFromTensorsToTensors) {
  auto kernel = first<ir::KernelOp>(parse(expertLayer));
  ASSERT_TRUE(kernel);
  reference::Routing routing = reference::routingOf({{2}, {0, 1}}, 3, 1);
  std::vector<Tensor> arguments = {Tensor::of<float>({1, 2, 3}, {3, 1}), Tensor::of<float>({10, 100}, {2, 1, 1}), reference::toTensor(routing)};
  reference::Call call;
  int observed = 0;
  std::vector<Tensor> results = reference::evaluate(kernel, arguments, call, [&](mlir::Operation*, llvm::ArrayRef<Tensor>) { ++observed; });
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].toDoubles(), (std::vector<double>{30, 100, 200}));
  EXPECT_EQ(call.bindings.at("t"), 3);
  EXPECT_EQ(observed, 2);
}

TEST_F(InterpreterTest, OneNameIsOneSize) {
  auto function = parse(expertLayer);
  std::vector<Tensor> arguments = {Tensor::of<float>({1, 2}, {2, 1}), Tensor::of<float>({10, 100}, {2, 1, 1}),
                                   reference::toTensor(reference::routingOf({{2}, {0, 1}}, 3, 1))};
  EXPECT_EQ(errorOf(function, arguments, Fault::Usage), "the size t is 2 in one argument and 3 in another");
}

TEST_F(InterpreterTest, ArgumentsHaveTheirTypes) {
  auto function = parse("func.func @f(%x: tensor<2xf32>) -> tensor<2xf32> { return %x : tensor<2xf32> }");
  EXPECT_EQ(errorOf(function, {Tensor::of<float>({1}, {1})}, Fault::Internal), "argument 0 is f32[1], its type says f32[2]");
  EXPECT_EQ(errorOf(function, {Tensor::of<double>({1, 2}, {2})}, Fault::Internal), "argument 0 is f64[2], its type says f32[2]");
  EXPECT_EQ(errorOf(function, {}, Fault::Internal), "0 arguments for a region of 1");
}

TEST_F(InterpreterTest, ErrorsNameTheOpByItsPath) {
  auto function = parse(R"(
func.func @f(%i: tensor<1xi64>, %t: tensor<2x1xf32>) -> tensor<1x1xf32> {
  %y = moe.embedding %i, %t : tensor<1xi64>, tensor<2x1xf32> loc("words")
  return %y : tensor<1x1xf32>
})");
  std::vector<Tensor> arguments = {Tensor::of<int64_t>({2}, {1}), Tensor::of<float>({0, 0}, {2, 1})};
  EXPECT_EQ(errorOf(function, arguments, Fault::Data), "words: moe.embedding: embedding: the id 2 is not below 2");
}

TEST_F(InterpreterTest, AStateWithoutValueIsNamed) {
  auto function = parse(R"(
moe.prepared @packed : tensor<1xf32>
func.func @f() -> tensor<1xf32> {
  %y = moe.read @packed : tensor<1xf32>
  return %y : tensor<1xf32>
})");
  EXPECT_EQ(errorOf(function, {}, Fault::Internal), "moe.read: the state @packed has no value");
}

TEST_F(InterpreterTest, ARoutingThatContradictsItselfIsRefused) {
  Tensor good = reference::toTensor(reference::routingOf({{1}, {0}}, 2, 1)); // offsets 0 1 2, rows 1 0, slots 1 0
  EXPECT_EQ(reference::toTensor(reference::toRouting(good, 2, 2, 1)).toDoubles(), good.toDoubles());
  for (auto [place, value] : {std::pair{0, 1}, {1, 3}, {3, 0}, {3, 2}, {5, -1}, {2, 1}}) {
    Tensor bad = good.clone();
    bad.as<int32_t>()[place] = value;
    EXPECT_THROW(reference::toRouting(bad, 2, 2, 1), Error) << "element " << place << " = " << value;
  }
  EXPECT_THROW(reference::toRouting(good, 2, 3, 1), Error);
}

} // namespace moec
