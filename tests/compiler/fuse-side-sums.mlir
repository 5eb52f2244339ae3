// A product that gives a sum of its rows too takes along nothing that needs that sum: one kernel cannot stand before and behind the work between.
// RUN: moec-opt %s -moe-fuse-matmuls -moe-fuse-gradients -moe-fuse-rows -moe-fuse-loops | FileCheck %s

// CHECK-LABEL: func.func @forward
// CHECK: %[[BOTH:.*]]:2 = moe.kernel "matmul" {{.*}}needs what comes behind it
// CHECK: moe.reduce sum
// CHECK-NOT: moe.div
// CHECK: moe.yield
// CHECK: moe.reshape %[[BOTH]]#
// CHECK: moe.kernel "loops"
// CHECK: moe.div
// CHECK-NOT: moe.kernel
// CHECK: return
func.func @forward(%e: tensor<6x4xf32>, %x: tensor<8x6xf32>) -> tensor<4x8xf32> {
  %t = moe.transpose %e [1, 0] : tensor<6x4xf32>
  %p = moe.matmul %t, %x : tensor<4x6xf32>, tensor<8x6xf32>
  %s = moe.reduce sum %e axis 0 : tensor<6x4xf32>
  %c = moe.reshape %s : tensor<4xf32> -> tensor<4x1xf32>
  %y = moe.div %p, %c : tensor<4x8xf32>, tensor<4x1xf32>
  return %y : tensor<4x8xf32>
}
