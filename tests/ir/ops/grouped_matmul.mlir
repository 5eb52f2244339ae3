// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// grouped_matmul: each row times its expert's matrix

func.func @check_all() -> (tensor<6x1xf32>, tensor<6x1xf32>) {
  %rows = moe.constant dense<[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.0], [0.0, 2.0], [1.0, 2.0]]> : tensor<6x2xf32>
  %w = moe.constant dense<[[[1.0, 2.0]], [[10.0, 20.0]], [[100.0, 200.0]]]> : tensor<3x1x2xf32>
  %i = moe.constant dense<[[0, 1], [0, 2], [1, 0]]> : tensor<3x2xi32>
  %r = moe.assign %i experts 3 token_major : tensor<3x2xi32>
  %y = moe.grouped_matmul %rows, %w, %r : tensor<6x2xf32>, tensor<3x1x2xf32>, !moe.routing<3 experts, "3" tokens, 2 choices>
  %expected = moe.constant dense<[[1.0], [2.0], [3.0], [20.0], [40.0], [500.0]]> : tensor<6x1xf32>
  return %y, %expected : tensor<6x1xf32>, tensor<6x1xf32>
}

func.func @check_empty_expert() -> (tensor<2x2xf64>, tensor<2x2xf64>) {
  %rows = moe.constant dense<[[1.0], [2.0]]> : tensor<2x1xf64>
  %w = moe.constant dense<[[[5.0], [6.0]], [[7.0], [8.0]], [[9.0], [10.0]]]> : tensor<3x2x1xf64>
  %i = moe.constant dense<[[0], [2]]> : tensor<2x1xi32>
  %r = moe.assign %i experts 3 token_major : tensor<2x1xi32>
  %y = moe.grouped_matmul %rows, %w, %r : tensor<2x1xf64>, tensor<3x2x1xf64>, !moe.routing<3 experts, "2" tokens, 1 choices>
  %expected = moe.constant dense<[[5.0, 6.0], [18.0, 20.0]]> : tensor<2x2xf64>
  return %y, %expected : tensor<2x2xf64>, tensor<2x2xf64>
}
