// Where all uses of a value meet again, the ops between stay with the product that makes it. What works on experts' rows in a kernel of its own gets their routing,
// which no op reads: rows behind its count are left out. Rows that are defined to the end, as where others are chosen in the place of those behind the count, are
// not cut.
// RUN: moec-opt %s --split-input-file -moe-fuse-gates -moe-fuse-experts -moe-fuse-matmuls -moe-fuse-rows -moe-fuse-loops -moe-bound-rows | FileCheck %s

!t = tensor<?x8xf32, #moe.sizes<"t", "8">>
!i = tensor<?x2xi32, #moe.sizes<"t", "2">>
!k = tensor<?x2xf32, #moe.sizes<"t", "2">>
!r = tensor<?x8xf32, #moe.sizes<"2*t", "8">>
!w = tensor<4x8x8xf32>
!routing = !moe.routing<4 experts, "t" tokens, 2 choices>

// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "expert_up"
// CHECK: moe.grouped_matmul
// CHECK-NEXT: moe.mul
// CHECK-NEXT: moe.sigmoid
// CHECK-NEXT: moe.mul
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "expert_down"
// CHECK-NOT: moe.kernel
func.func @forward(%t: !t, %i: !i, %w: !k, %a: !w, %b: !w) -> !t {
  %route = moe.assign %i experts 4 token_major : !i
  %d = moe.dispatch %t, %route : !t, !routing
  %p = moe.grouped_matmul %d, %a, %route : !r, !w, !routing
  %n = moe.constant dense<1.702> : tensor<1xf32>
  %x = moe.mul %p, %n : !r, tensor<1xf32>
  %s = moe.sigmoid %x : !r
  %h = moe.mul %p, %s : !r, !r
  %o = moe.grouped_matmul %h, %b, %route : !r, !w, !routing
  %y = moe.combine %o, %route, %w : !r, !routing, !k
  return %y : !t
}

// -----

!t = tensor<?x8xf32, #moe.sizes<"t", "8">>
!i = tensor<?x2xi32, #moe.sizes<"t", "2">>
!k = tensor<?x2xf32, #moe.sizes<"t", "2">>
!r = tensor<?x8xf32, #moe.sizes<"2*t", "8">>
!w = tensor<4x8x8xf32>
!routing = !moe.routing<4 experts, "t" tokens, 2 choices>

// What two products read is no part of either: tanh stands alone, and so does the norm.
// CHECK-LABEL: func.func @forward
// CHECK: %[[ROUTE:.*]] = moe.kernel "gate"
// CHECK: %[[H:.*]] = moe.kernel "expert_up"
// CHECK: moe.kernel "rows" {{.*}}(%[[H]], %[[ROUTE]])
// CHECK-NEXT: ^bb0
// CHECK-NEXT: moe.tanh
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "expert_mid"
// CHECK: moe.kernel "expert_mid"
// CHECK: moe.kernel "rows" {{.*}}, %[[ROUTE]])
// CHECK-NEXT: ^bb0
// CHECK-NEXT: moe.layer_norm
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "rows"
// CHECK: moe.combine
func.func @forward(%t: !t, %i: !i, %w: !k, %a: !w, %b: !w, %c: !w) -> !t {
  %route = moe.assign %i experts 4 token_major : !i
  %d = moe.dispatch %t, %route : !t, !routing
  %p = moe.grouped_matmul %d, %a, %route : !r, !w, !routing
  %h = moe.tanh %p : !r
  %q = moe.grouped_matmul %p, %b, %route : !r, !w, !routing
  %o = moe.grouped_matmul %h, %c, %route : !r, !w, !routing
  %s = moe.add %q, %o : !r, !r
  %l = moe.layer_norm %s eps 1.0e-5 of !r
  %y = moe.combine %l, %route, %w : !r, !routing, !k
  return %y : !t
}

// -----

// The zeros behind the count are values: a product over all rows reads them.
!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!i = tensor<?x2xi32, #moe.sizes<"t", "2">>
!k = tensor<?x2xf32, #moe.sizes<"t", "2">>
!r = tensor<?x8xf32, #moe.sizes<"2*t", "8">>
!c = tensor<?x1xf32, #moe.sizes<"2*t", "1">>
!m = tensor<?x1xi1, #moe.sizes<"2*t", "1">>
!w = tensor<4x8x8xf32>
!routing = !moe.routing<4 experts, "t" tokens, 2 choices>

// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "expert_up"
// CHECK: moe.kernel "loops"
// CHECK: moe.where
// CHECK-NOT: moe.kernel "rows" {{.*}}moe.where
func.func @forward(%t: !x, %i: !i, %w: !k, %a: !w, %b: tensor<8x8xf32>) -> (!r, !x) {
  %route = moe.assign %i experts 4 token_major : !i
  %d = moe.dispatch %t, %route : !x, !routing
  %p = moe.grouped_matmul %d, %a, %route : !r, !w, !routing
  %c = moe.row_weights %w, %route : !k, !routing
  %z = moe.constant dense<0.0> : tensor<1xf32>
  %m = moe.compare gt %c, %z : !c, tensor<1xf32>
  %y = moe.where %m, %p, %z : !m, !r, tensor<1xf32>
  %q = moe.grouped_matmul %p, %a, %route : !r, !w, !routing
  %u = moe.combine %q, %route, %w : !r, !routing, !k
  %o = moe.matmul %y, %b : !r, tensor<8x8xf32>
  %s = moe.add %o, %y : !r, !r
  return %s, %u : !r, !x
}
