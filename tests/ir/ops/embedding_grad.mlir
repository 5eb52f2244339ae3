// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// embedding_grad: of each entry the sum over its ids

func.func @check_sums() -> (tensor<3x2xf32>, tensor<3x2xf32>) {
  %i = moe.constant dense<[1, 0, 1]> : tensor<3xi64>
  %dy = moe.constant dense<[[1.0, 2.0], [3.0, 4.0], [10.0, 20.0]]> : tensor<3x2xf32>
  %y = moe.embedding_grad %i, %dy entries 3 : tensor<3xi64>, tensor<3x2xf32>
  %expected = moe.constant dense<[[3.0, 4.0], [11.0, 22.0], [0.0, 0.0]]> : tensor<3x2xf32>
  return %y, %expected : tensor<3x2xf32>, tensor<3x2xf32>
}

// sums of f32 would lose both ones
func.func @check_one_rounding() -> (tensor<1x1xf32>, tensor<1x1xf32>) {
  %i = moe.constant dense<0> : tensor<2x2xi32>
  %dy = moe.constant dense<[[[16777216.0], [1.0]], [[1.0], [-16777216.0]]]> : tensor<2x2x1xf32>
  %y = moe.embedding_grad %i, %dy entries 1 : tensor<2x2xi32>, tensor<2x2x1xf32>
  %expected = moe.constant dense<[[2.0]]> : tensor<1x1xf32>
  return %y, %expected : tensor<1x1xf32>, tensor<1x1xf32>
}

func.func @check_out_of_range() attributes {moe.fails = "embedding_grad: the id 3 is not below 3"} {
  %i = moe.constant dense<[3]> : tensor<1xi64>
  %dy = moe.constant dense<[[1.0]]> : tensor<1x1xf32>
  %y = moe.embedding_grad %i, %dy entries 3 : tensor<1xi64>, tensor<1x1xf32>
  return
}
