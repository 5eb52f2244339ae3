// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// softmax_grad: y (dy - sum of dy y)

// 1/4 * 4 + 3/4 * 8 = 7
func.func @check_two() -> (tensor<2x2xf64>, tensor<2x2xf64>) {
  %dy = moe.constant dense<[[4.0, 8.0], [5.0, 5.0]]> : tensor<2x2xf64>
  %y = moe.constant dense<[[0.25, 0.75], [0.5, 0.5]]> : tensor<2x2xf64>
  %dx = moe.softmax_grad %dy, %y : tensor<2x2xf64>, tensor<2x2xf64>
  %expected = moe.constant dense<[[-0.75, 0.75], [0.0, 0.0]]> : tensor<2x2xf64>
  return %dx, %expected : tensor<2x2xf64>, tensor<2x2xf64>
}

func.func @check_nan() -> (tensor<2xf32>, tensor<2xf32>) {
  %dy = moe.constant dense<[0x7FC00000, 1.0]> : tensor<2xf32>
  %y = moe.constant dense<[0.5, 0.5]> : tensor<2xf32>
  %dx = moe.softmax_grad %dy, %y : tensor<2xf32>, tensor<2xf32>
  %expected = moe.constant dense<[0x7FC00000, 0x7FC00000]> : tensor<2xf32>
  return %dx, %expected : tensor<2xf32>, tensor<2xf32>
}
