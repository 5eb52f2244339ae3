// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// unpack: the inverse of pack

func.func @check_tail() -> (tensor<3x2xf32>, tensor<3x2xf32>) {
  %p = moe.constant dense<[[[1.0, 3.0], [2.0, 4.0]], [[5.0, 9.0], [6.0, 9.0]]]> : tensor<2x2x2xf32>
  %y = moe.unpack %p n 3 : tensor<2x2x2xf32>
  %expected = moe.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  return %y, %expected : tensor<3x2xf32>, tensor<3x2xf32>
}

func.func @check_roundtrip() -> (tensor<2x3x2xf64>, tensor<2x3x2xf64>) {
  %w = moe.constant dense<[[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], [[10.0, 11.0], [12.0, 13.0], [14.0, 15.0]]]> : tensor<2x3x2xf64>
  %p = moe.pack %w nr 2 : tensor<2x3x2xf64>
  %y = moe.unpack %p n 3 : tensor<2x2x2x2xf64>
  %expected = moe.constant dense<[[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], [[10.0, 11.0], [12.0, 13.0], [14.0, 15.0]]]> : tensor<2x3x2xf64>
  return %y, %expected : tensor<2x3x2xf64>, tensor<2x3x2xf64>
}

func.func @check_pairs() -> (tensor<3x4xf32>, tensor<3x4xf32>) {
  %p = moe.constant dense<[[[1.0, 2.0], [5.0, 6.0], [3.0, 4.0], [7.0, 8.0]], [[9.0, 10.0], [0.5, 0.5], [11.0, 12.0], [0.5, 0.5]]]> : tensor<2x4x2xf32>
  %y = moe.unpack %p n 3 pairs : tensor<2x4x2xf32>
  %expected = moe.constant dense<[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [9.0, 10.0, 11.0, 12.0]]> : tensor<3x4xf32>
  return %y, %expected : tensor<3x4xf32>, tensor<3x4xf32>
}

func.func @check_roundtrip_of_pairs() -> (tensor<2x3x4xbf16>, tensor<2x3x4xbf16>) {
  %w = moe.constant dense<[[[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0], [8.0, 9.0, 10.0, 11.0]], [[12.0, 13.0, 14.0, 15.0], [16.0, 17.0, 18.0, 19.0], [20.0, 21.0, 22.0, 23.0]]]> : tensor<2x3x4xbf16>
  %p = moe.pack %w nr 2 pairs : tensor<2x3x4xbf16>
  %y = moe.unpack %p n 3 pairs : tensor<2x2x4x2xbf16>
  return %y, %w : tensor<2x3x4xbf16>, tensor<2x3x4xbf16>
}
