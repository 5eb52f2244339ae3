// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// combine: weighted rows back to their tokens

// slots 0 3 / 1 5 / 4 2: 1+40, 200+3, 10+0.75
func.func @check_all() -> (tensor<3x1xf32>, tensor<3x1xf32>) {
  %rows = moe.constant dense<[[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]> : tensor<6x1xf32>
  %i = moe.constant dense<[[0, 1], [0, 2], [1, 0]]> : tensor<3x2xi32>
  %r = moe.assign %i experts 3 token_major : tensor<3x2xi32>
  %w = moe.constant dense<[[1.0, 10.0], [100.0, 0.5], [2.0, 0.25]]> : tensor<3x2xf32>
  %y = moe.combine %rows, %r, %w : tensor<6x1xf32>, !moe.routing<3 experts, "3" tokens, 2 choices>, tensor<3x2xf32>
  %expected = moe.constant dense<[[41.0], [203.0], [10.75]]> : tensor<3x1xf32>
  return %y, %expected : tensor<3x1xf32>, tensor<3x1xf32>
}

// a dropped choice is not looked at
func.func @check_dropped() -> (tensor<2x1xf32>, tensor<2x1xf32>) {
  %rows = moe.constant dense<[[3.0], [7.0]]> : tensor<2x1xf32>
  %i = moe.constant dense<[[-1], [0]]> : tensor<2x1xi32>
  %r = moe.assign %i experts 1 token_major : tensor<2x1xi32>
  %w = moe.constant dense<[[0x7FC00000], [2.0]]> : tensor<2x1xf32>
  %y = moe.combine %rows, %r, %w : tensor<2x1xf32>, !moe.routing<1 experts, "2" tokens, 1 choices>, tensor<2x1xf32>
  %expected = moe.constant dense<[[0.0], [6.0]]> : tensor<2x1xf32>
  return %y, %expected : tensor<2x1xf32>, tensor<2x1xf32>
}

// 2 + 257 = 259, a tie of 258 and 260; weights rounded to bf16 would give 258
func.func @check_bf16() -> (tensor<1x1xbf16>, tensor<1x1xbf16>) attributes {moe.tolerance = 0.0} {
  %rows = moe.constant dense<[[1.0], [256.0]]> : tensor<2x1xbf16>
  %i = moe.constant dense<[[0, 0]]> : tensor<1x2xi32>
  %r = moe.assign %i experts 1 token_major : tensor<1x2xi32>
  %w = moe.constant dense<[[2.0, 1.00390625]]> : tensor<1x2xf32>
  %y = moe.combine %rows, %r, %w : tensor<2x1xbf16>, !moe.routing<1 experts, "1" tokens, 2 choices>, tensor<1x2xf32>
  %expected = moe.constant dense<[[260.0]]> : tensor<1x1xbf16>
  return %y, %expected : tensor<1x1xbf16>, tensor<1x1xbf16>
}
