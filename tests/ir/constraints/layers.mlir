// RUN: moec-opt %s --split-input-file --verify-diagnostics

func.func @f(%a: tensor<2x3xf32>, %b: tensor<4x3xbf16>) {
  // expected-error@+1 {{matmul C1: a and b share one dtype: a is f32, b is bf16}}
  %y = moe.matmul %a, %b : tensor<2x3xf32>, tensor<4x3xbf16>
  return
}

// -----

func.func @f(%a: tensor<2x3xi32>) {
  // expected-error@+1 {{matmul C2: a is f64, f32 or bf16: it is i32}}
  %y = moe.matmul %a, %a : tensor<2x3xi32>, tensor<2x3xi32>
  return
}

// -----

func.func @f(%a: tensor<3xf32>, %b: tensor<4x3xf32>) {
  // expected-error@+1 {{matmul C3: a has at least 2 dimensions: it has 1}}
  %y = moe.matmul %a, %b : tensor<3xf32>, tensor<4x3xf32>
  return
}

// -----

func.func @f(%a: tensor<2x3xf32>, %b: tensor<4x5xf32>) {
  // expected-error@+1 {{matmul C4: the last dimensions of a and b agree: a has 3, b has 5}}
  %y = moe.matmul %a, %b : tensor<2x3xf32>, tensor<4x5xf32>
  return
}

// -----

func.func @f(%a: tensor<2x5x3xf32>, %b: tensor<4x6x3xf32>) {
  // expected-error@+1 {{matmul C5: the leading dimensions of a and b broadcast: a has [2], b has [4]}}
  %y = moe.matmul %a, %b : tensor<2x5x3xf32>, tensor<4x6x3xf32>
  return
}

// -----

func.func @f(%w: tensor<3xf32>) {
  // expected-error@+1 {{pack C1: w has at least 2 dimensions: it has 1}}
  %y = moe.pack %w nr 2 : tensor<3xf32>
  return
}

// -----

func.func @f(%w: tensor<3x2xf32>) {
  // expected-error@+1 {{pack C2: nr is at least 1: it is 0}}
  %y = moe.pack %w nr 0 : tensor<3x2xf32>
  return
}

// -----

func.func @f(%w: tensor<2x3xbf16>) {
  // expected-error@+1 {{pack C3: what lies in pairs has a constant, even depth: it is 3}}
  %y = moe.pack %w nr 2 pairs : tensor<2x3xbf16>
  return
}

// -----

func.func @f(%w: tensor<3x2xbf16>) {
  // expected-error@+1 {{quantize C1: w is f32 of at least 2 dimensions: it is bf16[3, 2]}}
  %c, %s = moe.quantize %w group 2 : tensor<3x2xbf16>
  return
}

// -----

func.func @f(%w: tensor<3x2xf32>) {
  // expected-error@+1 {{quantize C2: group is at least 1: it is 0}}
  %c, %s = moe.quantize %w group 0 : tensor<3x2xf32>
  return
}

// -----

func.func @f(%c: tensor<3xui8>, %s: tensor<1xbf16>) {
  // expected-error@+1 {{dequantize C1: codes are u8 of at least 2 dimensions: they are u8[3]}}
  %y = moe.dequantize %c, %s group 4 : tensor<3xui8>, tensor<1xbf16>
  return
}

// -----

func.func @f(%c: tensor<3x4xui8>, %s: tensor<3x1xbf16>) {
  // expected-error@+1 {{dequantize C2: group is at least 1: it is -1}}
  %y = moe.dequantize %c, %s group -1 : tensor<3x4xui8>, tensor<3x1xbf16>
  return
}

// -----

func.func @f(%c: tensor<3x5xui8>, %s: tensor<3x1xbf16>) {
  // expected-error@+1 {{dequantize C3: scales are bf16[3, 2], one for each group: they are bf16[3, 1]}}
  %y = moe.dequantize %c, %s group 4 : tensor<3x5xui8>, tensor<3x1xbf16>
  return
}

// -----

func.func @f(%p: tensor<3x2xf32>) {
  // expected-error@+1 {{unpack C1: panels has at least 3 dimensions: it has 2}}
  %y = moe.unpack %p n 3 : tensor<3x2xf32>
  return
}

// -----

func.func @f(%p: tensor<3x2x4xf32>) {
  // expected-error@+1 {{unpack C2: n rows fill the panels, ceil(n / nr) of them: n is 13, nr is 4, there are 3 panels}}
  %y = moe.unpack %p n 13 : tensor<3x2x4xf32>
  return
}

// -----

func.func @f(%p: tensor<3x5x4xf32>) {
  // expected-error@+1 {{unpack C3: what lies in pairs has a constant, even depth: it is 5}}
  %y = moe.unpack %p n 12 pairs : tensor<3x5x4xf32>
  return
}

// -----

