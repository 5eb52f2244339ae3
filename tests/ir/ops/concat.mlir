// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// concat: one behind the other

func.func @check_columns() -> (tensor<2x3xf32>, tensor<2x3xf32>) {
  %a = moe.constant dense<[[1.0], [2.0]]> : tensor<2x1xf32>
  %b = moe.constant dense<[[3.0, 4.0], [5.0, 6.0]]> : tensor<2x2xf32>
  %y = moe.concat %a, %b axis 1 : tensor<2x1xf32>, tensor<2x2xf32>
  %expected = moe.constant dense<[[1.0, 3.0, 4.0], [2.0, 5.0, 6.0]]> : tensor<2x3xf32>
  return %y, %expected : tensor<2x3xf32>, tensor<2x3xf32>
}

func.func @check_three() -> (tensor<4xi64>, tensor<4xi64>) {
  %a = moe.constant dense<[1]> : tensor<1xi64>
  %b = moe.constant dense<[2, 3]> : tensor<2xi64>
  %y = moe.concat %a, %b, %a axis 0 : tensor<1xi64>, tensor<2xi64>, tensor<1xi64>
  %expected = moe.constant dense<[1, 2, 3, 1]> : tensor<4xi64>
  return %y, %expected : tensor<4xi64>, tensor<4xi64>
}
