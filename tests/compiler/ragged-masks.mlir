// A mask that a kernel of experts makes ends with their rows. Where something reads it that has other rows, even if as many, it is made by itself.
// RUN: moec-opt %s --split-input-file -moe-fuse-gates -moe-fuse-experts -moe-fuse-matmuls -moe-fuse-gradients -moe-fuse-rows -moe-fuse-loops | FileCheck %s

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!i = tensor<?x1xi32, #moe.sizes<"t", "1">>
!w = tensor<?x1xf32, #moe.sizes<"t", "1">>
!b = tensor<?x8xi1, #moe.sizes<"t", "8">>
!m = tensor<4x8x8xf32>
!r = !moe.routing<4 experts, "t" tokens, 1 choices>

// CHECK-LABEL: func.func @forward
// CHECK: %[[MASK:.*]] = moe.kernel "loops" ""()
// CHECK: moe.random
// CHECK-NEXT: moe.compare
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "expert_up"
// CHECK-NOT: moe.random
// CHECK: moe.kernel "loops" ""(%[[MASK]], %arg0)
func.func @forward(%x: !x, %i: !i, %up: !m, %down: !m, %weights: !w) -> (!x, !x) {
  %p = moe.constant dense<0.1> : tensor<1xf32>
  %routing = moe.assign %i experts 4 token_major capacity "2" : !i
  %rows = moe.dispatch %x, %routing : !x, !r
  %hidden = moe.grouped_matmul %rows, %up, %routing : !x, !m, !r
  %draws = moe.random uniform "d" : !x
  %stays = moe.compare ge %draws, %p : !x, tensor<1xf32>
  %factors = moe.cast %stays to f32 : !b
  %dropped = moe.mul %hidden, %factors : !x, !x
  %products = moe.grouped_matmul %dropped, %down, %routing : !x, !m, !r
  %y = moe.combine %products, %routing, %weights : !x, !r, !w
  %z = moe.mul %x, %factors : !x, !x
  return %y, %z : !x, !x
}

// -----

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!i = tensor<?x1xi32, #moe.sizes<"t", "1">>
!w = tensor<?x1xf32, #moe.sizes<"t", "1">>
!b = tensor<?x8xi1, #moe.sizes<"t", "8">>
!m = tensor<4x8x8xf32>
!r = !moe.routing<4 experts, "t" tokens, 1 choices>

// The rows of another routing have another count.
// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "loops" ""()
// CHECK: moe.random
// CHECK: moe.kernel "expert_up"
// CHECK-NOT: moe.random
func.func @forward(%x: !x, %i: !i, %j: !i, %up: !m, %weights: !w) -> (!x, !x) {
  %p = moe.constant dense<0.1> : tensor<1xf32>
  %routing = moe.assign %i experts 4 token_major capacity "2" : !i
  %other = moe.assign %j experts 4 token_major capacity "2" : !i
  %rows = moe.dispatch %x, %routing : !x, !r
  %hidden = moe.grouped_matmul %rows, %up, %routing : !x, !m, !r
  %draws = moe.random uniform "d" : !x
  %stays = moe.compare ge %draws, %p : !x, tensor<1xf32>
  %factors = moe.cast %stays to f32 : !b
  %dropped = moe.mul %hidden, %factors : !x, !x
  %more = moe.dispatch %x, %other : !x, !r
  %u = moe.grouped_matmul %more, %up, %other : !x, !m, !r
  %v = moe.mul %u, %factors : !x, !x
  %a = moe.grouped_matmul %dropped, %up, %routing : !x, !m, !r
  %b = moe.grouped_matmul %v, %up, %other : !x, !m, !r
  %y = moe.combine %a, %routing, %weights : !x, !r, !w
  %z = moe.combine %b, %other, %weights : !x, !r, !w
  return %y, %z : !x, !x
}

// -----

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!i = tensor<?x1xi32, #moe.sizes<"t", "1">>
!w = tensor<?x1xf32, #moe.sizes<"t", "1">>
!b = tensor<?x8xi1, #moe.sizes<"t", "8">>
!m = tensor<4x8x8xf32>
!r = !moe.routing<4 experts, "t" tokens, 1 choices>

