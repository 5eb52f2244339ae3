// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// rms_norm: no mean is taken off

// the mean square of 3, 4, 5, 0 is 12.5; with eps 12.5 it is 25
func.func @check_weight() -> (tensor<1x4xf64>, tensor<1x4xf64>) {
  %x = moe.constant dense<[[3.0, 4.0, 5.0, 0.0]]> : tensor<1x4xf64>
  %w = moe.constant dense<[5.0, 10.0, 1.0, 1.0]> : tensor<4xf64>
  %y = moe.rms_norm %x weight %w : tensor<4xf64> eps 12.5 of tensor<1x4xf64>
  %expected = moe.constant dense<[[3.0, 8.0, 1.0, 0.0]]> : tensor<1x4xf64>
  return %y, %expected : tensor<1x4xf64>, tensor<1x4xf64>
}

func.func @check_no_weight() -> (tensor<2x1xf32>, tensor<2x1xf32>) {
  %x = moe.constant dense<[[-2.0], [8.0]]> : tensor<2x1xf32>
  %y = moe.rms_norm %x eps 0.0 of tensor<2x1xf32>
  %expected = moe.constant dense<[[-1.0], [1.0]]> : tensor<2x1xf32>
  return %y, %expected : tensor<2x1xf32>, tensor<2x1xf32>
}
