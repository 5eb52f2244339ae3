// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// relative_bias_grad: each bucket's sum

// a key behind its query lies in bucket 0
func.func @check_one_way() -> (tensor<4x1xf64>, tensor<4x1xf64>) {
  %dy = moe.constant dense<[[[1.0, 2.0], [4.0, 8.0]]]> : tensor<1x2x2xf64>
  %y = moe.relative_bias_grad %dy buckets 4 max_distance 8 : tensor<1x2x2xf64>
  %expected = moe.constant dense<[[11.0], [4.0], [0.0], [0.0]]> : tensor<4x1xf64>
  return %y, %expected : tensor<4x1xf64>, tensor<4x1xf64>
}

// it lies in bucket 2 + 1
func.func @check_two_ways() -> (tensor<4x2xf64>, tensor<4x2xf64>) {
  %dy = moe.constant dense<[[[1.0, 2.0], [4.0, 8.0]], [[10.0, 20.0], [40.0, 80.0]]]> : tensor<2x2x2xf64>
  %y = moe.relative_bias_grad %dy buckets 4 max_distance 8 bidirectional : tensor<2x2x2xf64>
  %expected = moe.constant dense<[[9.0, 90.0], [4.0, 40.0], [0.0, 0.0], [2.0, 20.0]]> : tensor<4x2xf64>
  return %y, %expected : tensor<4x2xf64>, tensor<4x2xf64>
}

// one query behind three keys: distances 2, 1, 0; 2 is bucket 2 + floor(log(2/2) / log(8/2) * 2)
func.func @check_prefix() -> (tensor<4x1xf32>, tensor<4x1xf32>) {
  %dy = moe.constant dense<[[[1.0, 2.0, 4.0]]]> : tensor<1x1x3xf32>
  %y = moe.relative_bias_grad %dy buckets 4 max_distance 8 : tensor<1x1x3xf32>
  %expected = moe.constant dense<[[4.0], [2.0], [1.0], [0.0]]> : tensor<4x1xf32>
  return %y, %expected : tensor<4x1xf32>, tensor<4x1xf32>
}
