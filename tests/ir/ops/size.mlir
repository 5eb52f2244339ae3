// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// size: a size as a number

func.func @check_constant() -> (tensor<f32>, tensor<f32>) {
  %y = moe.size "12" to f32
  %expected = moe.constant dense<12.0> : tensor<f32>
  return %y, %expected : tensor<f32>, tensor<f32>
}

// 257 has one digit too many
func.func @check_rounded() -> (tensor<bf16>, tensor<bf16>) {
  %y = moe.size "257" to bf16
  %expected = moe.constant dense<256.0> : tensor<bf16>
  return %y, %expected : tensor<bf16>, tensor<bf16>
}

// 2^32 is more than i32 holds
func.func @check_i32() -> (tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) {
  %x = moe.size "12" to i32
  %expected0 = moe.constant dense<12> : tensor<i32>
  %y = moe.size "4294967296" to i32
  %expected1 = moe.constant dense<2147483647> : tensor<i32>
  return %x, %expected0, %y, %expected1 : tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>
}
