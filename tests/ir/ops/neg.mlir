// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// neg: the sign flips, integers wrap

func.func @check_f32() -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %x = moe.constant dense<[[1.5, -2.0], [0.25, 0x7F800000]]> : tensor<2x2xf32>
  %y = moe.neg %x : tensor<2x2xf32>
  %expected = moe.constant dense<[[-1.5, 2.0], [-0.25, 0xFF800000]]> : tensor<2x2xf32>
  return %y, %expected : tensor<2x2xf32>, tensor<2x2xf32>
}

func.func @check_nan() -> (tensor<2xf64>, tensor<2xf64>) {
  %x = moe.constant dense<[0x7FF8000000000000, 3.0]> : tensor<2xf64>
  %y = moe.neg %x : tensor<2xf64>
  %expected = moe.constant dense<[0x7FF8000000000000, -3.0]> : tensor<2xf64>
  return %y, %expected : tensor<2xf64>, tensor<2xf64>
}

func.func @check_i32() -> (tensor<3xi32>, tensor<3xi32>) {
  %x = moe.constant dense<[1, -7, -2147483648]> : tensor<3xi32>
  %y = moe.neg %x : tensor<3xi32>
  %expected = moe.constant dense<[-1, 7, -2147483648]> : tensor<3xi32>
  return %y, %expected : tensor<3xi32>, tensor<3xi32>
}

func.func @check_bf16() -> (tensor<2xbf16>, tensor<2xbf16>) {
  %x = moe.constant dense<[1.5, -0.5]> : tensor<2xbf16>
  %y = moe.neg %x : tensor<2xbf16>
  %expected = moe.constant dense<[-1.5, 0.5]> : tensor<2xbf16>
  return %y, %expected : tensor<2xbf16>, tensor<2xbf16>
}