func.func @f(%x: tensor<2xi32>) {
  // expected-error@+1 {{layer_norm C1: x is f64, f32 or bf16: it is i32}}
  %y = moe.layer_norm %x eps 0.0 of tensor<2xi32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>, %w: tensor<2xf32>) {
  // expected-error@+1 {{layer_norm C2: weight has one number of x's dtype for each of x's last dimension: x is f32[2, 3], weight is f32[2]}}
  %y = moe.layer_norm %x weight %w : tensor<2xf32> eps 0.0 of tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>, %b: tensor<3xf64>) {
  // expected-error@+1 {{layer_norm C3: bias has one number of x's dtype for each of x's last dimension: x is f32[2, 3], bias is f64[3]}}
  %y = moe.layer_norm %x bias %b : tensor<3xf64> eps 0.0 of tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{layer_norm C4: eps is finite and not negative: it is -1.000000e+00}}
  %y = moe.layer_norm %x eps -1.0 of tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<f32>) {
  // expected-error@+1 {{softmax C1: x has at least 1 dimensions: it has 0}}
  %y = moe.softmax %x : tensor<f32>
  return
}

// -----

func.func @f(%q: tensor<1x2x4xf32>, %k: tensor<1x2x4xf64>) {
  // expected-error@+1 {{attention C1: q and k share one dtype: q is f32, k is f64}}
  %y = moe.attention %q, %k, %k heads 1 scale 1.0 : tensor<1x2x4xf32>, tensor<1x2x4xf64>, tensor<1x2x4xf64>
  return
}

// -----

func.func @f(%q: tensor<1x2x4xi32>) {
  // expected-error@+1 {{attention C2: q is f64, f32 or bf16: it is i32}}
  %y = moe.attention %q, %q, %q heads 1 scale 1.0 : tensor<1x2x4xi32>, tensor<1x2x4xi32>, tensor<1x2x4xi32>
  return
}

// -----

func.func @f(%q: tensor<2x4xf32>) {
  // expected-error@+1 {{attention C3: q, k and v have 3 dimensions: they have 2, 2 and 2}}
  %y = moe.attention %q, %q, %q heads 1 scale 1.0 : tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @f(%q: tensor<1x2x4xf32>, %v: tensor<1x3x4xf32>) {
  // expected-error@+1 {{attention C4: k and v have one shape: k is [1, 2, 4], v is [1, 3, 4]}}
  %y = moe.attention %q, %q, %v heads 1 scale 1.0 : tensor<1x2x4xf32>, tensor<1x2x4xf32>, tensor<1x3x4xf32>
  return
}

// -----

func.func @f(%q: tensor<1x2x4xf32>, %k: tensor<2x2x4xf32>) {
  // expected-error@+1 {{attention C5: q and k agree in batch and width: q is [1, 2, 4], k is [2, 2, 4]}}
  %y = moe.attention %q, %k, %k heads 1 scale 1.0 : tensor<1x2x4xf32>, tensor<2x2x4xf32>, tensor<2x2x4xf32>
  return
}

// -----

func.func @f(%q: tensor<1x2x4xf32>) {
  // expected-error@+1 {{attention C6: heads divides the width, a constant: the width is 4, heads is 3}}
  %y = moe.attention %q, %q, %q heads 3 scale 1.0 : tensor<1x2x4xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>
  return
}

// -----

func.func @f(%q: tensor<1x3x4xf32>, %k: tensor<1x2x4xf32>) {
  // expected-error@+1 {{attention C7: causal attention has a key for every query: there are 3 queries and 2 keys}}
  %y = moe.attention %q, %k, %k heads 1 scale 1.0 causal : tensor<1x3x4xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>
  return
}

// -----

func.func @f(%q: tensor<1x2x4xf32>) {
  // expected-error@+1 {{attention C8: scale is finite}}
  %y = moe.attention %q, %q, %q heads 1 scale 0x7FF0000000000000 : tensor<1x2x4xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>
  return
}

// -----

func.func @f(%i: tensor<2xf32>, %t: tensor<4x3xf32>) {
  // expected-error@+1 {{embedding C1: ids are i64 or i32: they are f32}}
  %y = moe.embedding %i, %t : tensor<2xf32>, tensor<4x3xf32>
  return
}

// -----

func.func @f(%i: tensor<2xi64>, %t: tensor<4xf32>) {
  // expected-error@+1 {{embedding C2: table has 2 dimensions: it has 1}}
  %y = moe.embedding %i, %t : tensor<2xi64>, tensor<4xf32>
  return
}

// -----

func.func @f() {
  // expected-error@+1 {{random C1: draws are f64 or f32: the result is bf16}}
  %y = moe.random normal "noise" : tensor<2xbf16>
  return
}

// -----

func.func @f() {
  // expected-error@+1 {{random C2: the path names the draw: it is empty}}
  %y = moe.random normal "" : tensor<2xf32>
  return
}

// -----

func.func @f(%x: tensor<4xi32>) {
  // expected-error@+1 {{rms_norm C1: x is f64, f32 or bf16: it is i32}}
  %y = moe.rms_norm %x eps 1.0e-6 of tensor<4xi32>
  return
}

// -----

func.func @f(%x: tensor<2x4xf32>, %w: tensor<2xf32>) {
  // expected-error@+1 {{rms_norm C2: weight has one number of x's dtype for each of x's last dimension: x is f32[2, 4], weight is f32[2]}}
  %y = moe.rms_norm %x weight %w : tensor<2xf32> eps 1.0e-6 of tensor<2x4xf32>
  return
}

// -----

func.func @f(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{rms_norm C3: eps is finite and not negative: it is -1}}
  %y = moe.rms_norm %x eps -1.0 of tensor<2x4xf32>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xf32>, %k: tensor<2x5x4xf32>) {
  // expected-error@+1 {{attention C9: kv_heads divides heads, and k has as many heads of q's width: q is [2, 3, 8], k is [2, 5, 4], heads is 4, kv_heads is 3}}
  %y = moe.attention %q, %k, %k heads 4 kv_heads 3 scale 1.0 : tensor<2x3x8xf32>, tensor<2x5x4xf32>, tensor<2x5x4xf32>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xf32>, %k: tensor<2x5x8xf32>, %b: tensor<2x3x5xf32>) {
  // expected-error@+1 {{attention C10: bias is of q's dtype, (heads or 1, queries, keys): q is f32[2, 3, 8], k is [2, 5, 8], bias is f32[2, 3, 5]}}
  %y = moe.attention %q, %k, %k bias %b : tensor<2x3x5xf32> heads 4 scale 1.0 : tensor<2x3x8xf32>, tensor<2x5x8xf32>, tensor<2x5x8xf32>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xf32>) {
  // expected-error@+2 {{attention C11: draws and dropout come together: there is a dropout alone}}
  // expected-error@+1 {{'moe.attention' op failed to infer returned types}}
  %y = moe.attention %q, %q, %q heads 2 scale 1.0 : tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x3x8xf32> {dropout = 0.5}
  return
}

