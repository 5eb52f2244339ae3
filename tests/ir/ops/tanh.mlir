// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// tanh: odd, one at infinity

func.func @check_f64() -> (tensor<5xf64>, tensor<5xf64>) {
  %x = moe.constant dense<[0.0, 0.5, -0.5, 0x7FF0000000000000, 0xFFF0000000000000]> : tensor<5xf64>
  %y = moe.tanh %x : tensor<5xf64>
  %expected = moe.constant dense<[0.0, 0.46211715726000974, -0.46211715726000974, 1.0, -1.0]> : tensor<5xf64>
  return %y, %expected : tensor<5xf64>, tensor<5xf64>
}

func.func @check_f32() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[1.0, 0x7FC00000]> : tensor<2xf32>
  %y = moe.tanh %x : tensor<2xf32>
  %expected = moe.constant dense<[0.7615941559557649, 0x7FC00000]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}
