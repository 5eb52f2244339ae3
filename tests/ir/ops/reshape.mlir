// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// reshape: row-major order

func.func @check_split() -> (tensor<3x1x2xf32>, tensor<3x1x2xf32>) {
  %x = moe.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %y = moe.reshape %x : tensor<2x3xf32> -> tensor<3x1x2xf32>
  %expected = moe.constant dense<[[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]]> : tensor<3x1x2xf32>
  return %y, %expected : tensor<3x1x2xf32>, tensor<3x1x2xf32>
}

func.func @check_symbolic() -> (tensor<?x3xf32, #moe.sizes<"2*batch", "3">>, tensor<4x3xf32>) attributes {moe.bindings = {batch = 2}} {
  %x = moe.constant dense<[[[1.0, 2.0, 3.0]]]> : tensor<1x1x3xf32>
  %rows = moe.broadcast %x : tensor<1x1x3xf32> -> tensor<?x2x3xf32, #moe.sizes<"batch", "2", "3">>
  %y = moe.reshape %rows : tensor<?x2x3xf32, #moe.sizes<"batch", "2", "3">> -> tensor<?x3xf32, #moe.sizes<"2*batch", "3">>
  %expected = moe.constant dense<[[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]> : tensor<4x3xf32>
  return %y, %expected : tensor<?x3xf32, #moe.sizes<"2*batch", "3">>, tensor<4x3xf32>
}
