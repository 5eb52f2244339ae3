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

// weights of a half; a draw below the probability drops its weight, the other is doubled
func.func @check_dropout() -> (tensor<1x1x2xf64>, tensor<1x1x2xf64>) {
  %q = moe.constant dense<[[[0.0, 0.0]]]> : tensor<1x1x2xf64>
  %v = moe.constant dense<[[[4.0, 40.0], [8.0, 80.0]]]> : tensor<1x2x2xf64>
  %d = moe.constant dense<[[[[0.5, 0.25]], [[0.25, 0.75]]]]> : tensor<1x2x1x2xf64>
  %y = moe.attention %q, %v, %v draws %d : tensor<1x2x1x2xf64> dropout 0.5 heads 2 scale 1.0 : tensor<1x1x2xf64>, tensor<1x2x2xf64>, tensor<1x2x2xf64>
  %expected = moe.constant dense<[[[4.0, 80.0]]]> : tensor<1x1x2xf64>
  return %y, %expected : tensor<1x1x2xf64>, tensor<1x1x2xf64>
}

// the probability is rounded as the draws are: 0.7 is not below 0.7
func.func @check_dropout_rounds() -> (tensor<1x1x1xf32>, tensor<1x1x1xf32>) {
  %q = moe.constant dense<3.0> : tensor<1x1x1xf32>
  %d = moe.constant dense<0.7> : tensor<1x1x1x1xf32>
  %y = moe.attention %q, %q, %q draws %d : tensor<1x1x1x1xf32> dropout 0.7 heads 1 scale 1.0 : tensor<1x1x1xf32>, tensor<1x1x1xf32>, tensor<1x1x1xf32>
  %expected = moe.constant dense<10.0> : tensor<1x1x1xf32>
  return %y, %expected : tensor<1x1x1xf32>, tensor<1x1x1xf32>
}

// plain products, and a dropout of the softmax between them by the same draws
func.func @check_dropout_of_plain_products() -> (tensor<2x2x2xf64>, tensor<2x2x2xf64>) {
  %q = moe.constant dense<[[[0.5, -1.0], [2.0, 0.25]], [[1.0, 1.0], [0.0, -0.5]]]> : tensor<2x2x2xf64>
  %k = moe.constant dense<[[[1.0, 0.5], [-0.5, 2.0], [0.75, 1.0]], [[0.0, 1.0], [1.5, 0.5], [-1.0, 0.25]]]> : tensor<2x3x2xf64>
  %d = moe.random uniform "a.dropout" : tensor<2x1x2x3xf64>
  %y = moe.attention %q, %k, %k draws %d : tensor<2x1x2x3xf64> dropout 0.4 heads 1 scale 1.0 : tensor<2x2x2xf64>, tensor<2x3x2xf64>, tensor<2x3x2xf64>
  %scores = moe.matmul %q, %k : tensor<2x2x2xf64>, tensor<2x3x2xf64>
  %weights = moe.softmax %scores : tensor<2x2x3xf64>
  %u = moe.reshape %d : tensor<2x1x2x3xf64> -> tensor<2x2x3xf64>
  %p = moe.constant dense<0.4> : tensor<1xf64>
  %stays = moe.compare ge %u, %p : tensor<2x2x3xf64>, tensor<1xf64>
  %one = moe.cast %stays to f64 : tensor<2x2x3xi1>
  %kept = moe.mul %weights, %one : tensor<2x2x3xf64>, tensor<2x2x3xf64>
  %share = moe.constant dense<0.6> : tensor<1xf64>
  %scaled = moe.div %kept, %share : tensor<2x2x3xf64>, tensor<1xf64>
  %v = moe.transpose %k [0, 2, 1] : tensor<2x3x2xf64>
  %expected = moe.matmul %scaled, %v : tensor<2x2x3xf64>, tensor<2x2x3xf64>
  return %y, %expected : tensor<2x2x2xf64>, tensor<2x2x2xf64>
}
