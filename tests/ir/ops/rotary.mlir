// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// rotary: pairs turned by position

// one pair: position 1 turns it by one radian
func.func @check_halves() -> (tensor<1x2x2xf64>, tensor<1x2x2xf64>) {
  %x = moe.constant dense<[[[1.0, 2.0], [1.0, 0.0]]]> : tensor<1x2x2xf64>
  %y = moe.rotary %x heads 1 base 100.0 : tensor<1x2x2xf64>
  %expected = moe.constant dense<[[[1.0, 2.0], [0.54030230586813977, 0.84147098480789651]]]> : tensor<1x2x2xf64>
  return %y, %expected : tensor<1x2x2xf64>, tensor<1x2x2xf64>
}

// Two heads of one pair each; position 1 turns both by 1 radian.
func.func @check_heads() -> (tensor<1x2x4xf64>, tensor<1x2x4xf64>) {
  %x = moe.constant dense<[[[1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 1.0]]]> : tensor<1x2x4xf64>
  %y = moe.rotary %x heads 2 base 10000.0 : tensor<1x2x4xf64>
  %expected = moe.constant dense<[[[1.0, 2.0, 3.0, 4.0], [0.54030230586813977, 0.84147098480789651, -0.84147098480789651, 0.54030230586813977]]]> : tensor<1x2x4xf64>
  return %y, %expected : tensor<1x2x4xf64>, tensor<1x2x4xf64>
}

// One head of two pairs: the second turns by base^(-1/2) = 0.5 radians. Halves pair (0, 2) and (1, 3); interleaved (0, 1) and (2, 3).
func.func @check_pairs() -> (tensor<1x2x4xf64>, tensor<1x2x4xf64>) {
  %x = moe.constant dense<[[[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]]> : tensor<1x2x4xf64>
  %y = moe.rotary %x heads 1 base 4.0 : tensor<1x2x4xf64>
  %expected = moe.constant dense<[[[0.0, 0.0, 0.0, 0.0], [0.54030230586813977, 0.87758256189037276, 0.84147098480789651, 0.47942553860420301]]]> : tensor<1x2x4xf64>
  return %y, %expected : tensor<1x2x4xf64>, tensor<1x2x4xf64>
}
func.func @check_interleaved() -> (tensor<1x2x4xf64>, tensor<1x2x4xf64>) {
  %x = moe.constant dense<[[[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]]]> : tensor<1x2x4xf64>
  %y = moe.rotary %x heads 1 base 4.0 interleaved : tensor<1x2x4xf64>
  %expected = moe.constant dense<[[[0.0, 0.0, 0.0, 0.0], [0.54030230586813977, 0.84147098480789651, 0.87758256189037276, 0.47942553860420301]]]> : tensor<1x2x4xf64>
  return %y, %expected : tensor<1x2x4xf64>, tensor<1x2x4xf64>
}

// The row 0 stands at position 1.
func.func @check_at_a_position() -> (tensor<1x1x2xf64>, tensor<1x1x2xf64>) {
  %x = moe.constant dense<[[[1.0, 0.0]]]> : tensor<1x1x2xf64>
  %p = moe.constant dense<1> : tensor<i64>
  %y = moe.rotary %x at %p : tensor<i64> heads 1 base 100.0 : tensor<1x1x2xf64>
  %expected = moe.constant dense<[[[0.54030230586813977, 0.84147098480789651]]]> : tensor<1x1x2xf64>
  return %y, %expected : tensor<1x1x2xf64>, tensor<1x1x2xf64>
}
