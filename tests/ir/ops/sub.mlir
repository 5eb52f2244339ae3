// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// sub: order matters

func.func @check_f32() -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %a = moe.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %b = moe.constant dense<[[1.0], [10.0]]> : tensor<2x1xf32>
  %y = moe.sub %a, %b : tensor<2x2xf32>, tensor<2x1xf32>
  %expected = moe.constant dense<[[0.0, 1.0], [-7.0, -6.0]]> : tensor<2x2xf32>
  return %y, %expected : tensor<2x2xf32>, tensor<2x2xf32>
}

func.func @check_i64() -> (tensor<1xi64>, tensor<1xi64>) {
  %a = moe.constant dense<[3]> : tensor<1xi64>
  %b = moe.constant dense<[5]> : tensor<1xi64>
  %y = moe.sub %a, %b : tensor<1xi64>, tensor<1xi64>
  %expected = moe.constant dense<[-2]> : tensor<1xi64>
  return %y, %expected : tensor<1xi64>, tensor<1xi64>
}

func.func @check_infinities() -> (tensor<2xf64>, tensor<2xf64>) {
  %a = moe.constant dense<[0x7FF0000000000000, 0x7FF8000000000000]> : tensor<2xf64>
  %b = moe.constant dense<[0x7FF0000000000000, 1.0]> : tensor<2xf64>
  %y = moe.sub %a, %b : tensor<2xf64>, tensor<2xf64>
  %expected = moe.constant dense<[0x7FF8000000000000, 0x7FF8000000000000]> : tensor<2xf64>
  return %y, %expected : tensor<2xf64>, tensor<2xf64>
}