// -----

func.func @f(%q: tensor<2x3x8xbf16>, %k: tensor<2x5x8xbf16>, %d: tensor<2x2x5x3xf32>) {
  // expected-error@+1 {{attention C12: draws are f64 where q is, else f32, (batch, heads, queries, keys): q is bf16[2, 3, 8], k is [2, 5, 8], heads is 2, draws is f32[2, 2, 5, 3]}}
  %y = moe.attention %q, %k, %k draws %d : tensor<2x2x5x3xf32> dropout 0.5 heads 2 scale 1.0 : tensor<2x3x8xbf16>, tensor<2x5x8xbf16>, tensor<2x5x8xbf16>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xf64>, %d: tensor<2x2x3x3xf32>) {
  // expected-error@+1 {{attention C12: draws are f64 where q is, else f32, (batch, heads, queries, keys): q is f64[2, 3, 8], k is [2, 3, 8], heads is 2, draws is f32[2, 2, 3, 3]}}
  %y = moe.attention %q, %q, %q draws %d : tensor<2x2x3x3xf32> dropout 0.5 heads 2 scale 1.0 : tensor<2x3x8xf64>, tensor<2x3x8xf64>, tensor<2x3x8xf64>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xf32>, %d: tensor<2x2x3x3xf32>) {
  // expected-error@+1 {{attention C13: dropout lies in [0, 1): it is 1}}
  %y = moe.attention %q, %q, %q draws %d : tensor<2x2x3x3xf32> dropout 1.0 heads 2 scale 1.0 : tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x3x8xf32>
  return
}

// -----

func.func @f(%t: tensor<8xf32>) {
  // expected-error@+1 {{relative_bias C1: table has 2 dimensions, constants: it is [8]}}
  %y = moe.relative_bias %t queries "3" keys "3" max_distance 16 : tensor<8xf32>
  return
}

// -----

func.func @f(%t: tensor<8x2xf32>) {
  // expected-error@+1 {{relative_bias C2: queries and keys are canonical size texts: one is "n*b"}}
  %y = moe.relative_bias %t queries "n*b" keys "3" max_distance 16 : tensor<8x2xf32>
  return
}

// -----

func.func @f(%t: tensor<2x2xf32>) {
  // expected-error@+1 {{relative_bias C3: there are at least 2 buckets, of each direction, and as many of one as of the other: there are 2}}
  %y = moe.relative_bias %t queries "3" keys "3" max_distance 16 bidirectional : tensor<2x2xf32>
  return
}

// -----

func.func @f(%t: tensor<8x2xf32>) {
  // expected-error@+1 {{relative_bias C4: max_distance is over half of a direction's buckets, 4, and at most 2147483647: it is 4}}
  %y = moe.relative_bias %t queries "3" keys "3" max_distance 4 : tensor<8x2xf32>
  return
}

// -----

