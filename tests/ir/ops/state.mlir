// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// state: what steps carry on; a read gives what was there before the function, a write takes effect behind it

moe.parameter @weight : tensor<2xf32> init #moe.init<"ones", 0.0 : f64, 0.0 : f64>
moe.state @weight.momentum : tensor<2xf32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.state @count : tensor<f64> init #moe.init<"constant", 2.5 : f64, 0.0 : f64>

// momentum <- momentum + 1, weight <- weight + the momentum that was
func.func @step() {
  %m = moe.read @weight.momentum : tensor<2xf32>
  %one = moe.constant dense<1.0> : tensor<f32>
  %more = moe.add %m, %one : tensor<2xf32>, tensor<f32>
  moe.write @weight.momentum, %more : tensor<2xf32>
  %w = moe.read @weight : tensor<2xf32>
  %same = moe.read @weight.momentum : tensor<2xf32>
  %moved = moe.add %w, %same : tensor<2xf32>, tensor<2xf32>
  moe.write @weight, %moved : tensor<2xf32>
  return
}

func.func @check_init() -> (tensor<2xf32>, tensor<2xf32>, tensor<f64>, tensor<f64>) {
  %m = moe.read @weight.momentum : tensor<2xf32>
  %zeros = moe.constant dense<0.0> : tensor<2xf32>
  %c = moe.read @count : tensor<f64>
  %number = moe.constant dense<2.5> : tensor<f64>
  return %m, %zeros, %c, %number : tensor<2xf32>, tensor<2xf32>, tensor<f64>, tensor<f64>
}

func.func @check_a_read_sees_what_was_before() -> (tensor<f64>, tensor<f64>, tensor<f64>, tensor<f64>) {
  %before = moe.read @count : tensor<f64>
  %new = moe.constant dense<7.0> : tensor<f64>
  moe.write @count, %new : tensor<f64>
  %after = moe.read @count : tensor<f64>
  %expected = moe.constant dense<2.5> : tensor<f64>
  return %before, %expected, %after, %expected : tensor<f64>, tensor<f64>, tensor<f64>, tensor<f64>
}

func.func @check_one_step() -> (tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) attributes {moe.after = ["step"]} {
  %m = moe.read @weight.momentum : tensor<2xf32>
  %w = moe.read @weight : tensor<2xf32>
  %one = moe.constant dense<1.0> : tensor<2xf32>
  return %m, %one, %w, %one : tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>
}

// weight: 1 + 0 + 1 + 2
func.func @check_three_steps() -> (tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) attributes {moe.after = ["step", "step", "step"]} {
  %m = moe.read @weight.momentum : tensor<2xf32>
  %three = moe.constant dense<3.0> : tensor<2xf32>
  %w = moe.read @weight : tensor<2xf32>
  %four = moe.constant dense<4.0> : tensor<2xf32>
  return %m, %three, %w, %four : tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>
}
