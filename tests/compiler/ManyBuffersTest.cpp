// Owner of: how many buffers a launch of many tensors has. CUDA takes no more parameters.
#include "compiler/passes/Passes.h"
#include "compiler/passes/Updates.h"
#include "tests/ir/TestModule.h"

#include <fmt/format.h>

namespace moec {

class ManyBuffersTest : public IrTest {
protected:
  /// The kernels of totals; all sums over tensors stand in one.
  std::vector<ir::KernelOp> totals(mlir::func::FuncOp function) {
    EXPECT_TRUE(succeeded(compiler::fuseTotals(function)));
    EXPECT_FALSE(first<ir::ReduceOp>(function)) << "a sum is left outside";
    std::vector<ir::KernelOp> kernels;
    for (auto kernel : function.getOps<ir::KernelOp>()) {
      EXPECT_EQ(kernel.getKind(), "totals");
      EXPECT_LE(kernel.getNumOperands() + kernel.getNumResults(), compiler::kMostBuffers);
      kernels.push_back(kernel);
    }
    return kernels;
  }
};

constexpr int kTensors = 1500; // whose sums read three tensors each: fewer sums than buffers that a launch may have, and more buffers

std::string sumOfThree(int i) {
  return fmt::format(R"(
    %p{0} = moe.mul %a{0}, %b{0} : tensor<3xf32>, tensor<3xf32>
    %q{0} = moe.mul %p{0}, %c{0} : tensor<3xf32>, tensor<3xf32>
    %s{0} = moe.reduce sum %q{0} axis 0 : tensor<3xf32>)",
                     i);
}
std::string argumentsOf(int i) { return fmt::format("{1}%a{0}: tensor<3xf32>, %b{0}: tensor<3xf32>, %c{0}: tensor<3xf32>", i, i ? ", " : ""); }

TEST_F(ManyBuffersTest, sumsThatAreAddedUp) {
  std::string arguments, body = "    %t0 = moe.constant dense<0.0> : tensor<f32>";
  for (int i = 0; i < kTensors; ++i) {
    arguments += argumentsOf(i);
    body += sumOfThree(i) + fmt::format("\n    %t{} = moe.add %t{}, %s{} : tensor<f32>, tensor<f32>", i + 1, i, i);
  }
  auto function = parse(fmt::format("func.func @f({}) -> tensor<f32> {{\n{}\n    return %t{} : tensor<f32>\n}}", arguments, body, kTensors));
  ASSERT_TRUE(function);
  EXPECT_EQ(totals(function).size(), 2u);
}

TEST_F(ManyBuffersTest, sumsOfSingleParameters) {
  std::string arguments, states, body;
  for (int i = 0; i < kTensors; ++i) {
    arguments += argumentsOf(i);
    states += fmt::format("moe.state @x{} : tensor<f32> init #moe.init<\"zeros\", 0.0 : f64, 0.0 : f64>\n", i);
    body += sumOfThree(i) + fmt::format("\n    moe.write @x{0}, %s{0} : tensor<f32>\n", i);
  }
  auto function = parse(fmt::format("{}func.func @train_step({}) {{\n{}\n    return\n}}", states, arguments, body), "train_step");
  ASSERT_TRUE(function);
  EXPECT_EQ(totals(function).size(), 2u);
}

} // namespace moec
