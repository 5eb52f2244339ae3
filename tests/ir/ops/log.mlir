// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// log: its poles

func.func @check_f64() -> (tensor<5xf64>, tensor<5xf64>) {
  %x = moe.constant dense<[1.0, 2.718281828459045, 0.5, 0.0, 0x7FF0000000000000]> : tensor<5xf64>
  %y = moe.log %x : tensor<5xf64>
  %expected = moe.constant dense<[0.0, 1.0, -0.6931471805599453, 0xFFF0000000000000, 0x7FF0000000000000]> : tensor<5xf64>
  return %y, %expected : tensor<5xf64>, tensor<5xf64>
}

func.func @check_f32() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[-1.0, 8.0]> : tensor<2xf32>
  %y = moe.log %x : tensor<2xf32>
  %expected = moe.constant dense<[0x7FC00000, 2.0794415416798357]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}
