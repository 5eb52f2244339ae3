// RUN: moec-opt %s --split-input-file --verify-diagnostics

func.func @f(%s: tensor<4x2x3xf32>) {
  // expected-error@+1 {{select C1: scores is f64, f32 or bf16 of 2 dimensions: it is f32[4, 2, 3]}}
  %v, %i = moe.select %s k 1 : tensor<4x2x3xf32>
  return
}

// -----

func.func @f(%s: tensor<4x3xf32>) {
  // expected-error@+1 {{select C2: k lies in 1 .. E, the constant last dimension of scores: k is 4, E is 3}}
  %v, %i = moe.select %s k 4 : tensor<4x3xf32>
  return
}

// -----

func.func @f(%i: tensor<4x2xi64>) {
  // expected-error@+1 {{assign C1: indices is i32 of 2 dimensions, the last a constant: it is i64[4, 2]}}
  %r = moe.assign %i experts 3 token_major : tensor<4x2xi64>
  return
}

// -----

func.func @f(%i: tensor<4x2xi32>) {
  // expected-error@+1 {{assign C2: experts is at least 1: it is 0}}
  %r = moe.assign %i experts 0 token_major : tensor<4x2xi32>
  return
}

// -----

func.func @f(%i: tensor<4x2xi32>) {
  // expected-error@+1 {{assign C3: capacity is a canonical size text: it is "b*a"}}
  %r = moe.assign %i experts 3 token_major capacity "b*a" : tensor<4x2xi32>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %k: tensor<4x3xi1>) {
  // expected-error@+1 {{drop C1: keep is bool of tokens by choices: the routing has [4, 2], keep is bool[4, 3]}}
  %d = moe.drop %r, %k : !moe.routing<3 experts, "4" tokens, 2 choices>, tensor<4x3xi1>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %x: tensor<4xf32>) {
  // expected-error@+1 {{dispatch C1: x has 2 dimensions: it has 1}}
  %y = moe.dispatch %x, %r : tensor<4xf32>, !moe.routing<3 experts, "4" tokens, 2 choices>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %x: tensor<5x6xf32>) {
  // expected-error@+1 {{dispatch C2: x has one row per token: the routing has 4 tokens, x has 5 rows}}
  %y = moe.dispatch %x, %r : tensor<5x6xf32>, !moe.routing<3 experts, "4" tokens, 2 choices>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %x: tensor<8x6xf32>, %w: tensor<3x7x6xf64>) {
  // expected-error@+1 {{grouped_matmul C1: rows and w share one dtype: rows is f32, w is f64}}
  %y = moe.grouped_matmul %x, %w, %r : tensor<8x6xf32>, tensor<3x7x6xf64>, !moe.routing<3 experts, "4" tokens, 2 choices>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %x: tensor<8x6xi32>, %w: tensor<3x7x6xi32>) {
  // expected-error@+1 {{grouped_matmul C2: rows is f64, f32 or bf16: it is i32}}
  %y = moe.grouped_matmul %x, %w, %r : tensor<8x6xi32>, tensor<3x7x6xi32>, !moe.routing<3 experts, "4" tokens, 2 choices>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %x: tensor<8x6xf32>, %w: tensor<7x6xf32>) {
  // expected-error@+1 {{grouped_matmul C3: rows has 2 dimensions and w has 3: they have 2 and 2}}
  %y = moe.grouped_matmul %x, %w, %r : tensor<8x6xf32>, tensor<7x6xf32>, !moe.routing<3 experts, "4" tokens, 2 choices>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %x: tensor<4x6xf32>, %w: tensor<3x7x6xf32>) {
  // expected-error@+1 {{grouped_matmul C4: rows has as many rows as the routing: that has 8, rows has 4}}
  %y = moe.grouped_matmul %x, %w, %r : tensor<4x6xf32>, tensor<3x7x6xf32>, !moe.routing<3 experts, "4" tokens, 2 choices>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %x: tensor<8x6xf32>, %w: tensor<2x7x6xf32>) {
  // expected-error@+1 {{grouped_matmul C5: w has one entry per expert: the routing has 3 experts, w has 2}}
  %y = moe.grouped_matmul %x, %w, %r : tensor<8x6xf32>, tensor<2x7x6xf32>, !moe.routing<3 experts, "4" tokens, 2 choices>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %x: tensor<8x6xf32>, %w: tensor<3x7x5xf32>) {
  // expected-error@+1 {{grouped_matmul C6: the last dimensions of rows and w agree: rows has 6, w has 5}}
  %y = moe.grouped_matmul %x, %w, %r : tensor<8x6xf32>, tensor<3x7x5xf32>, !moe.routing<3 experts, "4" tokens, 2 choices>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %t: tensor<3xf32>) {
  // expected-error@+1 {{expert_rows C1: table has 2 dimensions: it has 1}}
  %y = moe.expert_rows %t, %r : tensor<3xf32>, !moe.routing<3 experts, "4" tokens, 2 choices>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %t: tensor<4x2xf32>) {
  // expected-error@+1 {{expert_rows C2: table has one entry per expert: the routing has 3 experts, table has 4}}
  %y = moe.expert_rows %t, %r : tensor<4x2xf32>, !moe.routing<3 experts, "4" tokens, 2 choices>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %x: tensor<8x6xf32>, %w: tensor<4x2xf64>) {
  // expected-error@+1 {{combine C1: rows and weights share one of f64, f32 and bf16, or rows are bf16 and weights f32: rows is f32, weights is f64}}
  %y = moe.combine %x, %r, %w : tensor<8x6xf32>, !moe.routing<3 experts, "4" tokens, 2 choices>, tensor<4x2xf64>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %x: tensor<8xf32>, %w: tensor<4x2xf32>) {
  // expected-error@+1 {{combine C2: rows has 2 dimensions: it has 1}}
  %y = moe.combine %x, %r, %w : tensor<8xf32>, !moe.routing<3 experts, "4" tokens, 2 choices>, tensor<4x2xf32>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %x: tensor<4x6xf32>, %w: tensor<4x2xf32>) {
  // expected-error@+1 {{combine C3: rows has as many rows as the routing: that has 8, rows has 4}}
  %y = moe.combine %x, %r, %w : tensor<4x6xf32>, !moe.routing<3 experts, "4" tokens, 2 choices>, tensor<4x2xf32>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %x: tensor<8x6xf32>, %w: tensor<4x1xf32>) {
  // expected-error@+1 {{combine C4: weights is tokens by choices: the routing has [4, 2], weights is [4, 1]}}
  %y = moe.combine %x, %r, %w : tensor<8x6xf32>, !moe.routing<3 experts, "4" tokens, 2 choices>, tensor<4x1xf32>
  return
}

