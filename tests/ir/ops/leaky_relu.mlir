// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// leaky_relu: slope left of zero

func.func @check_f32() -> (tensor<4xf32>, tensor<4xf32>) {
  %x = moe.constant dense<[-2.0, 0.0, 3.0, 0xFF800000]> : tensor<4xf32>
  %y = moe.leaky_relu %x slope 0.25 : tensor<4xf32>
  %expected = moe.constant dense<[-0.5, 0.0, 3.0, 0xFF800000]> : tensor<4xf32>
  return %y, %expected : tensor<4xf32>, tensor<4xf32>
}

func.func @check_nan() -> (tensor<1xf64>, tensor<1xf64>) {
  %x = moe.constant dense<[0x7FF8000000000000]> : tensor<1xf64>
  %y = moe.leaky_relu %x slope 0.25 : tensor<1xf64>
  %expected = moe.constant dense<[0x7FF8000000000000]> : tensor<1xf64>
  return %y, %expected : tensor<1xf64>, tensor<1xf64>
}
