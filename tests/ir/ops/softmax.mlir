// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// softmax: over the last dimension

// log 3
func.func @check_logs() -> (tensor<1x2xf64>, tensor<1x2xf64>) {
  %x = moe.constant dense<[[0.0, 1.0986122886681098]]> : tensor<1x2xf64>
  %y = moe.softmax %x : tensor<1x2xf64>
  %expected = moe.constant dense<[[0.25, 0.75]]> : tensor<1x2xf64>
  return %y, %expected : tensor<1x2xf64>, tensor<1x2xf64>
}

func.func @check_large() -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %x = moe.constant dense<[[1000.0, 1000.0], [-1000.0, 0.0]]> : tensor<2x2xf32>
  %y = moe.softmax %x : tensor<2x2xf32>
  %expected = moe.constant dense<[[0.5, 0.5], [0.0, 1.0]]> : tensor<2x2xf32>
  return %y, %expected : tensor<2x2xf32>, tensor<2x2xf32>
}

func.func @check_special() -> (tensor<4x2xf32>, tensor<4x2xf32>) {
  %x = moe.constant dense<[[0xFF800000, 0.0], [0xFF800000, 0xFF800000], [0x7F800000, 0.0], [0x7FC00000, 0.0]]> : tensor<4x2xf32>
  %y = moe.softmax %x : tensor<4x2xf32>
  %expected = moe.constant dense<[[0.0, 1.0], [0x7FC00000, 0x7FC00000], [0x7FC00000, 0x7FC00000], [0x7FC00000, 0x7FC00000]]> : tensor<4x2xf32>
  return %y, %expected : tensor<4x2xf32>, tensor<4x2xf32>
}