// -----

func.func @f(%i: tensor<4x2xi32>, %k: tensor<4x3xi1>) {
  // expected-error@+1 {{assign C4: keep is bool of indices' shape: indices has [4, 2], keep is bool[4, 3]}}
  %r = moe.assign %i keep %k : tensor<4x3xi1> experts 3 token_major : tensor<4x2xi32>
  return
}

// -----

func.func @f(%i: tensor<4x2xi32>) {
  // expected-error@+1 {{assign C5: groups is a canonical size text: it is "b*a"}}
  %r = moe.assign %i experts 3 token_major groups "b*a" : tensor<4x2xi32>
  return
}

// -----

func.func @f(%i: tensor<8x2xi32>, %o: !moe.routing<3 experts, "4" tokens, 2 choices>) {
  // expected-error@+1 {{assign C6: indices has an entry for every row of within, whose experts divide experts: within has 8 rows and 3 experts, indices has 8, experts is 4}}
  %r = moe.assign %i within %o : !moe.routing<3 experts, "4" tokens, 2 choices> experts 4 token_major : tensor<8x2xi32>
  return
}

// -----

func.func @f(%i: tensor<4x2xi32>, %o: !moe.routing<3 experts, "4" tokens, 2 choices>) {
  // expected-error@+1 {{assign C6: indices has an entry for every row of within, whose experts divide experts: within has 8 rows and 3 experts, indices has 4, experts is 6}}
  %r = moe.assign %i within %o : !moe.routing<3 experts, "4" tokens, 2 choices> experts 6 token_major : tensor<4x2xi32>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>) {
  // expected-error@+1 {{experts_of C1: from .. from + count lies in 0 .. E: from is 2, count is 2, E is 3}}
  %e = moe.experts_of %r from 2 count 2 : !moe.routing<3 experts, "4" tokens, 2 choices>
  return
}

