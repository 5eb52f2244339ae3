// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// compare: the six predicates, of a NaN too

func.func @check_eq() -> (tensor<4xi1>, tensor<4xi1>) {
  %a = moe.constant dense<[1.0, 2.0, 3.0, 0x7FC00000]> : tensor<4xf32>
  %b = moe.constant dense<[2.0]> : tensor<1xf32>
  %y = moe.compare eq %a, %b : tensor<4xf32>, tensor<1xf32>
  %expected = moe.constant dense<[false, true, false, false]> : tensor<4xi1>
  return %y, %expected : tensor<4xi1>, tensor<4xi1>
}

func.func @check_ne() -> (tensor<4xi1>, tensor<4xi1>) {
  %a = moe.constant dense<[1.0, 2.0, 3.0, 0x7FC00000]> : tensor<4xf32>
  %b = moe.constant dense<[2.0]> : tensor<1xf32>
  %y = moe.compare ne %a, %b : tensor<4xf32>, tensor<1xf32>
  %expected = moe.constant dense<[true, false, true, true]> : tensor<4xi1>
  return %y, %expected : tensor<4xi1>, tensor<4xi1>
}

func.func @check_lt() -> (tensor<4xi1>, tensor<4xi1>) {
  %a = moe.constant dense<[1.0, 2.0, 3.0, 0x7FC00000]> : tensor<4xf32>
  %b = moe.constant dense<[2.0]> : tensor<1xf32>
  %y = moe.compare lt %a, %b : tensor<4xf32>, tensor<1xf32>
  %expected = moe.constant dense<[true, false, false, false]> : tensor<4xi1>
  return %y, %expected : tensor<4xi1>, tensor<4xi1>
}

func.func @check_le() -> (tensor<4xi1>, tensor<4xi1>) {
  %a = moe.constant dense<[1.0, 2.0, 3.0, 0x7FC00000]> : tensor<4xf32>
  %b = moe.constant dense<[2.0]> : tensor<1xf32>
  %y = moe.compare le %a, %b : tensor<4xf32>, tensor<1xf32>
  %expected = moe.constant dense<[true, true, false, false]> : tensor<4xi1>
  return %y, %expected : tensor<4xi1>, tensor<4xi1>
}

func.func @check_gt() -> (tensor<4xi1>, tensor<4xi1>) {
  %a = moe.constant dense<[1.0, 2.0, 3.0, 0x7FC00000]> : tensor<4xf32>
  %b = moe.constant dense<[2.0]> : tensor<1xf32>
  %y = moe.compare gt %a, %b : tensor<4xf32>, tensor<1xf32>
  %expected = moe.constant dense<[false, false, true, false]> : tensor<4xi1>
  return %y, %expected : tensor<4xi1>, tensor<4xi1>
}

func.func @check_ge() -> (tensor<4xi1>, tensor<4xi1>) {
  %a = moe.constant dense<[1.0, 2.0, 3.0, 0x7FC00000]> : tensor<4xf32>
  %b = moe.constant dense<[2.0]> : tensor<1xf32>
  %y = moe.compare ge %a, %b : tensor<4xf32>, tensor<1xf32>
  %expected = moe.constant dense<[false, true, true, false]> : tensor<4xi1>
  return %y, %expected : tensor<4xi1>, tensor<4xi1>
}

func.func @check_integers() -> (tensor<2xi1>, tensor<2xi1>) {
  %a = moe.constant dense<[9007199254740993, -1]> : tensor<2xi64>
  %b = moe.constant dense<[9007199254740992, 0]> : tensor<2xi64>
  %y = moe.compare gt %a, %b : tensor<2xi64>, tensor<2xi64>
  %expected = moe.constant dense<[true, false]> : tensor<2xi1>
  return %y, %expected : tensor<2xi1>, tensor<2xi1>
}

func.func @check_unsigned() -> (tensor<1xi1>, tensor<1xi1>) {
  %a = moe.constant dense<[200]> : tensor<1xui8>
  %b = moe.constant dense<[100]> : tensor<1xui8>
  %y = moe.compare gt %a, %b : tensor<1xui8>, tensor<1xui8>
  %expected = moe.constant dense<[true]> : tensor<1xi1>
  return %y, %expected : tensor<1xi1>, tensor<1xi1>
}

func.func @check_zeros() -> (tensor<1xi1>, tensor<1xi1>) {
  %a = moe.constant dense<[-0.0]> : tensor<1xf64>
  %b = moe.constant dense<[0.0]> : tensor<1xf64>
  %y = moe.compare eq %a, %b : tensor<1xf64>, tensor<1xf64>
  %expected = moe.constant dense<[true]> : tensor<1xi1>
  return %y, %expected : tensor<1xi1>, tensor<1xi1>
}
