// Experts with a norm and a residual: the norm gathers its rows and takes its expert's weights along; what the residual adds is gathered once; the last norm ends
// the products, so that combine is a kernel over rows.
// RUN: moec-opt %s -moe-sink-reshapes -moe-fuse-gates -moe-fuse-experts -moe-fuse-matmuls -moe-fuse-rows -moe-fuse-loops | FileCheck %s

!t = tensor<8x32xf32>
!k = tensor<8x2xf32>
!i = tensor<8x2xi32>
!r = tensor<16x32xf32>
!routing = !moe.routing<4 experts, "8" tokens, 2 choices>

// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "gate"
// CHECK: %[[ROWS:.*]] = moe.kernel "rows"
// CHECK: moe.dispatch
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "rows"
// CHECK-SAME: reason "followed by an expert_mid kernel"
// CHECK: moe.dispatch
// CHECK-NEXT: moe.layer_norm
// CHECK-NEXT: moe.expert_rows
// CHECK-NEXT: moe.mul
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "expert_mid"{{.*}}%[[ROWS]])
// CHECK: moe.grouped_matmul
// CHECK-NEXT: moe.add
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "rows"
// CHECK-SAME: reason "followed by combine"
// CHECK: moe.layer_norm
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "rows"
// CHECK-SAME: reason "its result is an output"
// CHECK: moe.combine
// CHECK-NEXT: moe.add
// CHECK-NEXT: moe.yield
// CHECK-NOT: moe.kernel
func.func @forward(%t: !t, %i: !i, %w: !k, %table: tensor<4x32xf32>, %m: tensor<4x32x32xf32>) -> !t {
  %route = moe.assign %i experts 4 token_major : !i
  %d = moe.dispatch %t, %route : !t, !routing
  %n = moe.layer_norm %d eps 1.0e-5 of !r
  %e = moe.expert_rows %table, %route : tensor<4x32xf32>, !routing
  %s = moe.mul %n, %e : !r, !r
  %p = moe.grouped_matmul %s, %m, %route : !r, tensor<4x32x32xf32>, !routing
  %a = moe.add %p, %d : !r, !r
  %l = moe.layer_norm %a eps 1.0e-5 of !r
  %c = moe.combine %l, %route, %w : !r, !routing, !k
  %y = moe.add %c, %t : !t, !t
  return %y : !t
}
