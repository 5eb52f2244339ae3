// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// drop: the places of the others close up

func.func @check_some() -> (!moe.routing<3 experts, "3" tokens, 2 choices>, tensor<16xi32>) {
  %i = moe.constant dense<[[0, 1], [0, 2], [1, 0]]> : tensor<3x2xi32>
  %r = moe.assign %i experts 3 token_major : tensor<3x2xi32>
  %keep = moe.constant dense<[[true, true], [false, true], [false, true]]> : tensor<3x2xi1>
  %d = moe.drop %r, %keep : !moe.routing<3 experts, "3" tokens, 2 choices>, tensor<3x2xi1>
  %expected = moe.constant dense<[0, 2, 3, 4, 0, 5, 1, 3, -1, -1, 0, 2, -1, 3, -1, 1]> : tensor<16xi32>
  return %d, %expected : !moe.routing<3 experts, "3" tokens, 2 choices>, tensor<16xi32>
}

func.func @check_all() -> (!moe.routing<3 experts, "3" tokens, 2 choices>, tensor<16xi32>) {
  %i = moe.constant dense<[[0, 1], [0, 2], [1, 0]]> : tensor<3x2xi32>
  %r = moe.assign %i experts 3 token_major : tensor<3x2xi32>
  %keep = moe.constant dense<[[false, false], [false, false], [false, false]]> : tensor<3x2xi1>
  %d = moe.drop %r, %keep : !moe.routing<3 experts, "3" tokens, 2 choices>, tensor<3x2xi1>
  %expected = moe.constant dense<[0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1]> : tensor<16xi32>
  return %d, %expected : !moe.routing<3 experts, "3" tokens, 2 choices>, tensor<16xi32>
}
