// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// detach: the same numbers

func.func @check_f32() -> (tensor<3xf32>, tensor<3xf32>) {
  %x = moe.constant dense<[1.5, -0.0, 0x7FC00000]> : tensor<3xf32>
  %y = moe.detach %x : tensor<3xf32>
  return %y, %x : tensor<3xf32>, tensor<3xf32>
}
