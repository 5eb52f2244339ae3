// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// dispatch: rows grouped by expert, here in lists (0, 2, 5), (1, 4), (3)

func.func @check_all() -> (tensor<6x2xf32>, tensor<6x2xf32>) {
  %x = moe.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %i = moe.constant dense<[[0, 1], [0, 2], [1, 0]]> : tensor<3x2xi32>
  %r = moe.assign %i experts 3 token_major : tensor<3x2xi32>
  %y = moe.dispatch %x, %r : tensor<3x2xf32>, !moe.routing<3 experts, "3" tokens, 2 choices>
  %expected = moe.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [1.0, 2.0], [5.0, 6.0], [3.0, 4.0]]> : tensor<6x2xf32>
  return %y, %expected : tensor<6x2xf32>, tensor<6x2xf32>
}

// the row behind the two kept ones is undefined
func.func @check_ragged() -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %x = moe.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %i = moe.constant dense<[[1], [-1], [0]]> : tensor<3x1xi32>
  %r = moe.assign %i experts 2 token_major : tensor<3x1xi32>
  %y = moe.dispatch %x, %r : tensor<3x2xf32>, !moe.routing<2 experts, "3" tokens, 1 choices>
  %kept = moe.slice %y axis 0 from "0" size "2" : tensor<3x2xf32>
  %expected = moe.constant dense<[[5.0, 6.0], [1.0, 2.0]]> : tensor<2x2xf32>
  return %kept, %expected : tensor<2x2xf32>, tensor<2x2xf32>
}
