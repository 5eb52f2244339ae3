// The draws, comparisons and masks of random routing belong to the gate's kernel.
// RUN: moec-opt %s -moe-fuse-gates -moe-fuse-experts | FileCheck %s

!t = tensor<?x32xf32, #moe.sizes<"n", "32">>
!e = tensor<?x4xf32, #moe.sizes<"n", "4">>
!k = tensor<?x2xf32, #moe.sizes<"n", "2">>
!one = tensor<?x1xf32, #moe.sizes<"n", "1">>
!i = tensor<?x2xi32, #moe.sizes<"n", "2">>
!rows = tensor<?x32xf32, #moe.sizes<"2*n", "32">>
!routing = !moe.routing<4 experts, "n" tokens, 2 choices>

// CHECK-LABEL: func.func @forward
// CHECK-NEXT: moe.kernel "gate"
// CHECK: moe.random uniform "gate.random_routing"
// CHECK: moe.assign
// CHECK: moe.drop
// CHECK: moe.yield
// CHECK-NOT: moe.random
func.func @forward(%t: !t, %gw: tensor<4x32xf32>, %w1: tensor<4x32x32xf32>) -> !t {
  %s = moe.matmul %t, %gw : !t, tensor<4x32xf32>
  %v, %i = moe.select %s k 2 : !e
  %w = moe.softmax %v : !k
  %second = moe.slice %w axis 1 from "1" size "1" : !k
  %two = moe.constant dense<2.0> : tensor<f32>
  %p = moe.mul %second, %two : !one, tensor<f32>
  %draw = moe.random uniform "gate.random_routing" : !one
  %keep2 = moe.compare ge %p, %draw : !one, !one
  %first = moe.slice %w axis 1 from "0" size "1" : !k
  %keep1 = moe.compare ge %first, %first : !one, !one
  %keep = moe.concat %keep1, %keep2 axis 1 : tensor<?x1xi1, #moe.sizes<"n", "1">>, tensor<?x1xi1, #moe.sizes<"n", "1">>
  %all = moe.assign %i experts 4 token_major capacity "floordiv(2*ceil(1.2*n),4)" : !i
  %route = moe.drop %all, %keep : !routing, tensor<?x2xi1, #moe.sizes<"n", "2">>
  %d = moe.dispatch %t, %route : !t, !routing
  %o = moe.grouped_matmul %d, %w1, %route : !rows, tensor<4x32x32xf32>, !routing
  %c = moe.combine %o, %route, %w : !rows, !routing, !k
  return %c : !t
}
