// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// relu: zero left of zero, NaN stays

func.func @check_f32() -> (tensor<4xf32>, tensor<4xf32>) {
  %x = moe.constant dense<[-1.5, 0.0, 2.5, 0x7FC00000]> : tensor<4xf32>
  %y = moe.relu %x : tensor<4xf32>
  %expected = moe.constant dense<[0.0, 0.0, 2.5, 0x7FC00000]> : tensor<4xf32>
  return %y, %expected : tensor<4xf32>, tensor<4xf32>
}

func.func @check_inf() -> (tensor<2xf64>, tensor<2xf64>) {
  %x = moe.constant dense<[0xFFF0000000000000, 0x7FF0000000000000]> : tensor<2xf64>
  %y = moe.relu %x : tensor<2xf64>
  %expected = moe.constant dense<[0.0, 0x7FF0000000000000]> : tensor<2xf64>
  return %y, %expected : tensor<2xf64>, tensor<2xf64>
}
