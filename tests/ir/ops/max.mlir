// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// max: NaN wins; disjunction of bool

func.func @check_f32() -> (tensor<4xf32>, tensor<4xf32>) {
  %a = moe.constant dense<[1.0, 5.0, 0x7FC00000, 0xFF800000]> : tensor<4xf32>
  %b = moe.constant dense<[3.0, -5.0, 1.0, 0x7FC00000]> : tensor<4xf32>
  %y = moe.max %a, %b : tensor<4xf32>, tensor<4xf32>
  %expected = moe.constant dense<[3.0, 5.0, 0x7FC00000, 0x7FC00000]> : tensor<4xf32>
  return %y, %expected : tensor<4xf32>, tensor<4xf32>
}

func.func @check_i64() -> (tensor<1xi64>, tensor<1xi64>) {
  %a = moe.constant dense<[9007199254740993]> : tensor<1xi64>
  %b = moe.constant dense<[9007199254740992]> : tensor<1xi64>
  %y = moe.max %a, %b : tensor<1xi64>, tensor<1xi64>
  %expected = moe.constant dense<[9007199254740993]> : tensor<1xi64>
  return %y, %expected : tensor<1xi64>, tensor<1xi64>
}

func.func @check_bool() -> (tensor<4xi1>, tensor<4xi1>) {
  %a = moe.constant dense<[false, false, true, true]> : tensor<4xi1>
  %b = moe.constant dense<[false, true, false, true]> : tensor<4xi1>
  %y = moe.max %a, %b : tensor<4xi1>, tensor<4xi1>
  %expected = moe.constant dense<[false, true, true, true]> : tensor<4xi1>
  return %y, %expected : tensor<4xi1>, tensor<4xi1>
}
