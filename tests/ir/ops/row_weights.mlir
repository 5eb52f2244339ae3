// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// row_weights: the weights in the order of the rows

// rows: (1,0) | (0,0) (2,0); (1,1) is dropped, and the rows behind hold 0
func.func @check_rows() -> (tensor<6x1xf32>, tensor<6x1xf32>) {
  %i = moe.constant dense<[[1, -1], [0, -1], [1, -1]]> : tensor<3x2xi32>
  %w = moe.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %r = moe.assign %i experts 2 token_major : tensor<3x2xi32>
  %y = moe.row_weights %w, %r : tensor<3x2xf32>, !moe.routing<2 experts, "3" tokens, 2 choices>
  %expected = moe.constant dense<[[3.0], [1.0], [5.0], [0.0], [0.0], [0.0]]> : tensor<6x1xf32>
  return %y, %expected : tensor<6x1xf32>, tensor<6x1xf32>
}
