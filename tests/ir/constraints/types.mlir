// RUN: moec-opt %s --split-input-file --verify-diagnostics

// expected-error@+1 {{sizes C1: the size "1 + n" is not in canonical form, which is "n+1"}}
func.func private @f(tensor<?xf32, #moe.sizes<"1 + n">>)

// -----

// expected-error@+1 {{sizes C1: "n+" is not a size}}
func.func private @f(tensor<?xf32, #moe.sizes<"n+">>)

// -----

// expected-error@+1 {{sizes C2: one text per dimension: the tensor has 2 dimensions, #moe.sizes has 1}}
func.func private @f(tensor<?x3xf32, #moe.sizes<"n">>)

// -----

// expected-error@+1 {{sizes C3: a dimension is dynamic exactly when its size is not a constant: dimension 1 is 3, its text is "4"}}
func.func private @f(tensor<?x3xf32, #moe.sizes<"n", "4">>)

// -----

// expected-error@+1 {{sizes C3: a dimension is dynamic exactly when its size is not a constant: dimension 0 is 2, its text is "n"}}
func.func private @f(tensor<2xf32, #moe.sizes<"n">>)

// -----

// expected-error@+1 {{sizes C3: a dimension is dynamic exactly when its size is not a constant: dimension 0 is dynamic, its text is "2"}}
func.func private @f(tensor<?xf32, #moe.sizes<"2">>)

// -----

// expected-error@+1 {{sizes C4: a tensor of constant sizes carries no #moe.sizes}}
func.func private @f(tensor<2xf32, #moe.sizes<"2">>)

// -----

func.func @f(%x: tensor<?xf32>) {
  // expected-error@+1 {{tensor C1: an operand is a ranked tensor}}
  %y = moe.neg %x : tensor<?xf32>
  return
}

// -----

func.func @f(%x: tensor<2xf16>) {
  // expected-error@+1 {{tensor C1: an operand is a ranked tensor}}
  %y = moe.neg %x : tensor<2xf16>
  return
}

// -----

func.func @f(%x: tensor<?xf32>) {
  // expected-error@+1 {{(tensor C1)}}
  %y = moe.reshape %x : tensor<?xf32> -> tensor<1xf32>
  return
}

// -----

// expected-error@+1 {{routing C1: experts and choices are at least 1: they are 0 and 2}}
func.func private @f(!moe.routing<0 experts, "4" tokens, 2 choices>)

// -----

// expected-error@+1 {{routing C2: "4 tokens" is not a size}}
func.func private @f(!moe.routing<3 experts, "4 tokens" tokens, 2 choices>)

// -----

func.func @f(%x: tensor<4x2xf32>) {
  // expected-error@+1 {{operand #1 must be a !moe.routing (routing C3), but got 'tensor<4x2xf32>'}}
  %y = "moe.dispatch"(%x, %x) : (tensor<4x2xf32>, tensor<4x2xf32>) -> tensor<8x2xf32>
  return
}

// -----

// expected-error@+1 {{init C1: unknown kind "xavier"}}
moe.parameter @w : tensor<2xf32> init #moe.init<"xavier", 0.0 : f64, 0.0 : f64>

// -----

// expected-error@+1 {{init C2: the numbers are f64: they are 'f32' and 'f64'}}
moe.parameter @w : tensor<2xf32> init #moe.init<"zeros", 0.0 : f32, 0.0 : f64>

// -----

// expected-error@+1 {{routing C4: "4 rows" is not a size}}
func.func private @f(!moe.routing<3 experts, "4" tokens, 2 choices, "4 rows" rows>)
