// RUN: moec-opt %s --split-input-file --verify-diagnostics

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{reshape C1: the dtype stays: x is f32, the result is f64}}
  %y = moe.reshape %x : tensor<2x3xf32> -> tensor<6xf64>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{reshape C2: the element counts agree: x has 6, the result has 5}}
  %y = moe.reshape %x : tensor<2x3xf32> -> tensor<5xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{transpose C1: x has dimensions and permutation holds each of x's 2 dimensions once}}
  %y = moe.transpose %x [0, 0] : tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<f32>) {
  // expected-error@+1 {{transpose C1: x has dimensions and permutation holds each of x's 0 dimensions once}}
  %y = moe.transpose %x [] : tensor<f32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{slice C1: axis is a dimension of x: x has 2 dimensions, axis is 2}}
  %y = moe.slice %x axis 2 from "0" size "1" : tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{slice C2: start is a canonical size text: it is "1 + 0"}}
  %y = moe.slice %x axis 1 from "1 + 0" size "1" : tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{slice C2: size is a canonical size text: it is "1*"}}
  %y = moe.slice %x axis 1 from "0" size "1*" : tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{slice C3: start is at least 0 and size at least 1: they are -1 and 1}}
  %y = moe.slice %x axis 1 from "-1" size "1" : tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{slice C3: start is at least 0 and size at least 1: they are 0 and 0}}
  %y = moe.slice %x axis 1 from "0" size "0" : tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{slice C4: start + size is at most the axis' size: that is 3, start + size is 4}}
  %y = moe.slice %x axis 1 from "2" size "2" : tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<?xf32, #moe.sizes<"n">>) {
  // expected-error@+1 {{slice C4: start + size is at most the axis' size: that is n, start + size is n+1}}
  %y = moe.slice %x axis 0 from "1" size "n" : tensor<?xf32, #moe.sizes<"n">>
  return
}

// -----

func.func @f() {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{concat C1: at least one operand: there is none}}
  %y = "moe.concat"() {axis = 0 : i64} : () -> tensor<1xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{concat C2: axis is a dimension of x: x has 2 dimensions, axis is -1}}
  %y = moe.concat %x axis -1 : tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>, %z: tensor<3xf32>) {
  // expected-error@+1 {{concat C3: the operands share one dtype and rank: operand 0 is f32 of rank 2, operand 1 is f32 of rank 1}}
  %y = moe.concat %x, %z axis 0 : tensor<2x3xf32>, tensor<3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>, %z: tensor<2x4xf32>) {
  // expected-error@+1 {{concat C4: the sizes of the other dimensions agree: dimension 1 of operand 0 is 3, of operand 1 4}}
  %y = moe.concat %x, %z axis 0 : tensor<2x3xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{broadcast C1: the dtype stays: x is f32, the result is bf16}}
  %y = moe.broadcast %x : tensor<2x3xf32> -> tensor<2x3xbf16>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{broadcast C2: x broadcasts to the result's shape: x is [2, 3], the result is [2, 1]}}
  %y = moe.broadcast %x : tensor<2x3xf32> -> tensor<2x1xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{reduce C1: axis is a dimension of x: x has 2 dimensions, axis is 2}}
  %y = moe.reduce sum %x axis 2 : tensor<2x3xf32>
  return
}

// -----

func.func @f(%x: tensor<2xi1>) {
  // expected-error@+1 {{reduce C2: x is f64, f32 or bf16: it is bool}}
  %y = moe.reduce sum %x axis 0 : tensor<2xi1>
  return
}

// -----

func.func @f(%x: tensor<f32>, %p: tensor<i64>) {
  // expected-error@+1 {{slice_at C1: x has at least 1 dimension: it has none}}
  %y = moe.slice_at %x at %p size "1" : tensor<f32>, tensor<i64>
  return
}

// -----

func.func @f(%x: tensor<4x2xf32>, %p: tensor<i32>) {
  // expected-error@+1 {{slice_at C2: position is an i64 []: it is i32[]}}
  %y = moe.slice_at %x at %p size "1" : tensor<4x2xf32>, tensor<i32>
  return
}

// -----

func.func @f(%x: tensor<4x2xf32>, %p: tensor<i64>) {
  // expected-error@+1 {{slice_at C3: size is a canonical size text: it is "1*"}}
  %y = moe.slice_at %x at %p size "1*" : tensor<4x2xf32>, tensor<i64>
  return
}

// -----

func.func @f(%x: tensor<4x2xf32>, %p: tensor<i64>) {
  // expected-error@+1 {{slice_at C3: size is at least 1: it is 0}}
  %y = moe.slice_at %x at %p size "0" : tensor<4x2xf32>, tensor<i64>
  return
}

// -----

func.func @f(%x: tensor<4x2xf32>, %p: tensor<i64>) {
  // expected-error@+1 {{slice_at C4: size is at most x's rows: x has 4, size is 5}}
  %y = moe.slice_at %x at %p size "5" : tensor<4x2xf32>, tensor<i64>
  return
}

// -----

func.func @f() {
  // expected-error@+1 {{size C1: value is a canonical size text: it is "2*3"}}
  %y = moe.size "2*3" to f32
  return
}

// -----

func.func @f() {
  // expected-error@+1 {{size C2: to is f64, f32, bf16 or i32: it is 'i64'}}
  %y = moe.size "6" to i64
  return
}
