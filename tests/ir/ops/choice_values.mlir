// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// choice_values: the number of each choice's row

// rows by expert: (0, 0), (1, 0), (2, 1) | (0, 1), (2, 0) | (1, 1)
func.func @check_all() -> (tensor<3x2xf32>, tensor<3x2xf32>) {
  %column = moe.constant dense<[[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]> : tensor<6x1xf32>
  %i = moe.constant dense<[[0, 1], [0, 2], [1, 0]]> : tensor<3x2xi32>
  %r = moe.assign %i experts 3 token_major : tensor<3x2xi32>
  %y = moe.choice_values %column, %r : tensor<6x1xf32>, !moe.routing<3 experts, "3" tokens, 2 choices>
  %expected = moe.constant dense<[[1.0, 4.0], [2.0, 6.0], [5.0, 3.0]]> : tensor<3x2xf32>
  return %y, %expected : tensor<3x2xf32>, tensor<3x2xf32>
}

// a dropped choice is 0; the row behind the count is not looked at
func.func @check_dropped() -> (tensor<3x1xf32>, tensor<3x1xf32>) {
  %column = moe.constant dense<[[3.0], [7.0], [0x7FC00000]]> : tensor<3x1xf32>
  %i = moe.constant dense<[[1], [-1], [0]]> : tensor<3x1xi32>
  %r = moe.assign %i experts 2 token_major : tensor<3x1xi32>
  %y = moe.choice_values %column, %r : tensor<3x1xf32>, !moe.routing<2 experts, "3" tokens, 1 choices>
  %expected = moe.constant dense<[[7.0], [0.0], [3.0]]> : tensor<3x1xf32>
  return %y, %expected : tensor<3x1xf32>, tensor<3x1xf32>
}