func.func @f(%t: tensor<8x2xf32>) {
  // expected-error@+1 {{relative_bias C4: max_distance is over half of a direction's buckets, 4, and at most 2147483647: it is 2147483648}}
  %y = moe.relative_bias %t queries "3" keys "3" max_distance 2147483648 : tensor<8x2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x8xf32>) {
  // expected-error@+1 {{rotary C1: x has 3 dimensions: it has 2}}
  %y = moe.rotary %x heads 2 base 10000.0 : tensor<2x8xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3x6xf32>) {
  // expected-error@+1 {{rotary C2: the width, a constant, is heads of an even width: the width is 6, heads is 2}}
  %y = moe.rotary %x heads 2 base 10000.0 : tensor<2x3x6xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3x8xf32>) {
  // expected-error@+1 {{rotary C3: base is finite and over 0: it is 0}}
  %y = moe.rotary %x heads 2 base 0.0 : tensor<2x3x8xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xi32>) {
  // expected-error@+1 {{layer_norm_grad C1: x is f64, f32 or bf16: it is i32}}
  %y = moe.layer_norm_grad %x, %x eps 0.1 of tensor<2x3xi32>, tensor<2x3xi32>
  return
}

// -----

func.func @f(%x: tensor<f32>) {
  // expected-error@+1 {{layer_norm_grad C1: x has at least 1 dimensions: it has 0}}
  %y = moe.layer_norm_grad %x, %x eps 0.1 of tensor<f32>, tensor<f32>
  return
}

// -----

func.func @f(%dy: tensor<2x3xf64>, %x: tensor<2x3xf32>) {
  // expected-error@+1 {{layer_norm_grad C2: dy has x's shape and dtype: x is f32[2, 3], dy is f64[2, 3]}}
  %y = moe.layer_norm_grad %dy, %x eps 0.1 of tensor<2x3xf64>, tensor<2x3xf32>
  return
}

// -----

func.func @f(%dy: tensor<3xf32>, %x: tensor<2x3xf32>) {
  // expected-error@+1 {{layer_norm_grad C2: dy has x's shape and dtype: x is f32[2, 3], dy is f32[3]}}
  %y = moe.layer_norm_grad %dy, %x eps 0.1 of tensor<3xf32>, tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>, %w: tensor<2xf32>) {
  // expected-error@+1 {{layer_norm_grad C3: weight has one number of x's dtype for each of x's last dimension: x is f32[2, 3], weight is f32[2]}}
  %y = moe.layer_norm_grad %x, %x weight %w : tensor<2xf32> eps 0.1 of tensor<2x3xf32>, tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{layer_norm_grad C4: eps is finite and not negative: it is -1.000000e+00}}
  %y = moe.layer_norm_grad %x, %x eps -1.0 of tensor<2x3xf32>, tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xi32>) {
  // expected-error@+1 {{rms_norm_grad C1: x is f64, f32 or bf16: it is i32}}
  %y = moe.rms_norm_grad %x, %x eps 0.1 of tensor<2x3xi32>, tensor<2x3xi32>
  return
}

// -----

func.func @f(%x: tensor<f32>) {
  // expected-error@+1 {{rms_norm_grad C1: x has at least 1 dimensions: it has 0}}
  %y = moe.rms_norm_grad %x, %x eps 0.1 of tensor<f32>, tensor<f32>
  return
}

// -----

func.func @f(%dy: tensor<2x3xf64>, %x: tensor<2x3xf32>) {
  // expected-error@+1 {{rms_norm_grad C2: dy has x's shape and dtype: x is f32[2, 3], dy is f64[2, 3]}}
  %y = moe.rms_norm_grad %dy, %x eps 0.1 of tensor<2x3xf64>, tensor<2x3xf32>
  return
}

// -----

func.func @f(%dy: tensor<3xf32>, %x: tensor<2x3xf32>) {
  // expected-error@+1 {{rms_norm_grad C2: dy has x's shape and dtype: x is f32[2, 3], dy is f32[3]}}
  %y = moe.rms_norm_grad %dy, %x eps 0.1 of tensor<3xf32>, tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>, %w: tensor<2xf32>) {
  // expected-error@+1 {{rms_norm_grad C3: weight has one number of x's dtype for each of x's last dimension: x is f32[2, 3], weight is f32[2]}}
  %y = moe.rms_norm_grad %x, %x weight %w : tensor<2xf32> eps 0.1 of tensor<2x3xf32>, tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{rms_norm_grad C4: eps is finite and not negative: it is -1.000000e+00}}
  %y = moe.rms_norm_grad %x, %x eps -1.0 of tensor<2x3xf32>, tensor<2x3xf32>
  return
}

// -----

func.func @f(%y: tensor<3xi32>) {
  // expected-error@+1 {{softmax_grad C1: y is f64, f32 or bf16: it is i32}}
  %x = moe.softmax_grad %y, %y : tensor<3xi32>, tensor<3xi32>
  return
}

// -----

func.func @f(%y: tensor<f32>) {
  // expected-error@+1 {{softmax_grad C1: y has at least 1 dimensions: it has 0}}
  %x = moe.softmax_grad %y, %y : tensor<f32>, tensor<f32>
  return
}

