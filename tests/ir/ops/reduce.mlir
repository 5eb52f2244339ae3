// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// reduce: sum, mean and max along each axis

func.func @check_sum_rows() -> (tensor<3xf32>, tensor<3xf32>) {
  %x = moe.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %y = moe.reduce sum %x axis 0 : tensor<2x3xf32>
  %expected = moe.constant dense<[5.0, 7.0, 9.0]> : tensor<3xf32>
  return %y, %expected : tensor<3xf32>, tensor<3xf32>
}

func.func @check_mean_columns() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %y = moe.reduce mean %x axis 1 : tensor<2x3xf32>
  %expected = moe.constant dense<[2.0, 5.0]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}

func.func @check_max() -> (tensor<4xf32>, tensor<4xf32>) {
  %x = moe.constant dense<[[-3.0, -1.0], [0x7FC00000, 2.0], [2.0, 0x7FC00000], [0xFF800000, 0xFF800000]]> : tensor<4x2xf32>
  %y = moe.reduce max %x axis 1 : tensor<4x2xf32>
  %expected = moe.constant dense<[-1.0, 0x7FC00000, 0x7FC00000, 0xFF800000]> : tensor<4xf32>
  return %y, %expected : tensor<4xf32>, tensor<4xf32>
}

// sums of f32 would lose both ones
func.func @check_one_rounding() -> (tensor<f32>, tensor<f32>) {
  %x = moe.constant dense<[16777216.0, 1.0, 1.0, -16777216.0]> : tensor<4xf32>
  %y = moe.reduce sum %x axis 0 : tensor<4xf32>
  %expected = moe.constant dense<2.0> : tensor<f32>
  return %y, %expected : tensor<f32>, tensor<f32>
}
