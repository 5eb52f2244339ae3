// RUN: moec-opt %s | moec-opt | FileCheck %s
// CHECK: moe.add
func.func @check_a() -> (tensor<2xf32>, tensor<2xf32>) {
  %a = moe.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %b = moe.constant dense<2.5> : tensor<1xf32>
  %c = moe.add %a, %b : tensor<2xf32>, tensor<1xf32>
  %e = moe.constant dense<[3.5, 4.5]> : tensor<2xf32>
  return %c, %e : tensor<2xf32>, tensor<2xf32>
}