// -----

func.func @f(%r: !moe.routing<3 experts, "4" tokens, 2 choices>, %w: tensor<4x1xf32>) {
  // expected-error@+1 {{row_weights C1: weights is f64, f32 or bf16, tokens by choices: the routing has [4, 2], weights is f32[4, 1]}}
  %y = moe.row_weights %w, %r : tensor<4x1xf32>, !moe.routing<3 experts, "4" tokens, 2 choices>
  return
}

// -----

func.func @f(%dy: tensor<2x1x1xf32>, %i: tensor<2x1xi32>) {
  // expected-error@+1 {{select_grad C1: dy is f64, f32 or bf16 of 2 dimensions: it is f32[2, 1, 1]}}
  %y = moe.select_grad %dy, %i experts 3 : tensor<2x1x1xf32>, tensor<2x1xi32>
  return
}

// -----

func.func @f(%dy: tensor<2x2xf32>, %i: tensor<2x1xi32>) {
  // expected-error@+1 {{select_grad C2: indices is i32 of dy's shape: dy is [2, 2], indices is i32[2, 1]}}
  %y = moe.select_grad %dy, %i experts 3 : tensor<2x2xf32>, tensor<2x1xi32>
  return
}

// -----

func.func @f(%dy: tensor<2x1xf32>, %i: tensor<2x1xi64>) {
  // expected-error@+1 {{select_grad C2: indices is i32 of dy's shape: dy is [2, 1], indices is i64[2, 1]}}
  %y = moe.select_grad %dy, %i experts 3 : tensor<2x1xf32>, tensor<2x1xi64>
  return
}

// -----

func.func @f(%dy: tensor<2x1xf32>, %i: tensor<2x1xi32>) {
  // expected-error@+1 {{select_grad C3: experts is at least 1: it is 0}}
  %y = moe.select_grad %dy, %i experts 0 : tensor<2x1xf32>, tensor<2x1xi32>
  return
}

// -----

func.func @f(%c: tensor<3x2xf32>, %r: !moe.routing<2 experts, "3" tokens, 1 choices>) {
  // expected-error@+1 {{choice_values C1: column is f64, f32 or bf16, one number for each of the rows: the routing has 3 rows, column is f32[3, 2]}}
  %y = moe.choice_values %c, %r : tensor<3x2xf32>, !moe.routing<2 experts, "3" tokens, 1 choices>
  return
}

// -----

func.func @f(%c: tensor<3x1xi32>, %r: !moe.routing<2 experts, "3" tokens, 1 choices>) {
  // expected-error@+1 {{choice_values C1: column is f64, f32 or bf16, one number for each of the rows: the routing has 3 rows, column is i32[3, 1]}}
  %y = moe.choice_values %c, %r : tensor<3x1xi32>, !moe.routing<2 experts, "3" tokens, 1 choices>
  return
}

// -----

func.func @f(%x: tensor<3xf32>, %r: !moe.routing<2 experts, "3" tokens, 1 choices>) {
  // expected-error@+1 {{expert_sums C1: rows has 2 dimensions: it has 1}}
  %y = moe.expert_sums %x, %r : tensor<3xf32>, !moe.routing<2 experts, "3" tokens, 1 choices>
  return
}

// -----

func.func @f(%x: tensor<4x2xf32>, %r: !moe.routing<2 experts, "3" tokens, 1 choices>) {
  // expected-error@+1 {{expert_sums C2: rows has as many rows as the routing: that has 3, rows has 4}}
  %y = moe.expert_sums %x, %r : tensor<4x2xf32>, !moe.routing<2 experts, "3" tokens, 1 choices>
  return
}

