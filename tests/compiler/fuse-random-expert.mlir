// The draws of a choice are made where it is made; one choice for all tokens is no part of the gate's work on each.
// RUN: moec-opt %s -moe-fuse-gates -moe-fuse-experts -moe-fuse-rows -moe-fuse-loops | FileCheck %s

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!i = tensor<?x1xi32, #moe.sizes<"t", "1">>
!w = tensor<?x1xf32, #moe.sizes<"t", "1">>
!r = !moe.routing<4 experts, "t" tokens, 1 choices>

// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "rows"
// CHECK: moe.random uniform "moe.gate.expert"
// CHECK-NEXT: moe.select
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "loops"
// CHECK-NEXT: bb0
// CHECK-NEXT: moe.broadcast
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "gate"
// CHECK-NEXT: bb0
// CHECK-NEXT: moe.assign
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "expert_down"
func.func @forward(%x: !x, %m: tensor<4x8x8xf32>, %weights: !w) -> !x {
  %d = moe.random uniform "moe.gate.expert" : tensor<1x4xf32>
  %v, %i = moe.select %d k 1 : tensor<1x4xf32>
  %all = moe.broadcast %i : tensor<1x1xi32> -> !i
  %routing = moe.assign %all experts 4 token_major : !i
  %rows = moe.dispatch %x, %routing : !x, !r
  %products = moe.grouped_matmul %rows, %m, %routing : !x, tensor<4x8x8xf32>, !r
  %y = moe.combine %products, %routing, %weights : !x, !r, !w
  return %y : !x
}
