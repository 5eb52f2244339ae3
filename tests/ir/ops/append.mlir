// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// append: rows put into a cache at a position that is a value, the others stay

func.func @check_in_the_middle() -> (tensor<2x3x1xf32>, tensor<2x3x1xf32>) {
  %c = moe.constant dense<[[[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]]]> : tensor<2x3x1xf32>
  %r = moe.constant dense<[[[10.0]], [[20.0]]]> : tensor<2x1x1xf32>
  %p = moe.constant dense<1> : tensor<i64>
  %y = moe.append %c, %r at %p : tensor<2x3x1xf32>, tensor<2x1x1xf32>, tensor<i64>
  %expected = moe.constant dense<[[[1.0], [10.0], [3.0]], [[4.0], [20.0], [6.0]]]> : tensor<2x3x1xf32>
  return %y, %expected : tensor<2x3x1xf32>, tensor<2x3x1xf32>
}

func.func @check_all() -> (tensor<1x2x2xf64>, tensor<1x2x2xf64>) {
  %c = moe.constant dense<[[[1.0, 2.0], [3.0, 4.0]]]> : tensor<1x2x2xf64>
  %r = moe.constant dense<[[[5.0, 6.0], [7.0, 8.0]]]> : tensor<1x2x2xf64>
  %p = moe.constant dense<0> : tensor<i64>
  %y = moe.append %c, %r at %p : tensor<1x2x2xf64>, tensor<1x2x2xf64>, tensor<i64>
  return %y, %r : tensor<1x2x2xf64>, tensor<1x2x2xf64>
}

func.func @check_behind_the_first() -> (tensor<1x3x1xf64>, tensor<1x3x1xf64>) {
  %c = moe.constant dense<[[[1.0], [2.0], [3.0]]]> : tensor<1x3x1xf64>
  %r = moe.constant dense<[[[5.0], [6.0]]]> : tensor<1x2x1xf64>
  %p = moe.constant dense<1> : tensor<i64>
  %y = moe.append %c, %r at %p : tensor<1x3x1xf64>, tensor<1x2x1xf64>, tensor<i64>
  %expected = moe.constant dense<[[[1.0], [5.0], [6.0]]]> : tensor<1x3x1xf64>
  return %y, %expected : tensor<1x3x1xf64>, tensor<1x3x1xf64>
}
