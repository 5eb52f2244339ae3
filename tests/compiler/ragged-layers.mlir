// Experts' rows that a layer gives away in one launch are those of the routing that it makes: behind its count nobody writes them.
// RUN: moec-opt %s -moe-assign-buffers | FileCheck %s

// CHECK: experts = 4 : i64, first = 0 : i64, kind = "temporary", last = 1 : i64, name = "y moe_layer", shape = ["69"]}
// CHECK-SAME: kind = "temporary", last = 1 : i64, name = "y moe_layer", ragged_by = 3 : i64, shape = ["32", "32"]}
// CHECK-SAME: kind = "output", name = "y moe_layer", shape = ["16", "32"]}

!t = tensor<16x32xf32>
!k = tensor<16x2xf32>
!r = tensor<32x32xf32>
!routing = !moe.routing<4 experts, "16" tokens, 2 choices>

func.func @forward(%x: !t, %gw: tensor<4x32xf32>, %one: tensor<4x32x32xf32>) -> (!t, !t) {
  %route, %rows, %y = moe.kernel "moe_layer" "y" (%x, %gw, %one) : (!t, tensor<4x32xf32>, tensor<4x32x32xf32>) -> (!routing, !r, !t) {
  ^bb0(%0: !t, %1: tensor<4x32xf32>, %2: tensor<4x32x32xf32>):
    %s = moe.matmul %0, %1 : !t, tensor<4x32xf32>
    %v, %i = moe.select %s k 2 : tensor<16x4xf32>
    %a = moe.assign %i experts 4 token_major capacity "5" : tensor<16x2xi32>
    %d = moe.dispatch %0, %a : !t, !routing
    %o = moe.grouped_matmul %d, %2, %a : !r, tensor<4x32x32xf32>, !routing
    %c = moe.combine %o, %a, %v : !r, !routing, !k
    moe.yield %a, %o, %c : !routing, !r, !t
  }
  %z = moe.kernel "rows" "z" (%rows, %route, %y) : (!r, !routing, !t) -> !t {
  ^bb0(%0: !r, %1: !routing, %2: !t):
    %w = moe.constant dense<1.0> : tensor<16x2xf32>
    %c = moe.combine %0, %1, %w : !r, !routing, !k
    moe.yield %c : !t
  }
  return %y, %z : !t, !t
}
