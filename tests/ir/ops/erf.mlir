// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// erf: odd, between -1 and 1

func.func @check_f64() -> (tensor<5xf64>, tensor<5xf64>) {
  %x = moe.constant dense<[0.0, 0.5, -1.0, 3.0, 0xFFF0000000000000]> : tensor<5xf64>
  %y = moe.erf %x : tensor<5xf64>
  %expected = moe.constant dense<[0.0, 0.5204998778130465, -0.8427007929497149, 0.9999779095030014, -1.0]> : tensor<5xf64>
  return %y, %expected : tensor<5xf64>, tensor<5xf64>
}

func.func @check_f32() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[1000.0, 0x7FC00000]> : tensor<2xf32>
  %y = moe.erf %x : tensor<2xf32>
  %expected = moe.constant dense<[1.0, 0x7FC00000]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}
