// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// random: Philox 4x32-10 keyed by seed, step, path and element; numbers of another implementation, checked with Random123's known answers

func.func @check_uniform_f32() -> (tensor<2x2xf32>, tensor<2x2xf32>) attributes {moe.seed = 7 : i64, moe.step = 3 : i32, moe.tolerance = 0.0} {
  %y = moe.random uniform "layers.0.gate.noise" : tensor<2x2xf32>
  %expected = moe.constant dense<[[0.3785451054573059, 0.9905272722244263], [0.7450289726257324, 0.563097357749939]]> : tensor<2x2xf32>
  return %y, %expected : tensor<2x2xf32>, tensor<2x2xf32>
}

func.func @check_uniform_f64() -> (tensor<3xf64>, tensor<3xf64>) attributes {moe.seed = 7 : i64, moe.step = 3 : i32, moe.tolerance = 0.0} {
  %y = moe.random uniform "a" : tensor<3xf64>
  %expected = moe.constant dense<[0.9590889049543617, 0.9908212364268094, 0.16113967591886225]> : tensor<3xf64>
  return %y, %expected : tensor<3xf64>, tensor<3xf64>
}

// another library of functions: the last digits differ
func.func @check_normal_f64() -> (tensor<4xf64>, tensor<4xf64>) attributes {moe.seed = 7 : i64, moe.step = 3 : i32} {
  %y = moe.random normal "a" : tensor<4xf64>
  %expected = moe.constant dense<[1.9433351310979576, 3.0461117086253626, 0.42816641113073906, 0.49898295015033084]> : tensor<4xf64>
  return %y, %expected : tensor<4xf64>, tensor<4xf64>
}

func.func @check_normal_f32() -> (tensor<2xf32>, tensor<2xf32>) {
  %y = moe.random normal "b" : tensor<2xf32>
  %expected = moe.constant dense<[1.335487760591919, 0.5634497279725139]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}