// A choice between the experts' rows and a number ends with their rows too.
// CHECK-LABEL: func.func @forward
// CHECK: %[[MASK:.*]] = moe.kernel "loops" ""()
// CHECK: moe.random
// CHECK-NEXT: moe.compare
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "expert_up"
// CHECK-NOT: moe.random
// CHECK: moe.kernel "loops" ""(%[[MASK]], %arg0)
func.func @forward(%x: !x, %i: !i, %up: !m, %down: !m, %weights: !w) -> (!x, !x) {
  %p = moe.constant dense<0.1> : tensor<1xf32>
  %zero = moe.constant dense<0.0> : tensor<1xf32>
  %routing = moe.assign %i experts 4 token_major capacity "2" : !i
  %rows = moe.dispatch %x, %routing : !x, !r
  %hidden = moe.grouped_matmul %rows, %up, %routing : !x, !m, !r
  %draws = moe.random uniform "d" : !x
  %stays = moe.compare ge %draws, %p : !x, tensor<1xf32>
  %dropped = moe.where %stays, %hidden, %zero : !b, !x, tensor<1xf32>
  %products = moe.grouped_matmul %dropped, %down, %routing : !x, !m, !r
  %y = moe.combine %products, %routing, %weights : !x, !r, !w
  %z = moe.where %stays, %x, %zero : !b, !x, tensor<1xf32>
  return %y, %z : !x, !x
}

// -----

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!i = tensor<?x1xi32, #moe.sizes<"t", "1">>
!w = tensor<?x1xf32, #moe.sizes<"t", "1">>
!b = tensor<?x8xi1, #moe.sizes<"t", "8">>
!m = tensor<4x8x8xf32>
!r = !moe.routing<4 experts, "t" tokens, 1 choices>

// What is made of such a choice ends there too.
// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "loops" ""()
// CHECK: moe.random
// CHECK-NEXT: moe.compare
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "expert_up"
// CHECK-NOT: moe.random
func.func @forward(%x: !x, %i: !i, %given: !b, %up: !m, %down: !m, %weights: !w) -> (!x, !x) {
  %p = moe.constant dense<0.1> : tensor<1xf32>
  %zero = moe.constant dense<0.0> : tensor<1xf32>
  %routing = moe.assign %i experts 4 token_major capacity "2" : !i
  %rows = moe.dispatch %x, %routing : !x, !r
  %hidden = moe.grouped_matmul %rows, %up, %routing : !x, !m, !r
  %some = moe.where %given, %hidden, %zero : !b, !x, tensor<1xf32>
  %draws = moe.random uniform "d" : !x
  %stays = moe.compare ge %draws, %p : !x, tensor<1xf32>
  %factors = moe.cast %stays to f32 : !b
  %dropped = moe.mul %some, %factors : !x, !x
  %products = moe.grouped_matmul %dropped, %down, %routing : !x, !m, !r
  %y = moe.combine %products, %routing, %weights : !x, !r, !w
  %z = moe.mul %x, %factors : !x, !x
  return %y, %z : !x, !x
}

// -----

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!i = tensor<?x1xi32, #moe.sizes<"t", "1">>
!w = tensor<?x1xf32, #moe.sizes<"t", "1">>
!b = tensor<?x8xi1, #moe.sizes<"t", "8">>
!m = tensor<4x8x8xf32>
!r = !moe.routing<4 experts, "t" tokens, 1 choices>

// The way back has rows of the same routing, in a product's kernel and by itself: the mask stays with the way forth.
// CHECK-LABEL: func.func @forward
// CHECK: %[[UP:.*]]:2 = moe.kernel "expert_up"
// CHECK: moe.random
// CHECK: moe.compare
// CHECK: moe.kernel {{.*}}%[[UP]]#
// CHECK-NOT: moe.random
func.func @forward(%x: !x, %i: !i, %up: !m, %down: !m, %weights: !w) -> (!x, !m) {
  %p = moe.constant dense<0.1> : tensor<1xf32>
  %routing = moe.assign %i experts 4 token_major capacity "2" : !i
  %rows = moe.dispatch %x, %routing : !x, !r
  %hidden = moe.grouped_matmul %rows, %up, %routing : !x, !m, !r
  %draws = moe.random uniform "d" : !x
  %stays = moe.compare ge %draws, %p : !x, tensor<1xf32>
  %factors = moe.cast %stays to f32 : !b
  %dropped = moe.mul %hidden, %factors : !x, !x
  %products = moe.grouped_matmul %dropped, %down, %routing : !x, !m, !r
  %back = moe.mul %products, %factors : !x, !x
  %y = moe.combine %back, %routing, %weights : !x, !r, !w
  %d = moe.dispatch %y, %routing : !x, !r
  %dd = moe.mul %d, %factors : !x, !x
  %g = moe.grouped_weight_grad %rows, %dd, %routing : !x, !x, !r
  return %y, %g : !x, !m
}
