// Experts' values are weighted behind their product. Their sum takes the activation behind it, which reads each element once; a reduction that is read
// again for every expert stays a kernel of its own.
// RUN: moec-opt %s -moe-fuse-matmuls -moe-fuse-rows -moe-fuse-loops | FileCheck %s

!x = tensor<?x6xf32, #moe.sizes<"batch", "6">>
!c = tensor<3x?x1xf32, #moe.sizes<"3", "batch", "1">>
!e = tensor<3x?x8xf32, #moe.sizes<"3", "batch", "8">>
!y = tensor<?x8xf32, #moe.sizes<"batch", "8">>

// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "matmul"
// CHECK: moe.matmul
// CHECK-NEXT: moe.mul
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "loops"
// CHECK: moe.reduce sum
// CHECK-NEXT: moe.elu
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "loops"
// CHECK: moe.reduce mean
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "loops"
// CHECK: moe.sub
// CHECK-NEXT: moe.yield
// CHECK-NOT: moe.kernel
func.func @forward(%x: !x, %w: tensor<3x8x6xf32>, %c: !c, %other: !e) -> (!y, !e) {
  %p = moe.matmul %x, %w : !x, tensor<3x8x6xf32>
  %m = moe.mul %p, %c : !e, !c
  %s = moe.reduce sum %m axis 0 : !e
  %a = moe.elu %s alpha 1.0 : !y
  %mean = moe.reduce mean %other axis 0 : !e
  %away = moe.sub %other, %mean : !e, !y
  return %a, %away : !y, !e
}
