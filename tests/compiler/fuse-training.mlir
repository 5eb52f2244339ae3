// A step: forward values that the backward part reads too are results of the kernel that makes them; products read exchanged operands as they lie; derivatives
// are computed where they are multiplied; attention and its gradient read the same columns; gradients of biases are sums beside those of weights, and beside those of
// a norm's rows.
// RUN: moec-opt %s -moe-fuse-updates -moe-sink-reshapes -moe-fuse-gates -moe-fuse-experts -moe-fuse-attention -moe-fuse-matmuls -moe-fuse-gradients -moe-fuse-rows -moe-fuse-loops | FileCheck %s

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!h = tensor<?x16xf32, #moe.sizes<"t", "16">>
!i = tensor<?x1xi32, #moe.sizes<"t", "1">>
!g = tensor<?x1xf32, #moe.sizes<"t", "1">>
!r = !moe.routing<4 experts, "t" tokens, 1 choices>
!qkv = tensor<?x5x24xf32, #moe.sizes<"b", "5", "24">>
!q = tensor<?x5x8xf32, #moe.sizes<"b", "5", "8">>
!up = tensor<4x16x8xf32>
!down = tensor<4x8x16xf32>
!w = tensor<8x8xf32>

// CHECK-LABEL: func.func @train_step
// CHECK: moe.kernel "expert_up"
// CHECK: moe.dispatch
// CHECK: %[[PRODUCT:.*]] = moe.grouped_matmul
// CHECK: %[[ACTIVE:.*]] = moe.gelu %[[PRODUCT]]
// CHECK: moe.yield %[[PRODUCT]], %[[ACTIVE]]
// CHECK: moe.kernel "expert_mid" {{.*}} reason "its result is used more than once"
// CHECK: moe.kernel "rows"
// CHECK: moe.combine
// CHECK: moe.kernel "expert_up"
// CHECK: moe.dispatch
// CHECK-NEXT: moe.transpose %{{.*}} [0, 2, 1]
// CHECK-NEXT: moe.grouped_matmul
// CHECK-NEXT: moe.gelu_grad
// CHECK-NEXT: moe.mul
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "weight_grad"
// CHECK: moe.grouped_weight_grad
// CHECK-NEXT: moe.expert_sums
// CHECK-NEXT: moe.yield
// CHECK-NOT: moe.kernel "sums"
// CHECK: moe.kernel "rows"
// CHECK: moe.choice_values
func.func @train_step(%x: !x, %up: !up, %down: !down, %i: !i, %weights: !g, %dy: !x, %qkv: !qkv, %dq: !q, %w: !w, %scores: !x, %labels: tensor<?xi64, #moe.sizes<"t">>, %each: tensor<?xf32, #moe.sizes<"t">>)
    -> (!x, !up, tensor<4x16xf32>, !g, !q, !q, !q, !q, !w, !x, !x) {
  %routing = moe.assign %i experts 4 token_major : !i
  %rows = moe.dispatch %x, %routing : !x, !r
  %h = moe.grouped_matmul %rows, %up, %routing : !x, !up, !r
  %a = moe.gelu %h : !h
  %o = moe.grouped_matmul %a, %down, %routing : !h, !down, !r
  %y = moe.combine %o, %routing, %weights : !x, !r, !g
  %d = moe.dispatch %dy, %routing : !x, !r
  %across = moe.transpose %down [0, 2, 1] : !down
  %da = moe.grouped_matmul %d, %across, %routing : !x, !up, !r
  %slope = moe.gelu_grad %h : !h
  %dh = moe.mul %da, %slope : !h, !h
  %dup = moe.grouped_weight_grad %dh, %rows, %routing : !h, !x, !r
  %dbias = moe.expert_sums %dh, %routing : !h, !r
  %products = moe.mul %d, %o : !x, !x
  %sums = moe.reduce sum %products axis 1 : !x
  %column = moe.reshape %sums : tensor<?xf32, #moe.sizes<"t">> -> !g
  %dweights = moe.choice_values %column, %routing : !g, !r

  // CHECK: moe.kernel "attention"
  // CHECK-COUNT-3: moe.slice
  // CHECK: moe.kernel "attention_grad"
  // CHECK-COUNT-3: moe.slice
  // CHECK: moe.attention_grad
  %q = moe.slice %qkv axis 2 from "0" size "8" : !qkv
  %k = moe.slice %qkv axis 2 from "8" size "8" : !qkv
  %v = moe.slice %qkv axis 2 from "16" size "8" : !qkv
  %attended = moe.attention %q, %k, %v heads 2 scale 0.5 : !q, !q, !q
  %gq, %gk, %gv = moe.attention_grad %dq, %q, %k, %v heads 2 scale 0.5 : !q, !q, !q, !q

  // CHECK: moe.kernel "matmul"
  // CHECK: moe.transpose %{{.*}} [1, 0]
  // CHECK-NEXT: moe.transpose %{{.*}} [1, 0]
  // CHECK-NEXT: moe.matmul
  %dt = moe.transpose %dy [1, 0] : !x
  %xt = moe.transpose %x [1, 0] : !x
  %dw = moe.matmul %dt, %xt : tensor<8x?xf32, #moe.sizes<"8", "t">>, tensor<8x?xf32, #moe.sizes<"8", "t">>

  // CHECK: moe.kernel "rows"
  // CHECK: moe.cross_entropy_grad
  // CHECK: moe.kernel "rows"
  // CHECK: moe.softmax_grad
  %dscores = moe.cross_entropy_grad %each, %scores, %labels smoothing 0.0 ignore -100 : tensor<?xf32, #moe.sizes<"t">>, !x, tensor<?xi64, #moe.sizes<"t">>
  %dsoft = moe.softmax_grad %dscores, %scores : !x, !x
  return %y, %dup, %dbias, %dweights, %attended, %gq, %gk, %gv, %dw, %dscores, %dsoft : !x, !up, tensor<4x16xf32>, !g, !q, !q, !q, !q, !w, !x, !x
}

// CHECK-LABEL: func.func @biases
// CHECK: moe.kernel "matmul"
// CHECK: moe.reduce sum %{{.*}} axis 0
// CHECK: moe.matmul
// CHECK: moe.kernel "matmul"
// CHECK: moe.matmul
// CHECK-NOT: moe.kernel "loops"
// CHECK: moe.kernel "rows"
// CHECK: moe.layer_norm_grad
// CHECK: moe.layer_norm
// CHECK: moe.mul
// CHECK: moe.reshape
// CHECK: moe.reduce sum
// CHECK: moe.reshape
// CHECK: moe.reduce sum
// CHECK: moe.add
// CHECK: moe.yield
// CHECK-NOT: moe.kernel
// CHECK: return
func.func @biases(%dy: !q, %x: !q, %w: !w, %r: !q) -> (tensor<8x8xf32>, tensor<8xf32>, !q, tensor<8xf32>, tensor<8xf32>, !q) {
  %flat = moe.reshape %dy : !q -> tensor<?x8xf32, #moe.sizes<"5*b", "8">>
  %rows = moe.reshape %x : !q -> tensor<?x8xf32, #moe.sizes<"5*b", "8">>
  %dt = moe.transpose %flat [1, 0] : tensor<?x8xf32, #moe.sizes<"5*b", "8">>
  %xt = moe.transpose %rows [1, 0] : tensor<?x8xf32, #moe.sizes<"5*b", "8">>
  %dw = moe.matmul %dt, %xt : tensor<8x?xf32, #moe.sizes<"8", "5*b">>, tensor<8x?xf32, #moe.sizes<"8", "5*b">>
  %again = moe.reshape %dy : !q -> tensor<?x8xf32, #moe.sizes<"5*b", "8">>
  %db = moe.reduce sum %again axis 0 : tensor<?x8xf32, #moe.sizes<"5*b", "8">>
  %across = moe.transpose %w [1, 0] : !w
  %dx = moe.matmul %dy, %across : !q, !w

  %gx = moe.layer_norm_grad %dx, %x eps 1.0e-5 of !q, !q
  %normal = moe.layer_norm %x eps 1.0e-5 of !q
  %products = moe.mul %dx, %normal : !q, !q
  %view = moe.reshape %products : !q -> tensor<?x8xf32, #moe.sizes<"5*b", "8">>
  %dweight = moe.reduce sum %view axis 0 : tensor<?x8xf32, #moe.sizes<"5*b", "8">>
  %other = moe.reshape %dx : !q -> tensor<?x8xf32, #moe.sizes<"5*b", "8">>
  %dbias = moe.reduce sum %other axis 0 : tensor<?x8xf32, #moe.sizes<"5*b", "8">>
  %gr = moe.add %gx, %r : !q, !q
  return %dw, %db, %dx, %dweight, %dbias, %gr : tensor<8x8xf32>, tensor<8xf32>, !q, tensor<8xf32>, tensor<8xf32>, !q
}

// A dropout behind a product stands in its kernel, which gives the mask too; the backward part reads that and makes the factors of it again.
// CHECK-LABEL: func.func @dropout
// CHECK: %[[FORWARD:.*]]:2 = moe.kernel "matmul" {{.*}} -> (tensor<?x8xf32, #moe.sizes<"t", "8">>, tensor<?x8xi1, #moe.sizes<"t", "8">>)
// CHECK: moe.matmul
// CHECK: moe.random
// CHECK: moe.compare
// CHECK: moe.kernel "matmul"{{.*}}%[[FORWARD]]#1
// CHECK-NOT: moe.random
// CHECK: moe.cast
// CHECK-NOT: moe.kernel
// CHECK: return
func.func @dropout(%x: !x, %w: !w, %dy: !x) -> (!x, !x) {
  %y = moe.matmul %x, %w : !x, !w
  %draws = moe.random uniform "d" : !x
  %p = moe.constant dense<0.1> : tensor<1xf32>
  %scale = moe.constant dense<1.2> : tensor<1xf32>
  %stays = moe.compare ge %draws, %p : !x, tensor<1xf32>
  %ones = moe.cast %stays to f32 : tensor<?x8xi1, #moe.sizes<"t", "8">>
  %factors = moe.mul %ones, %scale : !x, tensor<1xf32>
  %dropped = moe.mul %y, %factors : !x, !x
  %sum = moe.matmul %dropped, %w : !x, !w
  %back = moe.matmul %sum, %w : !x, !w
  %dback = moe.mul %back, %factors : !x, !x
  return %dropped, %dback : !x, !x
}
