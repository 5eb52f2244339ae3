// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// expert_sums: the sum of each expert's rows

func.func @check_all() -> (tensor<3x2xf32>, tensor<3x2xf32>) {
  %rows = moe.constant dense<[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0], [5.0, 50.0], [6.0, 60.0]]> : tensor<6x2xf32>
  %i = moe.constant dense<[[0, 1], [0, 2], [1, 0]]> : tensor<3x2xi32>
  %r = moe.assign %i experts 3 token_major : tensor<3x2xi32>
  %y = moe.expert_sums %rows, %r : tensor<6x2xf32>, !moe.routing<3 experts, "3" tokens, 2 choices>
  %expected = moe.constant dense<[[6.0, 60.0], [9.0, 90.0], [6.0, 60.0]]> : tensor<3x2xf32>
  return %y, %expected : tensor<3x2xf32>, tensor<3x2xf32>
}

// an expert without rows; the row behind the count is not looked at
func.func @check_dropped() -> (tensor<3x1xf32>, tensor<3x1xf32>) {
  %rows = moe.constant dense<[[1.0], [2.0], [0x7FC00000]]> : tensor<3x1xf32>
  %i = moe.constant dense<[[2], [-1], [2]]> : tensor<3x1xi32>
  %r = moe.assign %i experts 3 token_major : tensor<3x1xi32>
  %y = moe.expert_sums %rows, %r : tensor<3x1xf32>, !moe.routing<3 experts, "3" tokens, 1 choices>
  %expected = moe.constant dense<[[0.0], [0.0], [3.0]]> : tensor<3x1xf32>
  return %y, %expected : tensor<3x1xf32>, tensor<3x1xf32>
}
