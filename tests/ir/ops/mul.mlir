// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// mul: products

func.func @check_f64() -> (tensor<3xf64>, tensor<3xf64>) {
  %a = moe.constant dense<[1.5, -2.0, 0.0]> : tensor<3xf64>
  %b = moe.constant dense<[2.0, 0.5, 7.0]> : tensor<3xf64>
  %y = moe.mul %a, %b : tensor<3xf64>, tensor<3xf64>
  %expected = moe.constant dense<[3.0, -1.0, 0.0]> : tensor<3xf64>
  return %y, %expected : tensor<3xf64>, tensor<3xf64>
}

func.func @check_f32() -> (tensor<2xf32>, tensor<2xf32>) {
  %a = moe.constant dense<[0.0, 3.0e+38]> : tensor<2xf32>
  %b = moe.constant dense<[0x7F800000, 10.0]> : tensor<2xf32>
  %y = moe.mul %a, %b : tensor<2xf32>, tensor<2xf32>
  %expected = moe.constant dense<[0x7FC00000, 0x7F800000]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}

func.func @check_i32() -> (tensor<2xi32>, tensor<2xi32>) {
  %a = moe.constant dense<[65536, -3]> : tensor<2xi32>
  %b = moe.constant dense<[65536, 7]> : tensor<2xi32>
  %y = moe.mul %a, %b : tensor<2xi32>, tensor<2xi32>
  %expected = moe.constant dense<[0, -21]> : tensor<2xi32>
  return %y, %expected : tensor<2xi32>, tensor<2xi32>
}
