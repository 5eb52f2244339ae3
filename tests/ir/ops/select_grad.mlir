// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// select_grad: each value's gradient at its index

func.func @check_some() -> (tensor<2x3xf32>, tensor<2x3xf32>) {
  %dy = moe.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %i = moe.constant dense<[[2, 0], [1, 2]]> : tensor<2x2xi32>
  %y = moe.select_grad %dy, %i experts 3 : tensor<2x2xf32>, tensor<2x2xi32>
  %expected = moe.constant dense<[[2.0, 0.0, 1.0], [0.0, 3.0, 4.0]]> : tensor<2x3xf32>
  return %y, %expected : tensor<2x3xf32>, tensor<2x3xf32>
}

// select never chooses twice, but a sum is a sum
func.func @check_twice() -> (tensor<1x2xf64>, tensor<1x2xf64>) {
  %dy = moe.constant dense<[[1.0, 2.0]]> : tensor<1x2xf64>
  %i = moe.constant dense<[[1, 1]]> : tensor<1x2xi32>
  %y = moe.select_grad %dy, %i experts 2 : tensor<1x2xf64>, tensor<1x2xi32>
  %expected = moe.constant dense<[[0.0, 3.0]]> : tensor<1x2xf64>
  return %y, %expected : tensor<1x2xf64>, tensor<1x2xf64>
}

func.func @check_out_of_range() attributes {moe.fails = "select_grad: there is no expert 2 of 2"} {
  %dy = moe.constant dense<[[1.0]]> : tensor<1x1xf64>
  %i = moe.constant dense<[[2]]> : tensor<1x1xi32>
  %y = moe.select_grad %dy, %i experts 2 : tensor<1x1xf64>, tensor<1x1xi32>
  return
}

// a choice that was dropped
func.func @check_dropped() -> (tensor<1x2xf64>, tensor<1x2xf64>) {
  %dy = moe.constant dense<[[5.0, 2.0]]> : tensor<1x2xf64>
  %i = moe.constant dense<[[-1, 1]]> : tensor<1x2xi32>
  %y = moe.select_grad %dy, %i experts 2 : tensor<1x2xf64>, tensor<1x2xi32>
  %expected = moe.constant dense<[[0.0, 2.0]]> : tensor<1x2xf64>
  return %y, %expected : tensor<1x2xf64>, tensor<1x2xf64>
}