// -----

func.func @f(%dy: tensor<2x3xf32>, %y: tensor<3x2xf32>) {
  // expected-error@+1 {{softmax_grad C2: dy has y's shape and dtype: y is f32[3, 2], dy is f32[2, 3]}}
  %x = moe.softmax_grad %dy, %y : tensor<2x3xf32>, tensor<3x2xf32>
  return
}

// -----

func.func @f(%x: tensor<3xi64>) {
  // expected-error@+1 {{log_sum_exp C1: x is f64, f32 or bf16: it is i64}}
  %y = moe.log_sum_exp %x : tensor<3xi64>
  return
}

// -----

func.func @f(%x: tensor<f32>) {
  // expected-error@+1 {{log_sum_exp C1: x has at least 1 dimensions: it has 0}}
  %y = moe.log_sum_exp %x : tensor<f32>
  return
}

// -----

func.func @f(%x: tensor<2x3xi32>, %l: tensor<2xi64>) {
  // expected-error@+1 {{cross_entropy C1: scores is f64, f32 or bf16: it is i32}}
  %y = moe.cross_entropy %x, %l smoothing 0.0 ignore -100 : tensor<2x3xi32>, tensor<2xi64>
  return
}

// -----

func.func @f(%x: tensor<f32>, %l: tensor<i64>) {
  // expected-error@+1 {{cross_entropy C1: scores has at least 1 dimensions: it has 0}}
  %y = moe.cross_entropy %x, %l smoothing 0.0 ignore -100 : tensor<f32>, tensor<i64>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>, %l: tensor<2xf32>) {
  // expected-error@+1 {{cross_entropy C2: labels are i64 or i32: they are f32}}
  %y = moe.cross_entropy %x, %l smoothing 0.0 ignore -100 : tensor<2x3xf32>, tensor<2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>, %l: tensor<3xi64>) {
  // expected-error@+1 {{cross_entropy C3: there is a label for each row of scores: scores is [2, 3], labels is [3]}}
  %y = moe.cross_entropy %x, %l smoothing 0.0 ignore -100 : tensor<2x3xf32>, tensor<3xi64>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>, %l: tensor<2xi64>) {
  // expected-error@+1 {{cross_entropy C4: smoothing lies in [0, 1): it is 1.000000e+00}}
  %y = moe.cross_entropy %x, %l smoothing 1.0 ignore -100 : tensor<2x3xf32>, tensor<2xi64>
  return
}

// -----

func.func @f(%dy: tensor<2xf32>, %x: tensor<2x3xi32>, %l: tensor<2xi64>) {
  // expected-error@+1 {{cross_entropy_grad C1: scores is f64, f32 or bf16: it is i32}}
  %y = moe.cross_entropy_grad %dy, %x, %l smoothing 0.0 ignore -100 : tensor<2xf32>, tensor<2x3xi32>, tensor<2xi64>
  return
}

// -----

func.func @f(%dy: tensor<2xf32>, %x: tensor<f32>, %l: tensor<i64>) {
  // expected-error@+1 {{cross_entropy_grad C1: scores has at least 1 dimensions: it has 0}}
  %y = moe.cross_entropy_grad %dy, %x, %l smoothing 0.0 ignore -100 : tensor<2xf32>, tensor<f32>, tensor<i64>
  return
}

// -----

func.func @f(%dy: tensor<2xf32>, %x: tensor<2x3xf32>, %l: tensor<2xf32>) {
  // expected-error@+1 {{cross_entropy_grad C2: labels are i64 or i32: they are f32}}
  %y = moe.cross_entropy_grad %dy, %x, %l smoothing 0.0 ignore -100 : tensor<2xf32>, tensor<2x3xf32>, tensor<2xf32>
  return
}

// -----

func.func @f(%dy: tensor<2xf32>, %x: tensor<2x3xf32>, %l: tensor<3xi64>) {
  // expected-error@+1 {{cross_entropy_grad C3: there is a label for each row of scores: scores is [2, 3], labels is [3]}}
  %y = moe.cross_entropy_grad %dy, %x, %l smoothing 0.0 ignore -100 : tensor<2xf32>, tensor<2x3xf32>, tensor<3xi64>
  return
}

// -----

func.func @f(%dy: tensor<2xf32>, %x: tensor<2x3xf32>, %l: tensor<2xi64>) {
  // expected-error@+1 {{cross_entropy_grad C4: smoothing lies in [0, 1): it is 1.000000e+00}}
  %y = moe.cross_entropy_grad %dy, %x, %l smoothing 1.0 ignore -100 : tensor<2xf32>, tensor<2x3xf32>, tensor<2xi64>
  return
}

// -----

