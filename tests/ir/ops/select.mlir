// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// select: the k largest, ties to the lowest index

func.func @check_order() -> (tensor<2x2xf32>, tensor<2x2xf32>, tensor<2x2xi32>, tensor<2x2xi32>) {
  %s = moe.constant dense<[[0.1, 0.4, 0.2], [5.0, 4.0, 6.0]]> : tensor<2x3xf32>
  %v, %i = moe.select %s k 2 : tensor<2x3xf32>
  %expected0 = moe.constant dense<[[0.4, 0.2], [6.0, 5.0]]> : tensor<2x2xf32>
  %expected1 = moe.constant dense<[[1, 2], [2, 0]]> : tensor<2x2xi32>
  return %v, %expected0, %i, %expected1 : tensor<2x2xf32>, tensor<2x2xf32>, tensor<2x2xi32>, tensor<2x2xi32>
}

func.func @check_ties() -> (tensor<1x3xf32>, tensor<1x3xf32>, tensor<1x3xi32>, tensor<1x3xi32>) {
  %s = moe.constant dense<[[0.3, 0.3, 0.2, 0.3]]> : tensor<1x4xf32>
  %v, %i = moe.select %s k 3 : tensor<1x4xf32>
  %expected0 = moe.constant dense<[[0.3, 0.3, 0.3]]> : tensor<1x3xf32>
  %expected1 = moe.constant dense<[[0, 1, 3]]> : tensor<1x3xi32>
  return %v, %expected0, %i, %expected1 : tensor<1x3xf32>, tensor<1x3xf32>, tensor<1x3xi32>, tensor<1x3xi32>
}

// NaN is below minus infinity
func.func @check_nan() -> (tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xi32>, tensor<2x3xi32>) {
  %s = moe.constant dense<[[0x7FC00000, 0xFF800000, 1.0], [0x7FC00000, 0x7FC00000, 0x7FC00000]]> : tensor<2x3xf32>
  %v, %i = moe.select %s k 3 : tensor<2x3xf32>
  %expected0 = moe.constant dense<[[1.0, 0xFF800000, 0x7FC00000], [0x7FC00000, 0x7FC00000, 0x7FC00000]]> : tensor<2x3xf32>
  %expected1 = moe.constant dense<[[2, 1, 0], [0, 1, 2]]> : tensor<2x3xi32>
  return %v, %expected0, %i, %expected1 : tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xi32>, tensor<2x3xi32>
}

func.func @check_zeros() -> (tensor<1x1xf64>, tensor<1x1xf64>, tensor<1x1xi32>, tensor<1x1xi32>) {
  %s = moe.constant dense<[[-0.0, 0.0]]> : tensor<1x2xf64>
  %v, %i = moe.select %s k 1 : tensor<1x2xf64>
  %expected0 = moe.constant dense<[[0.0]]> : tensor<1x1xf64>
  %expected1 = moe.constant dense<[[0]]> : tensor<1x1xi32>
  return %v, %expected0, %i, %expected1 : tensor<1x1xf64>, tensor<1x1xf64>, tensor<1x1xi32>, tensor<1x1xi32>
}
