// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// expert_rows: each row holds its expert's entry

func.func @check_bias() -> (tensor<6x2xf32>, tensor<6x2xf32>) {
  %t = moe.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %i = moe.constant dense<[[0, 1], [0, 2], [1, 0]]> : tensor<3x2xi32>
  %r = moe.assign %i experts 3 token_major : tensor<3x2xi32>
  %y = moe.expert_rows %t, %r : tensor<3x2xf32>, !moe.routing<3 experts, "3" tokens, 2 choices>
  %expected = moe.constant dense<[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [3.0, 4.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<6x2xf32>
  return %y, %expected : tensor<6x2xf32>, tensor<6x2xf32>
}
