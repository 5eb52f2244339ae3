// RUN: moec-opt %s --split-input-file --verify-diagnostics

// A state may begin as a parameter's numbers, in another dtype.
moe.parameter @w : tensor<2x2xbf16> init #moe.init<"orthogonal", 1.0 : f64, 0.0 : f64>
moe.state @w.master : tensor<2x2xf32> init #moe.init<"orthogonal", 1.0 : f64, 0.0 : f64> from @w

// -----

moe.prepared @p : tensor<2xf32>
// expected-error@+1 {{state C4: what it begins from is a moe.parameter of the module: @p is none}}
moe.state @s : tensor<2xf32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64> from @p

// -----

moe.parameter @w : tensor<3xf32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
// expected-error@+1 {{state C5: it has the shape and the init of the parameter that it begins from: @w is [3]}}
moe.state @s : tensor<2xf32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64> from @w

// -----

moe.parameter @w : tensor<2xf32> init #moe.init<"ones", 0.0 : f64, 0.0 : f64>
// expected-error@+1 {{state C5: it has the shape and the init of the parameter that it begins from: @w is [2]}}
moe.state @s : tensor<2xf32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64> from @w
