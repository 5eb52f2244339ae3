// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// matmul: a times the transpose of b

func.func @check_matrix() -> (tensor<3x2xf32>, tensor<3x2xf32>) {
  %a = moe.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %b = moe.constant dense<[[1.0, 0.0], [1.0, 1.0]]> : tensor<2x2xf32>
  %y = moe.matmul %a, %b : tensor<3x2xf32>, tensor<2x2xf32>
  %expected = moe.constant dense<[[1.0, 3.0], [3.0, 7.0], [5.0, 11.0]]> : tensor<3x2xf32>
  return %y, %expected : tensor<3x2xf32>, tensor<3x2xf32>
}

func.func @check_leading_rows() -> (tensor<2x1x1xf64>, tensor<2x1x1xf64>) {
  %a = moe.constant dense<[[[1.0, 2.0]], [[3.0, 4.0]]]> : tensor<2x1x2xf64>
  %b = moe.constant dense<[[10.0, 1.0]]> : tensor<1x2xf64>
  %y = moe.matmul %a, %b : tensor<2x1x2xf64>, tensor<1x2xf64>
  %expected = moe.constant dense<[[[12.0]], [[34.0]]]> : tensor<2x1x1xf64>
  return %y, %expected : tensor<2x1x1xf64>, tensor<2x1x1xf64>
}

func.func @check_batched() -> (tensor<2x1x1xf64>, tensor<2x1x1xf64>) {
  %a = moe.constant dense<[[[1.0, 2.0]], [[3.0, 4.0]]]> : tensor<2x1x2xf64>
  %b = moe.constant dense<[[[10.0, 1.0]], [[1.0, 10.0]]]> : tensor<2x1x2xf64>
  %y = moe.matmul %a, %b : tensor<2x1x2xf64>, tensor<2x1x2xf64>
  %expected = moe.constant dense<[[[12.0]], [[43.0]]]> : tensor<2x1x1xf64>
  return %y, %expected : tensor<2x1x1xf64>, tensor<2x1x1xf64>
}

// a (M, K) with b (E, N, K): every expert sees all rows
func.func @check_every_expert() -> (tensor<3x2x1xf32>, tensor<3x2x1xf32>) {
  %a = moe.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %b = moe.constant dense<[[[1.0, 0.0]], [[0.0, 1.0]], [[1.0, 1.0]]]> : tensor<3x1x2xf32>
  %y = moe.matmul %a, %b : tensor<2x2xf32>, tensor<3x1x2xf32>
  %expected = moe.constant dense<[[[1.0], [3.0]], [[2.0], [4.0]], [[3.0], [7.0]]]> : tensor<3x2x1xf32>
  return %y, %expected : tensor<3x2x1xf32>, tensor<3x2x1xf32>
}

// one rounding at the end: sums of bf16 would stay at 256
func.func @check_bf16() -> (tensor<1x1xbf16>, tensor<1x1xbf16>) attributes {moe.tolerance = 0.0} {
  %a = moe.constant dense<[[256.0, 1.0, 1.0]]> : tensor<1x3xbf16>
  %b = moe.constant dense<[[1.0, 1.0, 1.0]]> : tensor<1x3xbf16>
  %y = moe.matmul %a, %b : tensor<1x3xbf16>, tensor<1x3xbf16>
  %expected = moe.constant dense<[[258.0]]> : tensor<1x1xbf16>
  return %y, %expected : tensor<1x1xbf16>, tensor<1x1xbf16>
}