func.func @f(%dy: tensor<2xf64>, %x: tensor<2x3xf32>, %l: tensor<2xi64>) {
  // expected-error@+1 {{cross_entropy_grad C5: dy has a number of scores' dtype for each row: scores is f32[2, 3], dy is f64[2]}}
  %y = moe.cross_entropy_grad %dy, %x, %l smoothing 0.0 ignore -100 : tensor<2xf64>, tensor<2x3xf32>, tensor<2xi64>
  return
}

// -----

func.func @f(%dy: tensor<3xf32>, %x: tensor<2x3xf32>, %l: tensor<2xi64>) {
  // expected-error@+1 {{cross_entropy_grad C5: dy has a number of scores' dtype for each row: scores is f32[2, 3], dy is f32[3]}}
  %y = moe.cross_entropy_grad %dy, %x, %l smoothing 0.0 ignore -100 : tensor<3xf32>, tensor<2x3xf32>, tensor<2xi64>
  return
}

// -----

func.func @f(%q: tensor<1x2x4xf32>, %k: tensor<1x2x4xf64>) {
  // expected-error@+1 {{attention_grad C1: attention C1: q and k share one dtype: q is f32, k is f64}}
  %a, %b, %c = moe.attention_grad %q, %q, %k, %k heads 2 scale 1.0 : tensor<1x2x4xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf64>, tensor<1x2x4xf64>
  return
}

// -----

func.func @f(%q: tensor<1x2x4xf32>) {
  // expected-error@+1 {{attention_grad C1: attention C6: heads divides the width, a constant: the width is 4, heads is 3}}
  %a, %b, %c = moe.attention_grad %q, %q, %q, %q heads 3 scale 1.0 : tensor<1x2x4xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>
  return
}

// -----

func.func @f(%q: tensor<1x2x4xf32>, %b: tensor<3x2x2xf32>) {
  // expected-error@+1 {{attention_grad C1: attention C10: bias is of q's dtype, (heads or 1, queries, keys): q is f32[1, 2, 4], k is [1, 2, 4], bias is f32[3, 2, 2]}}
  %y:4 = moe.attention_grad %q, %q, %q, %q bias %b : tensor<3x2x2xf32> heads 2 scale 1.0 : tensor<1x2x4xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>
  return
}

// -----

func.func @f(%dy: tensor<1x3x4xf32>, %q: tensor<1x2x4xf32>) {
  // expected-error@+1 {{attention_grad C2: dy has q's type: q is 'tensor<1x2x4xf32>', dy is 'tensor<1x3x4xf32>'}}
  %a, %b, %c = moe.attention_grad %dy, %q, %q, %q heads 2 scale 1.0 : tensor<1x3x4xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>
  return
}

// -----

func.func @f(%dy: tensor<2x3x3xi32>) {
  // expected-error@+1 {{relative_bias_grad C1: dy is f64, f32 or bf16: it is i32}}
  %y = moe.relative_bias_grad %dy buckets 4 max_distance 8 : tensor<2x3x3xi32>
  return
}

// -----

func.func @f(%dy: tensor<3x3xf32>) {
  // expected-error@+1 {{relative_bias_grad C1: dy has 3 dimensions, the first a constant: it is [3, 3]}}
  %y = moe.relative_bias_grad %dy buckets 4 max_distance 8 : tensor<3x3xf32>
  return
}

// -----

func.func @f(%dy: tensor<2x3x3xf32>) {
  // expected-error@+1 {{relative_bias_grad C2: there are at least 2 buckets, of each direction, and as many of one as of the other: there are 5}}
  %y = moe.relative_bias_grad %dy buckets 5 max_distance 8 bidirectional : tensor<2x3x3xf32>
  return
}

// -----

func.func @f(%dy: tensor<2x3x3xf32>) {
  // expected-error@+1 {{relative_bias_grad C3: max_distance is over half of a direction's buckets, 4, and at most 2147483647: it is 4}}
  %y = moe.relative_bias_grad %dy buckets 8 max_distance 4 : tensor<2x3x3xf32>
  return
}

// -----

func.func @f(%dy: tensor<2x3x3xf32>) {
  // expected-error@+1 {{relative_bias_grad C3: max_distance is over half of a direction's buckets, 4, and at most 2147483647: it is 2147483648}}
  %y = moe.relative_bias_grad %dy buckets 8 max_distance 2147483648 : tensor<2x3x3xf32>
  return
}

// -----

func.func @f(%i: tensor<2xf32>, %dy: tensor<2x3xf32>) {
  // expected-error@+1 {{embedding_grad C1: ids are i64 or i32: they are f32}}
  %y = moe.embedding_grad %i, %dy entries 4 : tensor<2xf32>, tensor<2x3xf32>
  return
}

// -----

func.func @f(%i: tensor<2xi64>, %dy: tensor<2x3xi32>) {
  // expected-error@+1 {{embedding_grad C2: dy is f64, f32 or bf16: it is i32}}
  %y = moe.embedding_grad %i, %dy entries 4 : tensor<2xi64>, tensor<2x3xi32>
  return
}

// -----

