// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// layer_norm: biased variance

// variance 1 of 1, 3: 1 / sqrt(1 + 1/16) = 4 / sqrt(17)
func.func @check_plain() -> (tensor<2x2xf64>, tensor<2x2xf64>) {
  %x = moe.constant dense<[[1.0, 3.0], [2.0, 2.0]]> : tensor<2x2xf64>
  %y = moe.layer_norm %x eps 0.0625 of tensor<2x2xf64>
  %expected = moe.constant dense<[[-0.9701425001453319, 0.9701425001453319], [0.0, 0.0]]> : tensor<2x2xf64>
  return %y, %expected : tensor<2x2xf64>, tensor<2x2xf64>
}

func.func @check_weight_bias() -> (tensor<1x4xf32>, tensor<1x4xf32>) {
  %x = moe.constant dense<[[0.0, 0.0, 3.0, 3.0]]> : tensor<1x4xf32>
  %w = moe.constant dense<[1.0, 2.0, 1.0, 2.0]> : tensor<4xf32>
  %b = moe.constant dense<[0.0, 10.0, 20.0, 30.0]> : tensor<4xf32>
  %y = moe.layer_norm %x weight %w : tensor<4xf32> bias %b : tensor<4xf32> eps 0.0 of tensor<1x4xf32>
  %expected = moe.constant dense<[[-1.0, 8.0, 21.0, 32.0]]> : tensor<1x4xf32>
  return %y, %expected : tensor<1x4xf32>, tensor<1x4xf32>
}

func.func @check_bias() -> (tensor<1x2xf32>, tensor<1x2xf32>) {
  %x = moe.constant dense<[[1.0, -1.0]]> : tensor<1x2xf32>
  %b = moe.constant dense<[5.0, 7.0]> : tensor<2xf32>
  %y = moe.layer_norm %x bias %b : tensor<2xf32> eps 0.0 of tensor<1x2xf32>
  %expected = moe.constant dense<[[6.0, 6.0]]> : tensor<1x2xf32>
  return %y, %expected : tensor<1x2xf32>, tensor<1x2xf32>
}

// E[x^2] - mean^2 in f32 would be 0 here
func.func @check_far_from_zero() -> (tensor<1x2xf32>, tensor<1x2xf32>) {
  %x = moe.constant dense<[[16777216.0, 16777218.0]]> : tensor<1x2xf32>
  %y = moe.layer_norm %x eps 0.0 of tensor<1x2xf32>
  %expected = moe.constant dense<[[-1.0, 1.0]]> : tensor<1x2xf32>
  return %y, %expected : tensor<1x2xf32>, tensor<1x2xf32>
}

// 0 / 0
func.func @check_constant_row() -> (tensor<1x2xf32>, tensor<1x2xf32>) {
  %x = moe.constant dense<[[2.0, 2.0]]> : tensor<1x2xf32>
  %y = moe.layer_norm %x eps 0.0 of tensor<1x2xf32>
  %expected = moe.constant dense<[[0x7FC00000, 0x7FC00000]]> : tensor<1x2xf32>
  return %y, %expected : tensor<1x2xf32>, tensor<1x2xf32>
}
