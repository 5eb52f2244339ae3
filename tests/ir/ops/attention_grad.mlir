// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// attention_grad: of q, k, v and bias

// scores 2 + 4 and 6 + 0: weights of a half. dP = 2, 6; dS = -1, 1
func.func @check_bias() -> (tensor<1x1x1xf64>, tensor<1x1x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x1x2xf64>, tensor<1x1x2xf64>) {
  %dy = moe.constant dense<[[[1.0]]]> : tensor<1x1x1xf64>
  %q = moe.constant dense<[[[1.0]]]> : tensor<1x1x1xf64>
  %k = moe.constant dense<[[[1.0], [3.0]]]> : tensor<1x2x1xf64>
  %v = moe.constant dense<[[[2.0], [6.0]]]> : tensor<1x2x1xf64>
  %b = moe.constant dense<[[[4.0, 0.0]]]> : tensor<1x1x2xf64>
  %dq, %dk, %dv, %db = moe.attention_grad %dy, %q, %k, %v bias %b : tensor<1x1x2xf64> heads 1 scale 2.0 : tensor<1x1x1xf64>, tensor<1x1x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>
  %eq = moe.constant dense<[[[4.0]]]> : tensor<1x1x1xf64>
  %ek = moe.constant dense<[[[-2.0], [2.0]]]> : tensor<1x2x1xf64>
  %ev = moe.constant dense<[[[0.5], [0.5]]]> : tensor<1x2x1xf64>
  %eb = moe.constant dense<[[[-1.0, 1.0]]]> : tensor<1x1x2xf64>
  return %dq, %eq, %dk, %ek, %dv, %ev, %db, %eb : tensor<1x1x1xf64>, tensor<1x1x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x1x2xf64>, tensor<1x1x2xf64>
}

// the first query sees one key, whose weight is 1 whatever its score
func.func @check_causal() -> (tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>) {
  %dy = moe.constant dense<1.0> : tensor<1x2x1xf64>
  %q = moe.constant dense<0.0> : tensor<1x2x1xf64>
  %k = moe.constant dense<[[[1.0], [3.0]]]> : tensor<1x2x1xf64>
  %v = moe.constant dense<[[[2.0], [6.0]]]> : tensor<1x2x1xf64>
  %dq, %dk, %dv = moe.attention_grad %dy, %q, %k, %v heads 1 scale 1.0 causal : tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>
  %eq = moe.constant dense<[[[0.0], [2.0]]]> : tensor<1x2x1xf64>
  %ek = moe.constant dense<0.0> : tensor<1x2x1xf64>
  %ev = moe.constant dense<[[[1.5], [0.5]]]> : tensor<1x2x1xf64>
  return %dq, %eq, %dk, %ek, %dv, %ev : tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>
}

// two heads read one of k and v, and share a bias: sums over both
func.func @check_shared() -> (tensor<1x1x2xf64>, tensor<1x1x2xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x1x2xf64>, tensor<1x1x2xf64>) {
  %dy = moe.constant dense<[[[1.0, 10.0]]]> : tensor<1x1x2xf64>
  %q = moe.constant dense<0.0> : tensor<1x1x2xf64>
  %k = moe.constant dense<[[[1.0], [3.0]]]> : tensor<1x2x1xf64>
  %v = moe.constant dense<[[[2.0], [6.0]]]> : tensor<1x2x1xf64>
  %b = moe.constant dense<0.0> : tensor<1x1x2xf64>
  %dq, %dk, %dv, %db = moe.attention_grad %dy, %q, %k, %v bias %b : tensor<1x1x2xf64> heads 2 kv_heads 1 scale 0.5 : tensor<1x1x2xf64>, tensor<1x1x2xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>
  %eq = moe.constant dense<[[[1.0, 10.0]]]> : tensor<1x1x2xf64>
  %ek = moe.constant dense<0.0> : tensor<1x2x1xf64>
  %ev = moe.constant dense<5.5> : tensor<1x2x1xf64>
  %eb = moe.constant dense<[[[-11.0, 11.0]]]> : tensor<1x1x2xf64>
  return %dq, %eq, %dk, %ek, %dv, %ev, %db, %eb : tensor<1x1x2xf64>, tensor<1x1x2xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x1x2xf64>, tensor<1x1x2xf64>
}

// weights of a half, of which the second is dropped: dP = 2 * 2, 0; dS = 1, -1
func.func @check_dropout() -> (tensor<1x1x1xf64>, tensor<1x1x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x1x2xf64>, tensor<1x1x2xf64>) {
  %dy = moe.constant dense<[[[1.0]]]> : tensor<1x1x1xf64>
  %q = moe.constant dense<[[[1.0]]]> : tensor<1x1x1xf64>
  %k = moe.constant dense<[[[1.0], [3.0]]]> : tensor<1x2x1xf64>
  %v = moe.constant dense<[[[2.0], [6.0]]]> : tensor<1x2x1xf64>
  %b = moe.constant dense<[[[4.0, 0.0]]]> : tensor<1x1x2xf64>
  %d = moe.constant dense<[[[[0.5, 0.25]]]]> : tensor<1x1x1x2xf64>
  %dq, %dk, %dv, %db = moe.attention_grad %dy, %q, %k, %v bias %b : tensor<1x1x2xf64> draws %d : tensor<1x1x1x2xf64> dropout 0.5 heads 1 scale 2.0 : tensor<1x1x1xf64>, tensor<1x1x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>
  %eq = moe.constant dense<[[[-4.0]]]> : tensor<1x1x1xf64>
  %ek = moe.constant dense<[[[2.0], [-2.0]]]> : tensor<1x2x1xf64>
  %ev = moe.constant dense<[[[1.0], [0.0]]]> : tensor<1x2x1xf64>
  %eb = moe.constant dense<[[[1.0, -1.0]]]> : tensor<1x1x2xf64>
  return %dq, %eq, %dk, %ek, %dv, %ev, %db, %eb : tensor<1x1x1xf64>, tensor<1x1x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x2x1xf64>, tensor<1x1x2xf64>, tensor<1x1x2xf64>
}
