// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// slice_at: rows from a position that is a value

func.func @check_in_the_middle() -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %x = moe.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]> : tensor<4x2xf32>
  %p = moe.constant dense<1> : tensor<i64>
  %y = moe.slice_at %x at %p size "2" : tensor<4x2xf32>, tensor<i64>
  %expected = moe.constant dense<[[3.0, 4.0], [5.0, 6.0]]> : tensor<2x2xf32>
  return %y, %expected : tensor<2x2xf32>, tensor<2x2xf32>
}

func.func @check_to_the_end() -> (tensor<1xf64>, tensor<1xf64>) {
  %x = moe.constant dense<[1.0, 2.0, 3.0]> : tensor<3xf64>
  %p = moe.constant dense<2> : tensor<i64>
  %y = moe.slice_at %x at %p size "1" : tensor<3xf64>, tensor<i64>
  %expected = moe.constant dense<[3.0]> : tensor<1xf64>
  return %y, %expected : tensor<1xf64>, tensor<1xf64>
}
