// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// gelu_grad: the derivative of gelu

// normal distribution at 1: 0.8413447460685429, density 0.24197072451914337
func.func @check_some() -> (tensor<3xf64>, tensor<3xf64>) {
  %x = moe.constant dense<[0.0, 1.0, -1.0]> : tensor<3xf64>
  %y = moe.gelu_grad %x : tensor<3xf64>
  %expected = moe.constant dense<[0.5, 1.0833154705876863, -0.0833154705876863]> : tensor<3xf64>
  return %y, %expected : tensor<3xf64>, tensor<3xf64>
}

func.func @check_special() -> (tensor<3xf32>, tensor<3xf32>) attributes {moe.tolerance = 0.0} {
  %x = moe.constant dense<[0xFF800000, 0x7F800000, 0x7FC00000]> : tensor<3xf32>
  %y = moe.gelu_grad %x : tensor<3xf32>
  %expected = moe.constant dense<[0.0, 1.0, 0x7FC00000]> : tensor<3xf32>
  return %y, %expected : tensor<3xf32>, tensor<3xf32>
}
