// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// gelu_tanh_grad: the derivative of gelu_tanh

func.func @check_some() -> (tensor<4xf64>, tensor<4xf64>) {
  %x = moe.constant dense<[0.0, 1.0, -1.0, -3.0]> : tensor<4xf64>
  %y = moe.gelu_tanh_grad %x : tensor<4xf64>
  %expected = moe.constant dense<[0.5, 1.0829640838457826, -0.08296408384578255, -0.011584166630969726]> : tensor<4xf64>
  return %y, %expected : tensor<4xf64>, tensor<4xf64>
}

func.func @check_special() -> (tensor<3xf32>, tensor<3xf32>) attributes {moe.tolerance = 0.0} {
  %x = moe.constant dense<[0xFF800000, 0x7F800000, 0x7FC00000]> : tensor<3xf32>
  %y = moe.gelu_tanh_grad %x : tensor<3xf32>
  %expected = moe.constant dense<[0.0, 1.0, 0x7FC00000]> : tensor<3xf32>
  return %y, %expected : tensor<3xf32>, tensor<3xf32>
}
