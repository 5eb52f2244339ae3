// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// exp: powers of e, overflow and underflow

func.func @check_f64() -> (tensor<5xf64>, tensor<5xf64>) {
  %x = moe.constant dense<[0.0, 1.0, -1.0, 0xFFF0000000000000, 0x7FF8000000000000]> : tensor<5xf64>
  %y = moe.exp %x : tensor<5xf64>
  %expected = moe.constant dense<[1.0, 2.718281828459045, 0.36787944117144233, 0.0, 0x7FF8000000000000]> : tensor<5xf64>
  return %y, %expected : tensor<5xf64>, tensor<5xf64>
}

// e^89 is above the largest f32
func.func @check_f32() -> (tensor<4xf32>, tensor<4xf32>) {
  %x = moe.constant dense<[0.0, 1.0, 89.0, -200.0]> : tensor<4xf32>
  %y = moe.exp %x : tensor<4xf32>
  %expected = moe.constant dense<[1.0, 2.7182817459106445, 0x7F800000, 0.0]> : tensor<4xf32>
  return %y, %expected : tensor<4xf32>, tensor<4xf32>
}

// 2.71828 lies between 2.703125 and 2.71875
func.func @check_bf16() -> (tensor<1xbf16>, tensor<1xbf16>) {
  %x = moe.constant dense<[1.0]> : tensor<1xbf16>
  %y = moe.exp %x : tensor<1xbf16>
  %expected = moe.constant dense<[2.71875]> : tensor<1xbf16>
  return %y, %expected : tensor<1xbf16>, tensor<1xbf16>
}
