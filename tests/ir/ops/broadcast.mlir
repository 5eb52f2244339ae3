// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// broadcast: NumPy's rule

func.func @check_row() -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %x = moe.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %y = moe.broadcast %x : tensor<2xf32> -> tensor<2x2xf32>
  %expected = moe.constant dense<[[1.0, 2.0], [1.0, 2.0]]> : tensor<2x2xf32>
  return %y, %expected : tensor<2x2xf32>, tensor<2x2xf32>
}

func.func @check_column() -> (tensor<2x3xbf16>, tensor<2x3xbf16>) {
  %x = moe.constant dense<[[1.0], [2.0]]> : tensor<2x1xbf16>
  %y = moe.broadcast %x : tensor<2x1xbf16> -> tensor<2x3xbf16>
  %expected = moe.constant dense<[[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]> : tensor<2x3xbf16>
  return %y, %expected : tensor<2x3xbf16>, tensor<2x3xbf16>
}

func.func @check_inner() -> (tensor<2x2x1xi32>, tensor<2x2x1xi32>) {
  %x = moe.constant dense<[[[1]], [[2]]]> : tensor<2x1x1xi32>
  %y = moe.broadcast %x : tensor<2x1x1xi32> -> tensor<2x2x1xi32>
  %expected = moe.constant dense<[[[1], [1]], [[2], [2]]]> : tensor<2x2x1xi32>
  return %y, %expected : tensor<2x2x1xi32>, tensor<2x2x1xi32>
}
