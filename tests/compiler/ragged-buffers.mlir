// Rows behind a routing's count are written by nobody, nor are those of what is made beside the experts' rows: a mask that the way back reads.
// RUN: moec-opt %s -moe-fuse-gates -moe-fuse-experts -moe-fuse-rows -moe-fuse-loops -moe-assign-buffers | FileCheck %s

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!i = tensor<?x1xi32, #moe.sizes<"t", "1">>
!w = tensor<?x1xf32, #moe.sizes<"t", "1">>
!m = tensor<4x8x8xf32>
!r = !moe.routing<4 experts, "t" tokens, 1 choices>

// CHECK: choices = 1 : i64, dtype = "i32"
// CHECK-SAME: dtype = "bool", first = 1 : i64, kind = "temporary", last = 2 : i64, name = " expert_up", ragged_by = [[ROUTING:[0-9]+]] : i64
// CHECK-SAME: dtype = "f32", first = 1 : i64, kind = "temporary", last = 3 : i64, name = " expert_up", ragged_by = [[ROUTING]] : i64
// CHECK-SAME: dtype = "f32", first = 2 : i64, kind = "temporary", last = 3 : i64, name = " loops", ragged_by = [[ROUTING]] : i64
// CHECK-SAME: dtype = "f32", kind = "output", name = " expert_down", shape
func.func @forward(%x: !x, %i: !i, %up: !m, %down: !m, %weights: !w) -> !x {
  %p = moe.constant dense<0.1> : tensor<1xf32>
  %routing = moe.assign %i experts 4 token_major capacity "2" : !i
  %rows = moe.dispatch %x, %routing : !x, !r
  %hidden = moe.grouped_matmul %rows, %up, %routing : !x, !m, !r
  %draws = moe.random uniform "d" : !x
  %stays = moe.compare ge %draws, %p : !x, tensor<1xf32>
  %factors = moe.cast %stays to f32 : tensor<?x8xi1, #moe.sizes<"t", "8">>
  %dropped = moe.mul %hidden, %factors : !x, !x
  %products = moe.grouped_matmul %dropped, %down, %routing : !x, !m, !r
  %back = moe.mul %products, %factors : !x, !x
  %y = moe.combine %back, %routing, %weights : !x, !r, !w
  return %y : !x
}
