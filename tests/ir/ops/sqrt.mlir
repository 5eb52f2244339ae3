// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// sqrt: exact squares, and NaN below zero

func.func @check_f64() -> (tensor<4xf64>, tensor<4xf64>) {
  %x = moe.constant dense<[4.0, 2.0, 0.0, 0x7FF0000000000000]> : tensor<4xf64>
  %y = moe.sqrt %x : tensor<4xf64>
  %expected = moe.constant dense<[2.0, 1.4142135623730951, 0.0, 0x7FF0000000000000]> : tensor<4xf64>
  return %y, %expected : tensor<4xf64>, tensor<4xf64>
}

func.func @check_f32() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[-1.0, 0.0625]> : tensor<2xf32>
  %y = moe.sqrt %x : tensor<2xf32>
  %expected = moe.constant dense<[0x7FC00000, 0.25]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}
