// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// min: NaN wins; conjunction of bool

func.func @check_f32() -> (tensor<4xf32>, tensor<4xf32>) {
  %a = moe.constant dense<[1.0, 5.0, 0x7FC00000, 2.0]> : tensor<4xf32>
  %b = moe.constant dense<[3.0, -5.0, 1.0, 0x7FC00000]> : tensor<4xf32>
  %y = moe.min %a, %b : tensor<4xf32>, tensor<4xf32>
  %expected = moe.constant dense<[1.0, -5.0, 0x7FC00000, 0x7FC00000]> : tensor<4xf32>
  return %y, %expected : tensor<4xf32>, tensor<4xf32>
}

func.func @check_i32() -> (tensor<2xi32>, tensor<2xi32>) {
  %a = moe.constant dense<[1, -9]> : tensor<2xi32>
  %b = moe.constant dense<[2, -10]> : tensor<2xi32>
  %y = moe.min %a, %b : tensor<2xi32>, tensor<2xi32>
  %expected = moe.constant dense<[1, -10]> : tensor<2xi32>
  return %y, %expected : tensor<2xi32>, tensor<2xi32>
}

func.func @check_bool() -> (tensor<4xi1>, tensor<4xi1>) {
  %a = moe.constant dense<[false, false, true, true]> : tensor<4xi1>
  %b = moe.constant dense<[false, true, false, true]> : tensor<4xi1>
  %y = moe.min %a, %b : tensor<4xi1>, tensor<4xi1>
  %expected = moe.constant dense<[false, false, false, true]> : tensor<4xi1>
  return %y, %expected : tensor<4xi1>, tensor<4xi1>
}
