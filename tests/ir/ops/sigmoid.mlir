// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// sigmoid: symmetric about (0, 1/2), no overflow

func.func @check_f64() -> (tensor<5xf64>, tensor<5xf64>) {
  %x = moe.constant dense<[0.0, 1.0, -1.0, 0xFFF0000000000000, 0x7FF0000000000000]> : tensor<5xf64>
  %y = moe.sigmoid %x : tensor<5xf64>
  %expected = moe.constant dense<[0.5, 0.7310585786300049, 0.2689414213699951, 0.0, 1.0]> : tensor<5xf64>
  return %y, %expected : tensor<5xf64>, tensor<5xf64>
}

func.func @check_f32() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[-1000.0, 1000.0]> : tensor<2xf32>
  %y = moe.sigmoid %x : tensor<2xf32>
  %expected = moe.constant dense<[0.0, 1.0]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}
