// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// pack: panels of nr rows, zeros behind the last

func.func @check_tail() -> (tensor<2x2x2xf32>, tensor<2x2x2xf32>) {
  %w = moe.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %y = moe.pack %w nr 2 : tensor<3x2xf32>
  %expected = moe.constant dense<[[[1.0, 3.0], [2.0, 4.0]], [[5.0, 0.0], [6.0, 0.0]]]> : tensor<2x2x2xf32>
  return %y, %expected : tensor<2x2x2xf32>, tensor<2x2x2xf32>
}

func.func @check_experts() -> (tensor<2x1x2x1xbf16>, tensor<2x1x2x1xbf16>) {
  %w = moe.constant dense<[[[1.0, 2.0]], [[3.0, 4.0]]]> : tensor<2x1x2xbf16>
  %y = moe.pack %w nr 1 : tensor<2x1x2xbf16>
  %expected = moe.constant dense<[[[[1.0], [2.0]]], [[[3.0], [4.0]]]]> : tensor<2x1x2x1xbf16>
  return %y, %expected : tensor<2x1x2x1xbf16>, tensor<2x1x2x1xbf16>
}

func.func @check_pairs() -> (tensor<2x4x2xbf16>, tensor<2x4x2xbf16>) {
  %w = moe.constant dense<[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [9.0, 10.0, 11.0, 12.0]]> : tensor<3x4xbf16>
  %y = moe.pack %w nr 2 pairs : tensor<3x4xbf16>
  %expected = moe.constant dense<[[[1.0, 2.0], [5.0, 6.0], [3.0, 4.0], [7.0, 8.0]], [[9.0, 10.0], [0.0, 0.0], [11.0, 12.0], [0.0, 0.0]]]> : tensor<2x4x2xbf16>
  return %y, %expected : tensor<2x4x2xbf16>, tensor<2x4x2xbf16>
}
