// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// layer_norm_grad: of x alone

// of 1, 3 with 1 / sqrt(1 + 3) = 1/2: normal -1/2, 1/2; the mean of dy is 3, that of dy normal 1
func.func @check_eps() -> (tensor<1x2xf64>, tensor<1x2xf64>) {
  %dy = moe.constant dense<[[1.0, 5.0]]> : tensor<1x2xf64>
  %x = moe.constant dense<[[1.0, 3.0]]> : tensor<1x2xf64>
  %dx = moe.layer_norm_grad %dy, %x eps 3.0 of tensor<1x2xf64>, tensor<1x2xf64>
  %expected = moe.constant dense<[[-0.75, 0.75]]> : tensor<1x2xf64>
  return %dx, %expected : tensor<1x2xf64>, tensor<1x2xf64>
}

// dy weight = 2, 2.5
func.func @check_weight() -> (tensor<1x2xf64>, tensor<1x2xf64>) {
  %dy = moe.constant dense<[[1.0, 5.0]]> : tensor<1x2xf64>
  %x = moe.constant dense<[[1.0, 3.0]]> : tensor<1x2xf64>
  %w = moe.constant dense<[2.0, 0.5]> : tensor<2xf64>
  %dx = moe.layer_norm_grad %dy, %x weight %w : tensor<2xf64> eps 3.0 of tensor<1x2xf64>, tensor<1x2xf64>
  %expected = moe.constant dense<[[-0.09375, 0.09375]]> : tensor<1x2xf64>
  return %dx, %expected : tensor<1x2xf64>, tensor<1x2xf64>
}

// normal -1, -1, 1, 1; the means are 3 and 3/2
func.func @check_rows() -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  %dy = moe.constant dense<[[1.0, 2.0, 3.0, 6.0], [1.0, 1.0, 1.0, 1.0]]> : tensor<2x4xf32>
  %x = moe.constant dense<[[0.0, 0.0, 2.0, 2.0], [5.0, 6.0, 7.0, 8.0]]> : tensor<2x4xf32>
  %dx = moe.layer_norm_grad %dy, %x eps 0.0 of tensor<2x4xf32>, tensor<2x4xf32>
  %expected = moe.constant dense<[[-0.5, 0.5, -1.5, 1.5], [0.0, 0.0, 0.0, 0.0]]> : tensor<2x4xf32>
  return %dx, %expected : tensor<2x4xf32>, tensor<2x4xf32>
}
