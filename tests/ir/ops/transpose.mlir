// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// transpose: result dimension d is dimension permutation[d] of x

func.func @check_matrix() -> (tensor<3x2xf32>, tensor<3x2xf32>) {
  %x = moe.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %y = moe.transpose %x [1, 0] : tensor<2x3xf32>
  %expected = moe.constant dense<[[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]> : tensor<3x2xf32>
  return %y, %expected : tensor<3x2xf32>, tensor<3x2xf32>
}

// y[i, j, k] = x[j, k, i]
func.func @check_rotation() -> (tensor<2x1x3xi32>, tensor<2x1x3xi32>) {
  %x = moe.constant dense<[[[1, 2], [3, 4], [5, 6]]]> : tensor<1x3x2xi32>
  %y = moe.transpose %x [2, 0, 1] : tensor<1x3x2xi32>
  %expected = moe.constant dense<[[[1, 3, 5]], [[2, 4, 6]]]> : tensor<2x1x3xi32>
  return %y, %expected : tensor<2x1x3xi32>, tensor<2x1x3xi32>
}
