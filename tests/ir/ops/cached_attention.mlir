// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// cached_attention: old rows, then new ones

// One old token and one new: weights 1/4 and 3/4. What lies behind the old one is not looked at.
func.func @check_one_new() -> (tensor<1x1x1xf64>, tensor<1x1x1xf64>) {
  %q = moe.constant dense<[[[1.0]]]> : tensor<1x1x1xf64>
  %k = moe.constant dense<[[[1.0986122886681098]]]> : tensor<1x1x1xf64>
  %v = moe.constant dense<[[[8.0]]]> : tensor<1x1x1xf64>
  %keys = moe.constant dense<[[[0.0], [99.0], [99.0]]]> : tensor<1x3x1xf64>
  %values = moe.constant dense<[[[4.0], [99.0], [99.0]]]> : tensor<1x3x1xf64>
  %p = moe.constant dense<1> : tensor<i64>
  %y = moe.cached_attention %q, %k, %v behind %keys, %values at %p heads 1 scale 1.0 : tensor<1x1x1xf64>, tensor<1x1x1xf64>, tensor<1x1x1xf64>, tensor<1x3x1xf64>, tensor<1x3x1xf64>, tensor<i64>
  %expected = moe.constant dense<[[[7.0]]]> : tensor<1x1x1xf64>
  return %y, %expected : tensor<1x1x1xf64>, tensor<1x1x1xf64>
}

// Two new tokens behind one: the first does not see the second. Equal scores.
func.func @check_causal() -> (tensor<1x2x1xf32>, tensor<1x2x1xf32>) {
  %q = moe.constant dense<[[[0.0], [0.0]]]> : tensor<1x2x1xf32>
  %v = moe.constant dense<[[[6.0], [12.0]]]> : tensor<1x2x1xf32>
  %c = moe.constant dense<[[[3.0], [99.0], [99.0], [99.0]]]> : tensor<1x4x1xf32>
  %p = moe.constant dense<1> : tensor<i64>
  %y = moe.cached_attention %q, %v, %v behind %c, %c at %p heads 1 scale 1.0 : tensor<1x2x1xf32>, tensor<1x2x1xf32>, tensor<1x2x1xf32>, tensor<1x4x1xf32>, tensor<1x4x1xf32>, tensor<i64>
  %expected = moe.constant dense<[[[4.5], [7.0]]]> : tensor<1x2x1xf32>
  return %y, %expected : tensor<1x2x1xf32>, tensor<1x2x1xf32>
}

// At position 0 the caches are not read; each row of the batch has its own.
func.func @check_first() -> (tensor<2x1x1xf32>, tensor<2x1x1xf32>) {
  %q = moe.constant dense<[[[1.0]], [[1.0]]]> : tensor<2x1x1xf32>
  %v = moe.constant dense<[[[6.0]], [[12.0]]]> : tensor<2x1x1xf32>
  %c = moe.constant dense<99.0> : tensor<2x1x1xf32>
  %p = moe.constant dense<0> : tensor<i64>
  %y = moe.cached_attention %q, %v, %v behind %c, %c at %p heads 1 scale 1.0 : tensor<2x1x1xf32>, tensor<2x1x1xf32>, tensor<2x1x1xf32>, tensor<2x1x1xf32>, tensor<2x1x1xf32>, tensor<i64>
  return %y, %v : tensor<2x1x1xf32>, tensor<2x1x1xf32>
}

// Two heads of q on one of k and v: old 4, new 8; scores 0 and 0, then 0 and ln 3.
func.func @check_kv_heads() -> (tensor<1x1x2xf64>, tensor<1x1x2xf64>) {
  %q = moe.constant dense<[[[0.0, 1.0986122886681098]]]> : tensor<1x1x2xf64>
  %k = moe.constant dense<[[[1.0]]]> : tensor<1x1x1xf64>
  %v = moe.constant dense<[[[8.0]]]> : tensor<1x1x1xf64>
  %keys = moe.constant dense<[[[0.0], [99.0]]]> : tensor<1x2x1xf64>
  %values = moe.constant dense<[[[4.0], [99.0]]]> : tensor<1x2x1xf64>
  %p = moe.constant dense<1> : tensor<i64>
  %y = moe.cached_attention %q, %k, %v behind %keys, %values at %p heads 2 kv_heads 1 scale 1.0 : tensor<1x1x2xf64>, tensor<1x1x1xf64>, tensor<1x1x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<i64>
  %expected = moe.constant dense<[[[6.0, 7.0]]]> : tensor<1x1x2xf64>
  return %y, %expected : tensor<1x1x2xf64>, tensor<1x1x2xf64>
}

// A bias of the positions 0 and 1; that of position 2 is not seen.
func.func @check_bias() -> (tensor<1x1x1xf64>, tensor<1x1x1xf64>) {
  %q = moe.constant dense<[[[0.0]]]> : tensor<1x1x1xf64>
  %v = moe.constant dense<[[[8.0]]]> : tensor<1x1x1xf64>
  %c = moe.constant dense<[[[4.0], [99.0], [99.0]]]> : tensor<1x3x1xf64>
  %b = moe.constant dense<[[[0.0, 1.0986122886681098, 50.0]]]> : tensor<1x1x3xf64>
  %p = moe.constant dense<1> : tensor<i64>
  %y = moe.cached_attention %q, %v, %v behind %c, %c at %p bias %b : tensor<1x1x3xf64> heads 1 scale 1.0 : tensor<1x1x1xf64>, tensor<1x1x1xf64>, tensor<1x1x1xf64>, tensor<1x3x1xf64>, tensor<1x3x1xf64>, tensor<i64>
  %expected = moe.constant dense<[[[7.0]]]> : tensor<1x1x1xf64>
  return %y, %expected : tensor<1x1x1xf64>, tensor<1x1x1xf64>
}
