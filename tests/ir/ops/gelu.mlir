// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// gelu: with erf; Phi(1) = 0.8413447460685429

func.func @check_f64() -> (tensor<5xf64>, tensor<5xf64>) {
  %x = moe.constant dense<[0.0, 1.0, -1.0, 2.0, 0xFFF0000000000000]> : tensor<5xf64>
  %y = moe.gelu %x : tensor<5xf64>
  %expected = moe.constant dense<[0.0, 0.8413447460685429, -0.15865525393145707, 1.9544997361036416, 0.0]> : tensor<5xf64>
  return %y, %expected : tensor<5xf64>, tensor<5xf64>
}

// -10 Phi(-10): 1 + erf would have cancelled to 0
func.func @check_tail() -> (tensor<1xf64>, tensor<1xf64>) {
  %x = moe.constant dense<[-10.0]> : tensor<1xf64>
  %y = moe.gelu %x : tensor<1xf64>
  %expected = moe.constant dense<[-7.619853024160526e-23]> : tensor<1xf64>
  return %y, %expected : tensor<1xf64>, tensor<1xf64>
}

func.func @check_f32() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[3.0, 0x7FC00000]> : tensor<2xf32>
  %y = moe.gelu %x : tensor<2xf32>
  %expected = moe.constant dense<[2.9959503059, 0x7FC00000]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}
