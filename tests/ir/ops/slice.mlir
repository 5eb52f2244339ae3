// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// slice: one axis

func.func @check_columns() -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %x = moe.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %y = moe.slice %x axis 1 from "1" size "2" : tensor<2x3xf32>
  %expected = moe.constant dense<[[2.0, 3.0], [5.0, 6.0]]> : tensor<2x2xf32>
  return %y, %expected : tensor<2x2xf32>, tensor<2x2xf32>
}

func.func @check_rows() -> (tensor<1x3xf32>, tensor<1x3xf32>) {
  %x = moe.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %y = moe.slice %x axis 0 from "1" size "1" : tensor<2x3xf32>
  %expected = moe.constant dense<[[4.0, 5.0, 6.0]]> : tensor<1x3xf32>
  return %y, %expected : tensor<1x3xf32>, tensor<1x3xf32>
}

func.func @check_symbolic() -> (tensor<?xf32, #moe.sizes<"n">>, tensor<2xf32>) attributes {moe.bindings = {n = 2}} {
  %x = moe.constant dense<[1.0, 2.0, 3.0, 4.0, 5.0]> : tensor<5xf32>
  %y = moe.slice %x axis 0 from "n-1" size "n" : tensor<5xf32>
  %expected = moe.constant dense<[2.0, 3.0]> : tensor<2xf32>
  return %y, %expected : tensor<?xf32, #moe.sizes<"n">>, tensor<2xf32>
}

func.func @check_too_far() attributes {moe.bindings = {n = 1}, moe.fails = "elements 1 to 3 of 2"} {
  %x = moe.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %y = moe.slice %x axis 0 from "n" size "2" : tensor<2xf32>
  return
}
