// What orders the rows of all tokens is a kernel of its own, between the gate's scores and choice before it and its routing behind it.
// RUN: moec-opt %s --split-input-file -moe-fuse-gates -moe-fuse-experts | FileCheck %s

!t = tensor<?x32xf32, #moe.sizes<"n", "32">>
!e = tensor<?x4xf32, #moe.sizes<"n", "4">>
!k = tensor<?x2xf32, #moe.sizes<"n", "2">>
!i = tensor<?x2xi32, #moe.sizes<"n", "2">>
!b = tensor<?x2xi1, #moe.sizes<"n", "2">>
!rows = tensor<?x32xf32, #moe.sizes<"2*n", "32">>
!routing = !moe.routing<4 experts, "n" tokens, 2 choices>

// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "gate"
// CHECK-SAME: reason "followed by places, which needs all tokens"
// CHECK: moe.matmul
// CHECK: moe.softmax
// CHECK: moe.select
// CHECK: moe.yield
// CHECK: moe.kernel "places"
// CHECK-NEXT: ^bb0
// CHECK-NEXT: moe.places
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "gate"
// CHECK: moe.compare
// CHECK: moe.assign
// CHECK: moe.kernel "expert_down"
func.func @forward(%t: !t, %gw: tensor<4x32xf32>, %w1: tensor<4x32x32xf32>) -> !t {
  %s = moe.matmul %t, %gw : !t, tensor<4x32xf32>
  %q = moe.softmax %s : !e
  %v, %i = moe.select %q k 2 : !e
  %p = moe.places %i, %v experts 4 token_major : !i, !k
  %c = moe.constant dense<5> : tensor<1xi32>
  %f = moe.compare lt %p, %c : !i, tensor<1xi32>
  %r = moe.assign %i keep %f : !b experts 4 token_major capacity "5" : !i
  %d = moe.dispatch %t, %r : !t, !routing
  %o = moe.grouped_matmul %d, %w1, %r : !rows, tensor<4x32x32xf32>, !routing
  %y = moe.combine %o, %r, %v : !rows, !routing, !k
  return %y : !t
}

// -----

!t = tensor<?x32xf32, #moe.sizes<"n", "32">>
!e = tensor<?x4xf32, #moe.sizes<"n", "4">>
!k = tensor<?x2xf32, #moe.sizes<"n", "2">>
!i = tensor<?x2xi32, #moe.sizes<"n", "2">>
!b = tensor<?x2xi1, #moe.sizes<"n", "2">>
!rows = tensor<?x32xf32, #moe.sizes<"2*n", "32">>
!routing = !moe.routing<4 experts, "n" tokens, 2 choices>

// Weights are taken from the scores again, behind what moved the choices.
// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "gate"
// CHECK: moe.matmul
// CHECK: moe.select
// CHECK: moe.kernel "swipe"
// CHECK: moe.swipe
// CHECK: moe.kernel "gate"
// CHECK-NOT: moe.matmul
// CHECK: moe.take
// CHECK: moe.softmax
// CHECK: moe.kernel "expert_down"
func.func @forward(%t: !t, %gw: tensor<4x32xf32>, %w1: tensor<4x32x32xf32>) -> !t {
  %s = moe.matmul %t, %gw : !t, tensor<4x32xf32>
  %v, %i = moe.select %s k 2 : !e
  %m = moe.swipe %i experts 4 workers 2 : !i
  %l = moe.take %s, %m : !e, !i
  %w = moe.softmax %l : !k
  %r = moe.assign %m experts 4 token_major : !i
  %d = moe.dispatch %t, %r : !t, !routing
  %o = moe.grouped_matmul %d, %w1, %r : !rows, tensor<4x32x32xf32>, !routing
  %y = moe.combine %o, %r, %w : !rows, !routing, !k
  return %y : !t
}

// -----

!t = tensor<?x32xf32, #moe.sizes<"n", "32">>
!e = tensor<?x4xf32, #moe.sizes<"n", "4">>
!k = tensor<?x2xf32, #moe.sizes<"n", "2">>
!i = tensor<?x2xi32, #moe.sizes<"n", "2">>
!b = tensor<?x2xi1, #moe.sizes<"n", "2">>
!rows = tensor<?x32xf32, #moe.sizes<"2*n", "32">>
!routing = !moe.routing<4 experts, "n" tokens, 2 choices>

// The bias that only chooses: sigmoids, groups, choice, weights and routing are one kernel.
// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "gate"
// CHECK: moe.matmul
// CHECK: moe.sigmoid
// CHECK: moe.take
// CHECK: moe.assign
// CHECK: moe.kernel "expert_down"
// CHECK-NOT: moe.kernel
func.func @forward(%t: !t, %gw: tensor<4x32xf32>, %b: tensor<4xf32>, %w1: tensor<4x32x32xf32>) -> !t {
  %s = moe.matmul %t, %gw : !t, tensor<4x32xf32>
  %q = moe.sigmoid %s : !e
  %c = moe.add %q, %b : !e, tensor<4xf32>
  %v, %i = moe.select %c k 2 : !e
  %w = moe.take %q, %i : !e, !i
  %r = moe.assign %i experts 4 token_major : !i
  %d = moe.dispatch %t, %r : !t, !routing
  %o = moe.grouped_matmul %d, %w1, %r : !rows, tensor<4x32x32xf32>, !routing
  %y = moe.combine %o, %r, %w : !rows, !routing, !k
  return %y : !t
}
