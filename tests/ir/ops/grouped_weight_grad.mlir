// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// grouped_weight_grad: of each expert's matrix

// rows: token 1 | tokens 0, 2 | none. 1 * (10, 20); 2 * (1, 2) + 3 * (100, 200)
func.func @check_sums() -> (tensor<3x1x2xf32>, tensor<3x1x2xf32>) {
  %dy = moe.constant dense<[[1.0], [2.0], [3.0]]> : tensor<3x1xf32>
  %rows = moe.constant dense<[[10.0, 20.0], [1.0, 2.0], [100.0, 200.0]]> : tensor<3x2xf32>
  %i = moe.constant dense<[[1], [0], [1]]> : tensor<3x1xi32>
  %r = moe.assign %i experts 3 token_major : tensor<3x1xi32>
  %y = moe.grouped_weight_grad %dy, %rows, %r : tensor<3x1xf32>, tensor<3x2xf32>, !moe.routing<3 experts, "3" tokens, 1 choices>
  %expected = moe.constant dense<[[[10.0, 20.0]], [[302.0, 604.0]], [[0.0, 0.0]]]> : tensor<3x1x2xf32>
  return %y, %expected : tensor<3x1x2xf32>, tensor<3x1x2xf32>
}

// (out, in): dy is 2 wide, rows 1; rows behind the count are not looked at
func.func @check_dropped() -> (tensor<1x2x1xf32>, tensor<1x2x1xf32>) {
  %dy = moe.constant dense<[[1.0, 2.0], [0x7FC00000, 3.0]]> : tensor<2x2xf32>
  %rows = moe.constant dense<[[5.0], [0x7FC00000]]> : tensor<2x1xf32>
  %i = moe.constant dense<[[0], [-1]]> : tensor<2x1xi32>
  %r = moe.assign %i experts 1 token_major : tensor<2x1xi32>
  %y = moe.grouped_weight_grad %dy, %rows, %r : tensor<2x2xf32>, tensor<2x1xf32>, !moe.routing<1 experts, "2" tokens, 1 choices>
  %expected = moe.constant dense<[[[5.0], [10.0]]]> : tensor<1x2x1xf32>
  return %y, %expected : tensor<1x2x1xf32>, tensor<1x2x1xf32>
}