func.func @f(%i: tensor<2xi64>, %dy: tensor<3x3xf32>) {
  // expected-error@+1 {{embedding_grad C3: dy has a row for each id: ids is [2], dy is [3, 3]}}
  %y = moe.embedding_grad %i, %dy entries 4 : tensor<2xi64>, tensor<3x3xf32>
  return
}

// -----

func.func @f(%i: tensor<2xi64>, %dy: tensor<2xf32>) {
  // expected-error@+1 {{embedding_grad C3: dy has a row for each id: ids is [2], dy is [2]}}
  %y = moe.embedding_grad %i, %dy entries 4 : tensor<2xi64>, tensor<2xf32>
  return
}

// -----

func.func @f(%i: tensor<2xi64>, %dy: tensor<2x3xf32>) {
  // expected-error@+1 {{embedding_grad C4: entries is at least 1: it is 0}}
  %y = moe.embedding_grad %i, %dy entries 0 : tensor<2xi64>, tensor<2x3xf32>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xf32>, %k: tensor<2x3x8xf32>, %v: tensor<2x3x8xf32>, %ks: tensor<2x9x8xf64>, %vs: tensor<2x9x8xf64>, %p: tensor<i64>) {
  // expected-error@+1 {{cached_attention C1: q and keys share one dtype: q is f32, keys is f64}}
  %y = moe.cached_attention %q, %k, %v behind %ks, %vs at %p heads 2 scale 1.0 : tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x9x8xf64>, tensor<2x9x8xf64>, tensor<i64>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xi32>, %k: tensor<2x3x8xi32>, %v: tensor<2x3x8xi32>, %ks: tensor<2x9x8xi32>, %vs: tensor<2x9x8xi32>, %p: tensor<i64>) {
  // expected-error@+1 {{cached_attention C2: q is f64, f32 or bf16: it is i32}}
  %y = moe.cached_attention %q, %k, %v behind %ks, %vs at %p heads 2 scale 1.0 : tensor<2x3x8xi32>, tensor<2x3x8xi32>, tensor<2x3x8xi32>, tensor<2x9x8xi32>, tensor<2x9x8xi32>, tensor<i64>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xf32>, %k: tensor<2x3x8xf32>, %v: tensor<2x3x8xf32>, %ks: tensor<9x8xf32>, %vs: tensor<9x8xf32>, %p: tensor<i64>) {
  // expected-error@+1 {{cached_attention C3: q, k, v, keys and values have 3 dimensions: keys has 2}}
  %y = moe.cached_attention %q, %k, %v behind %ks, %vs at %p heads 2 scale 1.0 : tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<9x8xf32>, tensor<9x8xf32>, tensor<i64>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xf32>, %k: tensor<2x3x8xf32>, %v: tensor<2x3x8xf32>, %ks: tensor<2x9x8xf32>, %vs: tensor<2x7x8xf32>, %p: tensor<i64>) {
  // expected-error@+1 {{cached_attention C4: k and v have one shape, keys and values too: k is [2, 3, 8], v is [2, 3, 8], keys is [2, 9, 8], values is [2, 7, 8]}}
  %y = moe.cached_attention %q, %k, %v behind %ks, %vs at %p heads 2 scale 1.0 : tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x9x8xf32>, tensor<2x7x8xf32>, tensor<i64>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xf32>, %k: tensor<2x4x8xf32>, %v: tensor<2x4x8xf32>, %ks: tensor<2x9x8xf32>, %vs: tensor<2x9x8xf32>, %p: tensor<i64>) {
  // expected-error@+1 {{cached_attention C5: all agree in batch, k with q in tokens and with keys in width: q is [2, 3, 8], k is [2, 4, 8], keys is [2, 9, 8]}}
  %y = moe.cached_attention %q, %k, %v behind %ks, %vs at %p heads 2 scale 1.0 : tensor<2x3x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x9x8xf32>, tensor<2x9x8xf32>, tensor<i64>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xf32>, %k: tensor<2x3x8xf32>, %v: tensor<2x3x8xf32>, %ks: tensor<2x9x8xf32>, %vs: tensor<2x9x8xf32>, %p: tensor<i64>) {
  // expected-error@+1 {{cached_attention C6: heads divides the width, a constant: the width is 8, heads is 3}}
  %y = moe.cached_attention %q, %k, %v behind %ks, %vs at %p heads 3 scale 1.0 : tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x9x8xf32>, tensor<2x9x8xf32>, tensor<i64>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xf32>, %k: tensor<2x3x8xf32>, %v: tensor<2x3x8xf32>, %ks: tensor<2x9x8xf32>, %vs: tensor<2x9x8xf32>, %p: tensor<i64>) {
  // expected-error@+1 {{cached_attention C7: kv_heads divides heads, and k has as many heads of q's width: q is [2, 3, 8], k is [2, 3, 8], heads is 4, kv_heads is 2}}
  %y = moe.cached_attention %q, %k, %v behind %ks, %vs at %p heads 4 kv_heads 2 scale 1.0 : tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x9x8xf32>, tensor<2x9x8xf32>, tensor<i64>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xf32>, %k: tensor<2x3x8xf32>, %v: tensor<2x3x8xf32>, %ks: tensor<2x9x8xf32>, %vs: tensor<2x9x8xf32>, %p: tensor<i64>) {
  // expected-error@+1 {{cached_attention C8: scale is finite: it is INF}}
  %y = moe.cached_attention %q, %k, %v behind %ks, %vs at %p heads 2 scale 0x7FF0000000000000 : tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x9x8xf32>, tensor<2x9x8xf32>, tensor<i64>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xf32>, %k: tensor<2x3x8xf32>, %v: tensor<2x3x8xf32>, %ks: tensor<2x9x8xf32>, %vs: tensor<2x9x8xf32>, %p: tensor<i32>) {
  // expected-error@+1 {{cached_attention C9: position is an i64 []: it is i32[]}}
  %y = moe.cached_attention %q, %k, %v behind %ks, %vs at %p heads 2 scale 1.0 : tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x9x8xf32>, tensor<2x9x8xf32>, tensor<i32>
  return
}

