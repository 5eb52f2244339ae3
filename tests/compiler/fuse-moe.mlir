// A MoE layer with a residual becomes three kernels: gate, dispatch with the first layer, last layer with combine and the residual.
// RUN: moec-opt %s -moe-sink-reshapes -moe-fuse-gates -moe-fuse-experts -moe-fuse-matmuls -moe-fuse-loops | FileCheck %s

!x = tensor<?x8x32xf32, #moe.sizes<"batch", "8", "32">>
!t = tensor<?x32xf32, #moe.sizes<"8*batch", "32">>
!e = tensor<?x4xf32, #moe.sizes<"8*batch", "4">>
!k = tensor<?x2xf32, #moe.sizes<"8*batch", "2">>
!i = tensor<?x2xi32, #moe.sizes<"8*batch", "2">>
!h = tensor<?x64xf32, #moe.sizes<"16*batch", "64">>
!r = tensor<?x32xf32, #moe.sizes<"16*batch", "32">>
!routing = !moe.routing<4 experts, "8*batch" tokens, 2 choices>

// CHECK-LABEL: func.func @forward
// CHECK: moe.reshape
// CHECK: %[[GATE:.*]]:2 = moe.kernel "gate"
// CHECK: moe.matmul
// CHECK: moe.select
// CHECK: moe.softmax
// CHECK: moe.assign
// CHECK: moe.yield
// CHECK: %[[UP:.*]] = moe.kernel "expert_up"
// CHECK-SAME: reason "followed by an expert_down kernel"
// CHECK: moe.dispatch
// CHECK: moe.grouped_matmul
// CHECK: moe.expert_rows
// CHECK: moe.gelu
// CHECK: moe.yield
// CHECK: moe.kernel "expert_down"
// CHECK-SAME: reason "followed by reshape"
// CHECK: moe.grouped_matmul
// CHECK: moe.combine
// CHECK-NEXT: moe.add
// CHECK-NEXT: moe.yield
// CHECK-NOT: moe.kernel
func.func @forward(%x: !x, %gw: tensor<4x32xf32>, %gb: tensor<4xf32>, %up: tensor<4x64x32xf32>, %ub: tensor<4x64xf32>, %down: tensor<4x32x64xf32>) -> !x {
  %t = moe.reshape %x : !x -> !t
  %p = moe.matmul %t, %gw : !t, tensor<4x32xf32>
  %s = moe.add %p, %gb : !e, tensor<4xf32>
  %v, %i = moe.select %s k 2 : !e
  %w = moe.softmax %v : !k
  %route = moe.assign %i experts 4 token_major : !i
  %d = moe.dispatch %t, %route : !t, !routing
  %u = moe.grouped_matmul %d, %up, %route : !r, tensor<4x64x32xf32>, !routing
  %b = moe.expert_rows %ub, %route : tensor<4x64xf32>, !routing
  %ab = moe.add %u, %b : !h, !h
  %act = moe.gelu %ab : !h
  %o = moe.grouped_matmul %act, %down, %route : !h, tensor<4x32x64xf32>, !routing
  %c = moe.combine %o, %route, %w : !r, !routing, !k
  %back = moe.reshape %c : !t -> !x
  %y = moe.add %back, %x : !x, !x
  return %y : !x
}
