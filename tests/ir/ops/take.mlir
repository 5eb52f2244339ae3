// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// take: each row's elements at its indices

func.func @check_some() -> (tensor<2x3xf32>, tensor<2x3xf32>) {
  %x = moe.constant dense<[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 0x7FC00000]]> : tensor<2x4xf32>
  %i = moe.constant dense<[[3, 0, 0], [-1, 2, 3]]> : tensor<2x3xi32>
  %y = moe.take %x, %i : tensor<2x4xf32>, tensor<2x3xi32>
  %expected = moe.constant dense<[[4.0, 1.0, 1.0], [0.0, 7.0, 0x7FC00000]]> : tensor<2x3xf32>
  return %y, %expected : tensor<2x3xf32>, tensor<2x3xf32>
}

func.func @check_out_of_range() attributes {moe.fails = "take: there is no element 2 of 2"} {
  %x = moe.constant dense<[[1.0, 2.0]]> : tensor<1x2xf64>
  %i = moe.constant dense<[[2]]> : tensor<1x1xi32>
  %y = moe.take %x, %i : tensor<1x2xf64>, tensor<1x1xi32>
  return
}
