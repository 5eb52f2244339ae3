// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// embedding: rows of a table

func.func @check_matrix() -> (tensor<2x2x2xf32>, tensor<2x2x2xf32>) {
  %ids = moe.constant dense<[[2, 0], [1, 2]]> : tensor<2x2xi64>
  %t = moe.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %y = moe.embedding %ids, %t : tensor<2x2xi64>, tensor<3x2xf32>
  %expected = moe.constant dense<[[[5.0, 6.0], [1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]]> : tensor<2x2x2xf32>
  return %y, %expected : tensor<2x2x2xf32>, tensor<2x2x2xf32>
}

func.func @check_scalar() -> (tensor<2xbf16>, tensor<2xbf16>) {
  %ids = moe.constant dense<1> : tensor<i32>
  %t = moe.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xbf16>
  %y = moe.embedding %ids, %t : tensor<i32>, tensor<3x2xbf16>
  %expected = moe.constant dense<[3.0, 4.0]> : tensor<2xbf16>
  return %y, %expected : tensor<2xbf16>, tensor<2xbf16>
}

func.func @check_above() attributes {moe.fails = "the id 3 is not below 3"} {
  %ids = moe.constant dense<[3]> : tensor<1xi64>
  %t = moe.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %y = moe.embedding %ids, %t : tensor<1xi64>, tensor<3x2xf32>
  return
}
