// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// read, parameter: the value of a weight

moe.parameter @layers.0.weight : tensor<2xf32> init #moe.init<"ones", 0.0 : f64, 0.0 : f64>
moe.parameter @layers.0.bias : tensor<2xf64> init #moe.init<"constant", 2.5 : f64, 0.0 : f64>

func.func @check_ones() -> (tensor<2xf32>, tensor<2xf32>) {
  %y = moe.read @layers.0.weight : tensor<2xf32>
  %expected = moe.constant dense<[1.0, 1.0]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}

func.func @check_constant() -> (tensor<2xf64>, tensor<2xf64>) {
  %y = moe.read @layers.0.bias : tensor<2xf64>
  %expected = moe.constant dense<[2.5, 2.5]> : tensor<2xf64>
  return %y, %expected : tensor<2xf64>, tensor<2xf64>
}
