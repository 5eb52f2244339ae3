// A step: forward values that the backward part reads too are results of the kernel that makes them; products read exchanged operands as they lie; derivatives
// are computed where they are multiplied; attention and its gradient read the same columns, and gradients are written to columns; gradients of experts' biases
// are sums beside those of weights.
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
    -> (!x, !up, tensor<4x16xf32>, !g, !q, !qkv, !w, !x, !x) {
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
  // CHECK-NEXT: moe.concat
  // CHECK-NEXT: moe.yield
  %q = moe.slice %qkv axis 2 from "0" size "8" : !qkv
  %k = moe.slice %qkv axis 2 from "8" size "8" : !qkv
  %v = moe.slice %qkv axis 2 from "16" size "8" : !qkv
  %attended = moe.attention %q, %k, %v heads 2 scale 0.5 : !q, !q, !q
  %gq, %gk, %gv = moe.attention_grad %dq, %q, %k, %v heads 2 scale 0.5 : !q, !q, !q, !q
  %gqkv = moe.concat %gq, %gk, %gv axis 2 : !q, !q, !q

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
  return %y, %dup, %dbias, %dweights, %attended, %gqkv, %dw, %dscores, %dsoft : !x, !up, tensor<4x16xf32>, !g, !q, !qkv, !w, !x, !x
}
