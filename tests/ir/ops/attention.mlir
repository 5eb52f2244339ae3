// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// attention: heads, scale and the causal mask

// weights 1/4 and 3/4
func.func @check_one_head() -> (tensor<1x1x1xf64>, tensor<1x1x1xf64>) {
  %q = moe.constant dense<[[[1.0]]]> : tensor<1x1x1xf64>
  %k = moe.constant dense<[[[0.0], [1.0986122886681098]]]> : tensor<1x2x1xf64>
  %v = moe.constant dense<[[[4.0], [8.0]]]> : tensor<1x2x1xf64>
  %y = moe.attention %q, %k, %v heads 1 scale 1.0 : tensor<1x1x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>
  %expected = moe.constant dense<[[[7.0]]]> : tensor<1x1x1xf64>
  return %y, %expected : tensor<1x1x1xf64>, tensor<1x1x1xf64>
}

// the first head as before: 2 times 1/2; the second sees equal scores
func.func @check_two_heads() -> (tensor<1x1x2xf64>, tensor<1x1x2xf64>) {
  %q = moe.constant dense<[[[2.0, 0.0]]]> : tensor<1x1x2xf64>
  %k = moe.constant dense<[[[0.0, 5.0], [1.0986122886681098, -5.0]]]> : tensor<1x2x2xf64>
  %v = moe.constant dense<[[[4.0, 1.0], [8.0, 2.0]]]> : tensor<1x2x2xf64>
  %y = moe.attention %q, %k, %v heads 2 scale 0.5 : tensor<1x1x2xf64>, tensor<1x2x2xf64>, tensor<1x2x2xf64>
  %expected = moe.constant dense<[[[7.0, 1.5]]]> : tensor<1x1x2xf64>
  return %y, %expected : tensor<1x1x2xf64>, tensor<1x1x2xf64>
}

func.func @check_causal() -> (tensor<1x3x1xf32>, tensor<1x3x1xf32>) {
  %q = moe.constant dense<[[[0.0], [0.0], [0.0]]]> : tensor<1x3x1xf32>
  %v = moe.constant dense<[[[3.0], [6.0], [12.0]]]> : tensor<1x3x1xf32>
  %y = moe.attention %q, %q, %v heads 1 scale 1.0 causal : tensor<1x3x1xf32>, tensor<1x3x1xf32>, tensor<1x3x1xf32>
  %expected = moe.constant dense<[[[3.0], [4.5], [7.0]]]> : tensor<1x3x1xf32>
  return %y, %expected : tensor<1x3x1xf32>, tensor<1x3x1xf32>
}

// query 0 sees keys 0 and 1
func.func @check_causal_behind_a_cache() -> (tensor<1x2x1xf32>, tensor<1x2x1xf32>) {
  %q = moe.constant dense<[[[0.0], [0.0]]]> : tensor<1x2x1xf32>
  %k = moe.constant dense<[[[0.0], [0.0], [0.0]]]> : tensor<1x3x1xf32>
  %v = moe.constant dense<[[[3.0], [6.0], [12.0]]]> : tensor<1x3x1xf32>
  %y = moe.attention %q, %k, %v heads 1 scale 1.0 causal : tensor<1x2x1xf32>, tensor<1x3x1xf32>, tensor<1x3x1xf32>
  %expected = moe.constant dense<[[[4.5], [7.0]]]> : tensor<1x2x1xf32>
  return %y, %expected : tensor<1x2x1xf32>, tensor<1x2x1xf32>
}

func.func @check_batch() -> (tensor<2x1x1xf32>, tensor<2x1x1xf32>) {
  %q = moe.constant dense<[[[0.0]], [[0.0]]]> : tensor<2x1x1xf32>
  %v = moe.constant dense<[[[3.0]], [[5.0]]]> : tensor<2x1x1xf32>
  %y = moe.attention %q, %v, %v heads 1 scale 1.0 : tensor<2x1x1xf32>, tensor<2x1x1xf32>, tensor<2x1x1xf32>
  %expected = moe.constant dense<[[[3.0]], [[5.0]]]> : tensor<2x1x1xf32>
  return %y, %expected : tensor<2x1x1xf32>, tensor<2x1x1xf32>
}

// equal scores, and a bias that makes the weights 1/4 and 3/4 in the second head
func.func @check_bias() -> (tensor<1x1x2xf64>, tensor<1x1x2xf64>) {
  %q = moe.constant dense<[[[0.0, 0.0]]]> : tensor<1x1x2xf64>
  %v = moe.constant dense<[[[4.0, 4.0], [8.0, 8.0]]]> : tensor<1x2x2xf64>
  %b = moe.constant dense<[[[5.0, 5.0]], [[0.0, 1.0986122886681098]]]> : tensor<2x1x2xf64>
  %y = moe.attention %q, %v, %v bias %b : tensor<2x1x2xf64> heads 2 scale 1.0 : tensor<1x1x2xf64>, tensor<1x2x2xf64>, tensor<1x2x2xf64>
  %expected = moe.constant dense<[[[6.0, 7.0]]]> : tensor<1x1x2xf64>
  return %y, %expected : tensor<1x1x2xf64>, tensor<1x1x2xf64>
}

func.func @check_bias_of_all_heads() -> (tensor<1x1x2xf64>, tensor<1x1x2xf64>) {
  %q = moe.constant dense<[[[0.0, 0.0]]]> : tensor<1x1x2xf64>
  %v = moe.constant dense<[[[4.0, 40.0], [8.0, 80.0]]]> : tensor<1x2x2xf64>
  %b = moe.constant dense<[[[0.0, 1.0986122886681098]]]> : tensor<1x1x2xf64>
  %y = moe.attention %q, %v, %v bias %b : tensor<1x1x2xf64> heads 2 scale 1.0 : tensor<1x1x2xf64>, tensor<1x2x2xf64>, tensor<1x2x2xf64>
  %expected = moe.constant dense<[[[7.0, 70.0]]]> : tensor<1x1x2xf64>
  return %y, %expected : tensor<1x1x2xf64>, tensor<1x1x2xf64>
}

// four heads of q on two of k and v: the first two read 4 and 8, the others 40 and 80
func.func @check_kv_heads() -> (tensor<1x1x4xf64>, tensor<1x1x4xf64>) {
  %q = moe.constant dense<[[[0.0, 1.0986122886681098, 0.0, 1.0986122886681098]]]> : tensor<1x1x4xf64>
  %k = moe.constant dense<[[[0.0, 1.0], [1.0, 0.0]]]> : tensor<1x2x2xf64>
  %v = moe.constant dense<[[[4.0, 40.0], [8.0, 80.0]]]> : tensor<1x2x2xf64>
  %y = moe.attention %q, %k, %v heads 4 kv_heads 2 scale 1.0 : tensor<1x1x4xf64>, tensor<1x2x2xf64>, tensor<1x2x2xf64>
  %expected = moe.constant dense<[[[6.0, 7.0, 60.0, 50.0]]]> : tensor<1x1x4xf64>
  return %y, %expected : tensor<1x1x4xf64>, tensor<1x1x4xf64>
}
