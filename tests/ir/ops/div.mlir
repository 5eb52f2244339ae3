// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// div: correctly rounded, poles

func.func @check_f64() -> (tensor<4xf64>, tensor<4xf64>) {
  %a = moe.constant dense<[1.0, -1.0, 0.0, 7.0]> : tensor<4xf64>
  %b = moe.constant dense<[3.0, 0.0, 0.0, 2.0]> : tensor<4xf64>
  %y = moe.div %a, %b : tensor<4xf64>, tensor<4xf64>
  %expected = moe.constant dense<[0.3333333333333333, 0xFFF0000000000000, 0x7FF8000000000000, 3.5]> : tensor<4xf64>
  return %y, %expected : tensor<4xf64>, tensor<4xf64>
}

func.func @check_f32() -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %a = moe.constant dense<[[1.0], [2.0]]> : tensor<2x1xf32>
  %b = moe.constant dense<[3.0, 8.0]> : tensor<2xf32>
  %y = moe.div %a, %b : tensor<2x1xf32>, tensor<2xf32>
  %expected = moe.constant dense<[[0.3333333432674408, 0.125], [0.6666666865348816, 0.25]]> : tensor<2x2xf32>
  return %y, %expected : tensor<2x2xf32>, tensor<2x2xf32>
}
