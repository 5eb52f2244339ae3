// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// softplus: log(1 + exp(x)), x itself far right

func.func @check_f64() -> (tensor<5xf64>, tensor<5xf64>) {
  %x = moe.constant dense<[0.0, 1.0, -1.0, 1000.0, -1000.0]> : tensor<5xf64>
  %y = moe.softplus %x : tensor<5xf64>
  %expected = moe.constant dense<[0.6931471805599453, 1.3132616875182228, 0.31326168751822286, 1000.0, 0.0]> : tensor<5xf64>
  return %y, %expected : tensor<5xf64>, tensor<5xf64>
}

func.func @check_f32() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[0x7F800000, 0xFF800000]> : tensor<2xf32>
  %y = moe.softplus %x : tensor<2xf32>
  %expected = moe.constant dense<[0x7F800000, 0.0]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}