// -----

func.func @f(%q: tensor<2x3x8xf32>, %k: tensor<2x3x8xf32>, %v: tensor<2x3x8xf32>, %ks: tensor<2x9x8xf32>, %vs: tensor<2x9x8xf32>, %p: tensor<i64>, %b: tensor<2x3x3xf32>) {
  // expected-error@+1 {{cached_attention C10: bias is of q's dtype, (heads or 1, tokens, context): q is f32[2, 3, 8], keys is [2, 9, 8], bias is f32[2, 3, 3]}}
  %y = moe.cached_attention %q, %k, %v behind %ks, %vs at %p bias %b : tensor<2x3x3xf32> heads 2 scale 1.0 : tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x9x8xf32>, tensor<2x9x8xf32>, tensor<i64>
  return
}

// -----

func.func @f(%c: tensor<2x9x8xf32>, %r: tensor<2x3x8xf64>, %p: tensor<i64>) {
  // expected-error@+1 {{append C1: cache and rows share one dtype and have 3 dimensions: cache is f32[2, 9, 8], rows is f64[2, 3, 8]}}
  %y = moe.append %c, %r at %p : tensor<2x9x8xf32>, tensor<2x3x8xf64>, tensor<i64>
  return
}

// -----

func.func @f(%c: tensor<2x9x8xf32>, %r: tensor<2x3x4xf32>, %p: tensor<i64>) {
  // expected-error@+1 {{append C2: cache and rows agree in batch and width: cache is [2, 9, 8], rows is [2, 3, 4]}}
  %y = moe.append %c, %r at %p : tensor<2x9x8xf32>, tensor<2x3x4xf32>, tensor<i64>
  return
}

// -----

func.func @f(%c: tensor<2x9x8xf32>, %r: tensor<2x3x8xf32>, %p: tensor<1xi64>) {
  // expected-error@+1 {{append C3: position is an i64 []: it is i64[1]}}
  %y = moe.append %c, %r at %p : tensor<2x9x8xf32>, tensor<2x3x8xf32>, tensor<1xi64>
  return
}

// -----

func.func @f(%c: tensor<2x9x8xf32>, %r: tensor<2x10x8xf32>, %p: tensor<i64>) {
  // expected-error@+1 {{append C4: the cache has room for the rows: cache is [2, 9, 8], rows is [2, 10, 8]}}
  %y = moe.append %c, %r at %p : tensor<2x9x8xf32>, tensor<2x10x8xf32>, tensor<i64>
  return
}

// -----

func.func @f(%t: tensor<8x2xf32>, %p: tensor<f32>) {
  // expected-error@+1 {{relative_bias C5: position is an i64 []: it is f32[]}}
  %y = moe.relative_bias %t at %p : tensor<f32> queries "3" keys "3" max_distance 16 : tensor<8x2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3x8xf32>, %p: tensor<2xi64>) {
  // expected-error@+1 {{rotary C4: position is an i64 []: it is i64[2]}}
  %y = moe.rotary %x at %p : tensor<2xi64> heads 2 base 100.0 : tensor<2x3x8xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xi32>, %l: tensor<2xi64>) {
  // expected-error@+1 {{is_top C1: scores is f64, f32 or bf16: it is i32}}
  %y = moe.is_top %x, %l ignore -100 : tensor<2x3xi32>, tensor<2xi64>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>, %l: tensor<2xf32>) {
  // expected-error@+1 {{is_top C2: labels are i64 or i32: they are f32}}
  %y = moe.is_top %x, %l ignore -100 : tensor<2x3xf32>, tensor<2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>, %l: tensor<3xi64>) {
  // expected-error@+1 {{is_top C3: there is a label for each row of scores: scores is [2, 3], labels is [3]}}
  %y = moe.is_top %x, %l ignore -100 : tensor<2x3xf32>, tensor<3xi64>
  return
}
