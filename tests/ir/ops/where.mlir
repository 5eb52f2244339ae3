// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// where: a or b

func.func @check_same_shape() -> (tensor<3xf32>, tensor<3xf32>) {
  %c = moe.constant dense<[true, false, true]> : tensor<3xi1>
  %a = moe.constant dense<[1.0, 2.0, 3.0]> : tensor<3xf32>
  %b = moe.constant dense<[10.0, 20.0, 30.0]> : tensor<3xf32>
  %y = moe.where %c, %a, %b : tensor<3xi1>, tensor<3xf32>, tensor<3xf32>
  %expected = moe.constant dense<[1.0, 20.0, 3.0]> : tensor<3xf32>
  return %y, %expected : tensor<3xf32>, tensor<3xf32>
}

func.func @check_broadcast() -> (tensor<2x3xi32>, tensor<2x3xi32>) {
  %c = moe.constant dense<[[true], [false]]> : tensor<2x1xi1>
  %a = moe.constant dense<[1, 2, 3]> : tensor<3xi32>
  %b = moe.constant dense<9> : tensor<i32>
  %y = moe.where %c, %a, %b : tensor<2x1xi1>, tensor<3xi32>, tensor<i32>
  %expected = moe.constant dense<[[1, 2, 3], [9, 9, 9]]> : tensor<2x3xi32>
  return %y, %expected : tensor<2x3xi32>, tensor<2x3xi32>
}

// the condition has the widest shape
func.func @check_wide_condition() -> (tensor<2x2xf64>, tensor<2x2xf64>) {
  %c = moe.constant dense<[[true, false], [false, true]]> : tensor<2x2xi1>
  %a = moe.constant dense<1.0> : tensor<f64>
  %b = moe.constant dense<[3.0, 4.0]> : tensor<2xf64>
  %y = moe.where %c, %a, %b : tensor<2x2xi1>, tensor<f64>, tensor<2xf64>
  %expected = moe.constant dense<[[1.0, 4.0], [3.0, 1.0]]> : tensor<2x2xf64>
  return %y, %expected : tensor<2x2xf64>, tensor<2x2xf64>
}

// what is not chosen is not looked at
func.func @check_nan() -> (tensor<2xf32>, tensor<2xf32>) {
  %c = moe.constant dense<[true, false]> : tensor<2xi1>
  %a = moe.constant dense<[1.0, 0x7FC00000]> : tensor<2xf32>
  %b = moe.constant dense<[0x7FC00000, 2.0]> : tensor<2xf32>
  %y = moe.where %c, %a, %b : tensor<2xi1>, tensor<2xf32>, tensor<2xf32>
  %expected = moe.constant dense<[1.0, 2.0]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}
