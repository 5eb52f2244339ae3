// Flops and bytes of ops and kernels, worked by hand.

#include "ir/Cost.h"
#include "tests/ir/TestModule.h"

namespace moec {

class CostTest : public IrTest {
protected:
  /// "flops / bytes" of the first op of the function's body.
  std::string costOf(const std::string& text) {
    mlir::func::FuncOp function = parse(text);
    if (!function)
      return "no function";
    ir::Cost cost = ir::costOf(&function.getBody().front().front());
    return cost.flops.str() + " / " + cost.bytes.str();
  }
};

TEST_F(CostTest, MatmulIsTwoMNK) {
  EXPECT_EQ(costOf(R"(func.func @f(%a: tensor<?x8xf32, #moe.sizes<"batch", "8">>, %b: tensor<4x8xf32>) {
    %y = moe.matmul %a, %b : tensor<?x8xf32, #moe.sizes<"batch", "8">>, tensor<4x8xf32>
    return })"),
            "64*batch / 48*batch+128"); // 2*batch*4*8; 4 bytes of batch*8 + 4*8 + batch*4
}

TEST_F(CostTest, ElementwiseIsOnePerElement) {
  EXPECT_EQ(costOf(R"(func.func @f(%a: tensor<3x1xf64>, %b: tensor<5xf64>) {
    %y = moe.add %a, %b : tensor<3x1xf64>, tensor<5xf64>
    return })"),
            "15 / 184"); // 8 bytes of 3 + 5 + 15
}

TEST_F(CostTest, GroupedMatmulCountsEveryRow) {
  EXPECT_EQ(costOf(
                R"(func.func @f(%x: tensor<6x2xbf16>, %w: tensor<3x5x2xbf16>, %r: !moe.routing<3 experts, "3" tokens, 2 choices>) {
    %y = moe.grouped_matmul %x, %w, %r : tensor<6x2xbf16>, tensor<3x5x2xbf16>, !moe.routing<3 experts, "3" tokens, 2 choices>
    return })"),
            "120 / 208"); // 2*6*5*2; 2 bytes of 12 + 30 + 30, and 4 bytes of 3 + 1 + 2*6
}

TEST_F(CostTest, AttentionIsTwoProductsAndASoftmax) {
  EXPECT_EQ(costOf(R"(func.func @f(%q: tensor<2x3x8xf32>, %k: tensor<2x5x8xf32>) {
    %y = moe.attention %q, %k, %k heads 2 scale 1.0 : tensor<2x3x8xf32>, tensor<2x5x8xf32>, tensor<2x5x8xf32>
    return })"),
            "1320 / 1024"); // 2*3*5 pairs of 4*8 + 6*2; 4 bytes of 48 + 80 + 80 + 48
  EXPECT_EQ(costOf(R"(func.func @f(%q: tensor<2x3x8xf32>, %k: tensor<2x5x8xf32>, %d: tensor<2x2x3x5xf32>) {
    %y = moe.attention %q, %k, %k draws %d : tensor<2x2x3x5xf32> dropout 0.5 heads 2 scale 1.0 : tensor<2x3x8xf32>, tensor<2x5x8xf32>, tensor<2x5x8xf32>
    return })"),
            "1440 / 1264"); // 2 more for each of 2 heads; 60 draws
}

TEST_F(CostTest, AKernelMovesItsArgumentsAndResultsOnly) {
  EXPECT_EQ(costOf(R"(func.func @f(%x: tensor<10xf32>) {
    %y = moe.kernel "rows" "k"(%x) : (tensor<10xf32>) -> tensor<10xf32> {
    ^bb0(%a: tensor<10xf32>):
      %b = moe.relu %a : tensor<10xf32>
      %c = moe.mul %a, %b : tensor<10xf32>, tensor<10xf32>
      %d = moe.softmax %c : tensor<10xf32>
      moe.yield %d : tensor<10xf32>
    }
    return })"),
            "70 / 80");
}

