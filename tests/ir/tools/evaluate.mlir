// RUN: not moec-evaluate %s | FileCheck %s
// The tool that the tests of meaning rest on can fail.

// CHECK: FAIL check_value: result 0: element 1: computed 2, expected 2.5
func.func @check_value() -> (tensor<2xf32>, tensor<2xf32>) {
  %a = moe.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %expected = moe.constant dense<[1.0, 2.5]> : tensor<2xf32>
  return %a, %expected : tensor<2xf32>, tensor<2xf32>
}

// CHECK: FAIL check_shape: result 0: computed f32[2], expected f32[1, 2]
func.func @check_shape() -> (tensor<2xf32>, tensor<1x2xf32>) {
  %a = moe.constant dense<1.0> : tensor<2xf32>
  %expected = moe.constant dense<1.0> : tensor<1x2xf32>
  return %a, %expected : tensor<2xf32>, tensor<1x2xf32>
}

// CHECK: FAIL check_nan: result 0: element 0: computed nan, expected 0
func.func @check_nan() -> (tensor<1xf32>, tensor<1xf32>) {
  %a = moe.constant dense<0x7FC00000> : tensor<1xf32>
  %expected = moe.constant dense<0.0> : tensor<1xf32>
  return %a, %expected : tensor<1xf32>, tensor<1xf32>
}

// Numbers that are one double.
// CHECK: FAIL check_integers: result 0: computed
func.func @check_integers() -> (tensor<1xi64>, tensor<1xi64>) {
  %a = moe.constant dense<9007199254740993> : tensor<1xi64>
  %expected = moe.constant dense<9007199254740992> : tensor<1xi64>
  return %a, %expected : tensor<1xi64>, tensor<1xi64>
}

// CHECK: FAIL check_error: no error, expected: too large
func.func @check_error() attributes {moe.fails = "too large"} {
  return
}

// CHECK: PASS check_equal
func.func @check_equal() -> (tensor<1xi1>, tensor<1xi1>) {
  %a = moe.constant dense<true> : tensor<1xi1>
  return %a, %a : tensor<1xi1>, tensor<1xi1>
}
