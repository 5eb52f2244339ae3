// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// log_sum_exp: over the last dimension

// log 3; log(1 + 3) = log 4
func.func @check_logs() -> (tensor<2xf64>, tensor<2xf64>) {
  %x = moe.constant dense<[[0.0, 1.0986122886681098], [0.0, 0.0]]> : tensor<2x2xf64>
  %y = moe.log_sum_exp %x : tensor<2x2xf64>
  %expected = moe.constant dense<[1.3862943611198906, 0.6931471805599453]> : tensor<2xf64>
  return %y, %expected : tensor<2xf64>, tensor<2xf64>
}

func.func @check_large() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[[1000.0, 1000.0], [-1000.0, 0.0]]> : tensor<2x2xf32>
  %y = moe.log_sum_exp %x : tensor<2x2xf32>
  %expected = moe.constant dense<[1000.6931, 0.0]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}

func.func @check_special() -> (tensor<4xf32>, tensor<4xf32>) {
  %x = moe.constant dense<[[0xFF800000, 0.5], [0xFF800000, 0xFF800000], [0x7F800000, 0.0], [0x7F800000, 0x7FC00000]]> : tensor<4x2xf32>
  %y = moe.log_sum_exp %x : tensor<4x2xf32>
  %expected = moe.constant dense<[0.5, 0xFF800000, 0x7F800000, 0x7FC00000]> : tensor<4xf32>
  return %y, %expected : tensor<4xf32>, tensor<4xf32>
}

func.func @check_vector() -> (tensor<f64>, tensor<f64>) {
  %x = moe.constant dense<[0.0, 0.0, 0.0, 0.0]> : tensor<4xf64>
  %y = moe.log_sum_exp %x : tensor<4xf64>
  %expected = moe.constant dense<1.3862943611198906> : tensor<f64>
  return %y, %expected : tensor<f64>, tensor<f64>
}