// -----

func.func @f(%x: tensor<3x2xi32>, %r: !moe.routing<2 experts, "3" tokens, 1 choices>) {
  // expected-error@+1 {{expert_sums C3: rows is f64, f32 or bf16: it is i32}}
  %y = moe.expert_sums %x, %r : tensor<3x2xi32>, !moe.routing<2 experts, "3" tokens, 1 choices>
  return
}

// -----

func.func @f(%dy: tensor<3x2xf32>, %x: tensor<3x2xbf16>, %r: !moe.routing<2 experts, "3" tokens, 1 choices>) {
  // expected-error@+1 {{grouped_weight_grad C1: dy and rows share one dtype: dy is f32, rows is bf16}}
  %y = moe.grouped_weight_grad %dy, %x, %r : tensor<3x2xf32>, tensor<3x2xbf16>, !moe.routing<2 experts, "3" tokens, 1 choices>
  return
}

// -----

func.func @f(%x: tensor<3x2xi32>, %r: !moe.routing<2 experts, "3" tokens, 1 choices>) {
  // expected-error@+1 {{grouped_weight_grad C2: rows is f64, f32 or bf16: it is i32}}
  %y = moe.grouped_weight_grad %x, %x, %r : tensor<3x2xi32>, tensor<3x2xi32>, !moe.routing<2 experts, "3" tokens, 1 choices>
  return
}

// -----

func.func @f(%dy: tensor<3xf32>, %x: tensor<3x2xf32>, %r: !moe.routing<2 experts, "3" tokens, 1 choices>) {
  // expected-error@+1 {{grouped_weight_grad C3: dy has 2 dimensions: it has 1}}
  %y = moe.grouped_weight_grad %dy, %x, %r : tensor<3xf32>, tensor<3x2xf32>, !moe.routing<2 experts, "3" tokens, 1 choices>
  return
}

// -----

func.func @f(%x: tensor<4x2xf32>, %r: !moe.routing<2 experts, "3" tokens, 1 choices>) {
  // expected-error@+1 {{grouped_weight_grad C4: rows has as many rows as the routing: that has 3, rows has 4}}
  %y = moe.grouped_weight_grad %x, %x, %r : tensor<4x2xf32>, tensor<4x2xf32>, !moe.routing<2 experts, "3" tokens, 1 choices>
  return
}

// -----

func.func @f(%x: tensor<4xf32>, %i: tensor<4x2xi32>) {
  // expected-error@+1 {{take C1: x is f64, f32 or bf16 of 2 dimensions, the last a constant: it is f32[4]}}
  %y = moe.take %x, %i : tensor<4xf32>, tensor<4x2xi32>
  return
}

// -----

func.func @f(%x: tensor<4x3xf32>, %i: tensor<5x2xi32>) {
  // expected-error@+1 {{take C2: indices is i32 of x's rows by a constant: x is [4, 3], indices is i32[5, 2]}}
  %y = moe.take %x, %i : tensor<4x3xf32>, tensor<5x2xi32>
  return
}

// -----

func.func @f(%x: tensor<4x3xf32>, %i: tensor<4x2xi64>) {
  // expected-error@+1 {{take C2: indices is i32 of x's rows by a constant: x is [4, 3], indices is i64[4, 2]}}
  %y = moe.take %x, %i : tensor<4x3xf32>, tensor<4x2xi64>
  return
}

// -----

func.func @f(%i: tensor<4x2xi64>, %s: tensor<4x2xf32>) {
  // expected-error@+1 {{places C1: indices is i32 of 2 dimensions, the last a constant: it is i64[4, 2]}}
  %y = moe.places %i, %s experts 3 token_major : tensor<4x2xi64>, tensor<4x2xf32>
  return
}

// -----

func.func @f(%i: tensor<4x2xi32>, %s: tensor<4x1xf32>) {
  // expected-error@+1 {{places C2: scores is f64, f32 or bf16 of indices' shape: indices has [4, 2], scores is f32[4, 1]}}
  %y = moe.places %i, %s experts 3 token_major : tensor<4x2xi32>, tensor<4x1xf32>
  return
}

