// Experts of two kinds: one kernel takes the routing apart, the first kind's last product adds the second's result.
// RUN: moec-opt %s -moe-sink-reshapes -moe-fuse-gates -moe-fuse-experts -moe-fuse-matmuls -moe-fuse-rows -moe-fuse-loops | FileCheck %s

!t = tensor<8x32xf32>
!k = tensor<8x2xf32>
!r = tensor<16x32xf32>
!routing = !moe.routing<4 experts, "8" tokens, 2 choices>
!first = !moe.routing<3 experts, "8" tokens, 2 choices>
!second = !moe.routing<1 experts, "8" tokens, 2 choices>

// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "gate"
// CHECK: moe.matmul
// CHECK: moe.select
// CHECK-NEXT: moe.softmax
// CHECK-NEXT: moe.assign
// CHECK: moe.kernel "gate"
// CHECK-SAME: reason "each kind of experts has a routing of its own"
// CHECK: moe.experts_of
// CHECK-NEXT: moe.experts_of
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "expert_down"
// CHECK: moe.combine
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "expert_down"
// CHECK: moe.combine
// CHECK-NEXT: moe.add
// CHECK-NEXT: moe.yield
// CHECK-NOT: moe.kernel
func.func @forward(%t: !t, %g: tensor<4x32xf32>, %a: tensor<3x32x32xf32>, %b: tensor<1x32x32xf32>) -> !t {
  %s = moe.matmul %t, %g : !t, tensor<4x32xf32>
  %v, %i = moe.select %s k 2 : tensor<8x4xf32>
  %w = moe.softmax %v : !k
  %route = moe.assign %i experts 4 token_major : tensor<8x2xi32>
  %r1 = moe.experts_of %route from 0 count 3 : !routing
  %d1 = moe.dispatch %t, %r1 : !t, !first
  %p1 = moe.grouped_matmul %d1, %a, %r1 : !r, tensor<3x32x32xf32>, !first
  %c1 = moe.combine %p1, %r1, %w : !r, !first, !k
  %r2 = moe.experts_of %route from 3 count 1 : !routing
  %d2 = moe.dispatch %t, %r2 : !t, !second
  %p2 = moe.grouped_matmul %d2, %b, %r2 : !r, tensor<1x32x32xf32>, !second
  %c2 = moe.combine %p2, %r2, %w : !r, !second, !k
  %y = moe.add %c1, %c2 : !t, !t
  return %y : !t
}
