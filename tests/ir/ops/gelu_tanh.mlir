// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// gelu_tanh: differs from gelu in the fourth digit

func.func @check_f64() -> (tensor<5xf64>, tensor<5xf64>) {
  %x = moe.constant dense<[0.0, 1.0, -1.0, 0xFFF0000000000000, 0x7FF0000000000000]> : tensor<5xf64>
  %y = moe.gelu_tanh %x : tensor<5xf64>
  %expected = moe.constant dense<[0.0, 0.8411919906082768, -0.15880800939172324, 0.0, 0x7FF0000000000000]> : tensor<5xf64>
  return %y, %expected : tensor<5xf64>, tensor<5xf64>
}

func.func @check_f32() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[2.0, -3.0]> : tensor<2xf32>
  %y = moe.gelu_tanh %x : tensor<2xf32>
  %expected = moe.constant dense<[1.954597694087775, -0.0036373920817729943]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}