// -----

func.func @f(%i: tensor<4x2xi32>, %s: tensor<4x2xf32>, %k: tensor<4x1xi1>) {
  // expected-error@+1 {{places C3: keep is bool of indices' shape: indices has [4, 2], keep is bool[4, 1]}}
  %y = moe.places %i, %s keep %k : tensor<4x1xi1> experts 3 token_major : tensor<4x2xi32>, tensor<4x2xf32>
  return
}

// -----

func.func @f(%i: tensor<4x2xi32>, %s: tensor<4x2xf32>) {
  // expected-error@+1 {{places C4: experts is at least 1: it is 0}}
  %y = moe.places %i, %s experts 0 token_major : tensor<4x2xi32>, tensor<4x2xf32>
  return
}

// -----

func.func @f(%i: tensor<4x2xi32>, %s: tensor<4x2xf32>) {
  // expected-error@+1 {{places C5: groups is a canonical size text: it is "b*a"}}
  %y = moe.places %i, %s experts 3 token_major groups "b*a" : tensor<4x2xi32>, tensor<4x2xf32>
  return
}

// -----

func.func @f(%i: tensor<4xi32>) {
  // expected-error@+1 {{swipe C1: indices is i32 of 2 dimensions, the last a constant: it is i32[4]}}
  %y = moe.swipe %i experts 4 workers 2 : tensor<4xi32>
  return
}

// -----

func.func @f(%i: tensor<4x2xi32>) {
  // expected-error@+1 {{swipe C2: experts is a multiple of workers, both at least 1: they are 5 and 2}}
  %y = moe.swipe %i experts 5 workers 2 : tensor<4x2xi32>
  return
}

// -----

func.func @f(%i: tensor<5x2xi32>) {
  // expected-error@+1 {{swipe C3: workers divides the tokens: there are 5 and 2 workers}}
  %y = moe.swipe %i experts 4 workers 2 : tensor<5x2xi32>
  return
}

// -----

func.func @f(%i: tensor<4x2xi32>) {
  // expected-error@+1 {{assign C7: what is bounded has a capacity: there is none}}
  %r = moe.assign %i experts 3 token_major bounded : tensor<4x2xi32>
  return
}

// -----

func.func @f(%i: tensor<3x2xi32>, %s: tensor<3x2xf32>) {
  // expected-error@+1 {{places C6: groups is at least 1 and divides the tokens: there are 3 tokens and 2 groups}}
  %y = moe.places %i, %s experts 3 token_major groups "2" : tensor<3x2xi32>, tensor<3x2xf32>
  return
}

// -----

func.func @f(%i: tensor<?x2xi32, #moe.sizes<"t", "2">>, %s: tensor<?x2xf32, #moe.sizes<"t", "2">>) {
  // expected-error@+1 {{places C6: groups is at least 1 and divides the tokens: there are t tokens and 0 groups}}
  %y = moe.places %i, %s experts 3 token_major groups "0" : tensor<?x2xi32, #moe.sizes<"t", "2">>, tensor<?x2xf32, #moe.sizes<"t", "2">>
  return
}

// -----

func.func @f(%i: tensor<3x2xi32>) {
  // expected-error@+1 {{assign C8: groups is at least 1 and divides the tokens: there are 3 tokens and 2 groups}}
  %r = moe.assign %i experts 3 token_major groups "2" : tensor<3x2xi32>
  return
}

// -----

// The groups are of the outer tokens: 4 rows are 4 groups, and its 2 tokens are not.
func.func @f(%i: tensor<4x2xi32>, %o: !moe.routing<3 experts, "2" tokens, 2 choices>) {
  // expected-error@+1 {{assign C8: groups is at least 1 and divides the tokens: there are 2 tokens and 4 groups}}
  %r = moe.assign %i within %o : !moe.routing<3 experts, "2" tokens, 2 choices> experts 6 token_major groups "4" : tensor<4x2xi32>
  return
}
