// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// experts_of: a part of the experts

// expert 0: 0, 2, 5; expert 1: 1, 4; expert 2: 3. Of the last two: 1, 4 | 3
func.func @check_last_two() -> (!moe.routing<2 experts, "3" tokens, 2 choices>, tensor<15xi32>) {
  %i = moe.constant dense<[[0, 1], [0, 2], [1, 0]]> : tensor<3x2xi32>
  %r = moe.assign %i experts 3 token_major : tensor<3x2xi32>
  %e = moe.experts_of %r from 1 count 2 : !moe.routing<3 experts, "3" tokens, 2 choices>
  %expected = moe.constant dense<[0, 2, 3, 1, 4, 3, -1, -1, -1, -1, 0, -1, 2, 1, -1]> : tensor<15xi32>
  return %e, %expected : !moe.routing<2 experts, "3" tokens, 2 choices>, tensor<15xi32>
}
