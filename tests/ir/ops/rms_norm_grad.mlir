// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// rms_norm_grad: of x alone

// of 1, 7: 1 / sqrt 25; normal 0.2, 1.4; the mean of dy normal is 2.2
func.func @check_plain() -> (tensor<1x2xf64>, tensor<1x2xf64>) {
  %dy = moe.constant dense<[[1.0, 3.0]]> : tensor<1x2xf64>
  %x = moe.constant dense<[[1.0, 7.0]]> : tensor<1x2xf64>
  %dx = moe.rms_norm_grad %dy, %x eps 0.0 of tensor<1x2xf64>, tensor<1x2xf64>
  %expected = moe.constant dense<[[0.112, -0.016]]> : tensor<1x2xf64>
  return %dx, %expected : tensor<1x2xf64>, tensor<1x2xf64>
}

// dy weight = 2, 3; the mean with normal is 2.3
func.func @check_weight() -> (tensor<1x2xf64>, tensor<1x2xf64>) {
  %dy = moe.constant dense<[[1.0, 3.0]]> : tensor<1x2xf64>
  %x = moe.constant dense<[[1.0, 7.0]]> : tensor<1x2xf64>
  %w = moe.constant dense<[2.0, 1.0]> : tensor<2xf64>
  %dx = moe.rms_norm_grad %dy, %x weight %w : tensor<2xf64> eps 0.0 of tensor<1x2xf64>, tensor<1x2xf64>
  %expected = moe.constant dense<[[0.308, -0.044]]> : tensor<1x2xf64>
  return %dx, %expected : tensor<1x2xf64>, tensor<1x2xf64>
}

// of mean square 10: 1 / sqrt(10 + 6) = 1/4; normal 0.5, 1, 0.5, 1; the mean of dy normal is 0.375
func.func @check_eps() -> (tensor<1x4xf32>, tensor<1x4xf32>) {
  %dy = moe.constant dense<[[1.0, 1.0, 0.0, 0.0]]> : tensor<1x4xf32>
  %x = moe.constant dense<[[2.0, 4.0, 2.0, 4.0]]> : tensor<1x4xf32>
  %dx = moe.rms_norm_grad %dy, %x eps 6.0 of tensor<1x4xf32>, tensor<1x4xf32>
  %expected = moe.constant dense<[[0.203125, 0.15625, -0.046875, -0.09375]]> : tensor<1x4xf32>
  return %dx, %expected : tensor<1x4xf32>, tensor<1x4xf32>
}