// Two experts of ten are all that one token with two choices can reach, and two entries of seven are what two ids can name.
TEST_F(CostTest, AKernelReadsWhatItsChoicesReach) {
  // 4 bytes of x 2*4, two experts' weights 2*16 and biases 2*4, the routing 10 + 1 + 2*2 and the result 2*4: 71. 2*2*4*4 flops, and an addition for each of 8.
  EXPECT_EQ(costOf(R"(func.func @f(%x: tensor<2x4xf32>, %w: tensor<10x1x4x4xf32>, %b: tensor<10x4xf32>, %r: !moe.routing<10 experts, "1" tokens, 2 choices>) {
    %y = moe.kernel "expert_up" "k"(%x, %w, %b, %r) : (tensor<2x4xf32>, tensor<10x1x4x4xf32>, tensor<10x4xf32>, !moe.routing<10 experts, "1" tokens, 2 choices>) -> tensor<2x4xf32> {
    ^bb0(%a: tensor<2x4xf32>, %p: tensor<10x1x4x4xf32>, %c: tensor<10x4xf32>, %q: !moe.routing<10 experts, "1" tokens, 2 choices>):
      %u = moe.unpack %p n 4 : tensor<10x1x4x4xf32>
      %m = moe.grouped_matmul %a, %u, %q : tensor<2x4xf32>, tensor<10x4x4xf32>, !moe.routing<10 experts, "1" tokens, 2 choices>
      %t = moe.expert_rows %c, %q : tensor<10x4xf32>, !moe.routing<10 experts, "1" tokens, 2 choices>
      %z = moe.add %m, %t : tensor<2x4xf32>, tensor<2x4xf32>
      moe.yield %z : tensor<2x4xf32>
    }
    return })"),
            "72 / 284");
  // The routing itself is read whole: 4 bytes of 2*4, two experts' 2*4, 10 + 1 + 2*2 and 2*4.
  EXPECT_EQ(costOf(R"(func.func @f(%x: tensor<2x4xf32>, %b: tensor<10x4xf32>, %r: !moe.routing<10 experts, "1" tokens, 2 choices>) {
    %y = moe.kernel "rows" "k"(%x, %b, %r) : (tensor<2x4xf32>, tensor<10x4xf32>, !moe.routing<10 experts, "1" tokens, 2 choices>) -> tensor<2x4xf32> {
    ^bb0(%a: tensor<2x4xf32>, %c: tensor<10x4xf32>, %q: !moe.routing<10 experts, "1" tokens, 2 choices>):
      %t = moe.expert_rows %c, %q : tensor<10x4xf32>, !moe.routing<10 experts, "1" tokens, 2 choices>
      %z = moe.mul %a, %t : tensor<2x4xf32>, tensor<2x4xf32>
      moe.yield %z : tensor<2x4xf32>
    }
    return })"),
            "8 / 156");
  EXPECT_EQ(costOf(R"(func.func @f(%i: tensor<2xi64>, %t: tensor<7x3xf64>) {
    %y = moe.kernel "loops" "k"(%i, %t) : (tensor<2xi64>, tensor<7x3xf64>) -> tensor<2x3xf64> {
    ^bb0(%a: tensor<2xi64>, %b: tensor<7x3xf64>):
      %e = moe.embedding %a, %b : tensor<2xi64>, tensor<7x3xf64>
      moe.yield %e : tensor<2x3xf64>
    }
    return })"),
            "0 / 112"); // 8 bytes of 2 + 2*3 + 2*3
  EXPECT_EQ(costOf(R"(func.func @f(%i: tensor<9xi64>, %t: tensor<7x3xf64>) {
    %y = moe.kernel "loops" "k"(%i, %t) : (tensor<9xi64>, tensor<7x3xf64>) -> tensor<9x3xf64> {
    ^bb0(%a: tensor<9xi64>, %b: tensor<7x3xf64>):
      %e = moe.embedding %a, %b : tensor<9xi64>, tensor<7x3xf64>
      moe.yield %e : tensor<9x3xf64>
    }
    return })"),
            "0 / 456"); // 8 bytes of 9 + 7*3 + 9*3: no entry is read twice
}

} // namespace moec
