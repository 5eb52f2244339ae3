// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// silu: x sigmoid(x)

func.func @check_f64() -> (tensor<4xf64>, tensor<4xf64>) {
  %x = moe.constant dense<[0.0, 1.0, -1.0, 0xFFF0000000000000]> : tensor<4xf64>
  %y = moe.silu %x : tensor<4xf64>
  %expected = moe.constant dense<[0.0, 0.7310585786300049, -0.2689414213699951, 0.0]> : tensor<4xf64>
  return %y, %expected : tensor<4xf64>, tensor<4xf64>
}

func.func @check_f32() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[-100.0, 100.0]> : tensor<2xf32>
  %y = moe.silu %x : tensor<2xf32>
  %expected = moe.constant dense<[-3.7200759760208363e-42, 100.0]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}
