// RUN: moec-opt %s --split-input-file --verify-diagnostics

func.func @f(%x: tensor<2xi32>) {
  // expected-error@+1 {{unary C1: moe.exp takes f64, f32 or bf16: x is i32}}
  %y = moe.exp %x : tensor<2xi32>
  return
}

// -----

func.func @f(%x: tensor<2xi1>) {
  // expected-error@+1 {{unary C1: moe.neg takes f64, f32, bf16, i64 or i32: x is bool}}
  %y = moe.neg %x : tensor<2xi1>
  return
}

// -----

func.func @f(%x: tensor<2xf32>) {
  // expected-error@+1 {{unary C2: alpha is finite: it is infinite}}
  %y = moe.elu %x alpha 0x7FF0000000000000 : tensor<2xf32>
  return
}

// -----

func.func @f(%x: tensor<2xf32>) {
  // expected-error@+1 {{unary C2: slope is finite: it is NaN}}
  %y = moe.leaky_relu %x slope 0x7FF8000000000000 : tensor<2xf32>
  return
}

// -----

func.func @f(%a: tensor<2xf32>, %b: tensor<2xf64>) {
  // expected-error@+1 {{binary C1: a and b share one dtype: a is f32, b is f64}}
  %y = moe.add %a, %b : tensor<2xf32>, tensor<2xf64>
  return
}

// -----

func.func @f(%a: tensor<2x3xf32>, %b: tensor<2xf32>) {
  // expected-error@+1 {{binary C2: the shapes of a and b broadcast: a is [2, 3], b is [2]}}
  %y = moe.mul %a, %b : tensor<2x3xf32>, tensor<2xf32>
  return
}

// -----

func.func @f(%a: tensor<?xf32, #moe.sizes<"n">>, %b: tensor<?xf32, #moe.sizes<"m">>) {
  // expected-error@+1 {{binary C2: the shapes of a and b broadcast: a is [n], b is [m]}}
  %y = moe.compare lt %a, %b : tensor<?xf32, #moe.sizes<"n">>, tensor<?xf32, #moe.sizes<"m">>
  return
}

// -----

func.func @f(%a: tensor<2xi32>) {
  // expected-error@+1 {{binary C3: moe.div takes f64, f32 or bf16: a and b are i32}}
  %y = moe.div %a, %a : tensor<2xi32>, tensor<2xi32>
  return
}

// -----

func.func @f(%a: tensor<2xi1>) {
  // expected-error@+1 {{binary C3: moe.mul takes f64, f32, bf16, i64 or i32: a and b are bool}}
  %y = moe.mul %a, %a : tensor<2xi1>, tensor<2xi1>
  return
}

// -----

func.func @f(%a: tensor<2xui8>) {
  // expected-error@+1 {{binary C3: moe.max takes f64, f32, bf16, i64, i32 or bool: a and b are u8}}
  %y = moe.max %a, %a : tensor<2xui8>, tensor<2xui8>
  return
}

// -----

func.func @f(%x: tensor<2xf32>) {
  // expected-error@+1 {{cast C1: the new dtype is f64, f32, bf16 or i32: it is 'i64'}}
  %y = moe.cast %x to i64 : tensor<2xf32>
  return
}

// -----

func.func @f() {
  // expected-error@+1 {{constant C1: the value is a ranked tensor}}
  %y = moe.constant dense<1.0> : vector<2xf32>
  return
}

// -----

func.func @f() {
  // expected-error@+1 {{constant C2: the value is dense<...>}}
  %y = moe.constant sparse<0, 1.0> : tensor<2xf32>
  return
}

// -----

// The verifier compares what the builders and parsers infer.
func.func @f(%x: tensor<2xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{inferred type(s) 'tensor<2xf32>' are incompatible with return type(s) of operation 'tensor<3xf32>'}}
  %y = "moe.neg"(%x) : (tensor<2xf32>) -> tensor<3xf32>
  return
}

// -----

func.func @f(%c: tensor<2xi1>, %a: tensor<2xf32>, %b: tensor<2xf64>) {
  // expected-error@+1 {{where C1: a and b share one dtype: a is f32, b is f64}}
  %y = moe.where %c, %a, %b : tensor<2xi1>, tensor<2xf32>, tensor<2xf64>
  return
}

// -----

func.func @f(%c: tensor<2xi32>, %a: tensor<2xf32>) {
  // expected-error@+1 {{where C2: the condition is bool: it is i32}}
  %y = moe.where %c, %a, %a : tensor<2xi32>, tensor<2xf32>, tensor<2xf32>
  return
}

// -----

func.func @f(%c: tensor<2xi1>, %a: tensor<3xf32>, %b: tensor<3xf32>) {
  // expected-error@+1 {{where C3: the shapes broadcast: the condition is [2], a is [3], b is [3]}}
  %y = moe.where %c, %a, %b : tensor<2xi1>, tensor<3xf32>, tensor<3xf32>
  return
}

// -----

func.func @f(%c: tensor<2xi1>, %a: tensor<2xf32>, %b: tensor<3xf32>) {
  // expected-error@+1 {{where C3: the shapes broadcast: the condition is [2], a is [2], b is [3]}}
  %y = moe.where %c, %a, %b : tensor<2xi1>, tensor<2xf32>, tensor<3xf32>
  return
}

// -----

func.func @f(%x: tensor<4xi64>) {
  // expected-error@+1 {{cast C2: what becomes i32 is f64, f32 or bf16: it is i64}}
  %y = moe.cast %x to i32 : tensor<4xi64>
  return
}
