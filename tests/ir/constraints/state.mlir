// RUN: moec-opt %s --split-input-file --verify-diagnostics

// expected-error@+1 {{parameter C1: the sizes of a parameter are constants: they are [n]}}
moe.parameter @w : tensor<?xf32, #moe.sizes<"n">> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// -----

// expected-error@+1 {{parameter C2: a parameter is f64, f32 or bf16: it is i32}}
moe.parameter @w : tensor<2xi32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// -----

// expected-error@+1 {{parameter C3: an orthogonal parameter has at least 2 dimensions: it has 1}}
moe.parameter @w : tensor<2xf32> init #moe.init<"orthogonal", 1.0 : f64, 0.0 : f64>

// -----

// expected-error@+1 {{prepared C1: the sizes of prepared state are constants: they are [n, 2]}}
moe.prepared @p : tensor<?x2xf32, #moe.sizes<"n", "2">>

// -----

func.func @f() {
  // expected-error@+1 {{read C1: the state is a moe.parameter, moe.state or moe.prepared of the module: @w is none}}
  %y = moe.read @w : tensor<2xf32>
  return
}

// -----

moe.prepared @p : tensor<2xf32>
func.func @f() {
  // expected-error@+1 {{read C2: the result has the state's type: @p is 'tensor<2xf32>', the result is 'tensor<3xf32>'}}
  %y = moe.read @p : tensor<3xf32>
  return
}

// -----

func.func @prepare(%x: tensor<2xf32>) {
  // expected-error@+1 {{write C1: the state is a moe.parameter, moe.state or moe.prepared of the module: @w is none}}
  moe.write @w, %x : tensor<2xf32>
  return
}

// -----

moe.prepared @p : tensor<2xf32>
func.func @prepare(%x: tensor<3xf32>) {
  // expected-error@+1 {{write C2: the value has the state's type: @p is 'tensor<2xf32>', the value is 'tensor<3xf32>'}}
  moe.write @p, %x : tensor<3xf32>
  return
}

// -----

moe.prepared @p : tensor<2xf32>
func.func @f(%x: tensor<2xf32>) {
  // expected-error@+1 {{write C3: prepared state is written in @prepare, other state in other functions: @p is written in @f}}
  moe.write @p, %x : tensor<2xf32>
  return
}

// -----

moe.parameter @w : tensor<2xf32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
func.func @prepare(%x: tensor<2xf32>) {
  // expected-error@+1 {{write C3: prepared state is written in @prepare, other state in other functions: @w is written in @prepare}}
  moe.write @w, %x : tensor<2xf32>
  return
}

// -----

moe.state @m : tensor<2xf32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
func.func @step(%x: tensor<2xf32>) {
  // expected-error@+1 {{write C4: a function writes a state once: @m is written twice}}
  moe.write @m, %x : tensor<2xf32>
  moe.write @m, %x : tensor<2xf32>
  return
}

// -----

// expected-error@+1 {{state C1: the sizes of a state are constants: they are [n]}}
moe.state @m : tensor<?xf32, #moe.sizes<"n">> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// -----

// expected-error@+1 {{state C2: a state is f64, f32 or bf16: it is i32}}
moe.state @m : tensor<2xi32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// -----

// expected-error@+1 {{state C3: a state begins as zeros, ones, a constant or draws: not orthogonal}}
moe.state @m : tensor<2x2xf32> init #moe.init<"orthogonal", 1.0 : f64, 0.0 : f64>

// -----

// expected-error@+1 {{parameter C4: sign_rate is finite and over 0: it is 0}}
moe.parameter @w : tensor<2xf32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64> sign_rate 0.0
