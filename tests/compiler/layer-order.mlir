// Launches around a MoE layer stand in the same order whether the target has it as one launch or as several: what waits for one of the parts stands in front
// of them all, and no part waits on its own.
// RUN: moec-opt %s --split-input-file -moe-fuse-gates -moe-fuse-experts -moe-fuse-matmuls -moe-fuse-gradients -moe-fuse-rows -moe-fuse-loops -moe-join-layers=target=cuda:sm_90a -moe-assign-buffers | FileCheck %s --check-prefixes=ALL,CUDA
// RUN: moec-opt %s --split-input-file -moe-fuse-gates -moe-fuse-experts -moe-fuse-matmuls -moe-fuse-gradients -moe-fuse-rows -moe-fuse-loops -moe-join-layers=target=cpu:x86-64-v3 -moe-assign-buffers | FileCheck %s --check-prefixes=ALL,CPU

!t = tensor<?x32xf32, #moe.sizes<"n", "32">>
!k = tensor<?x1xf32, #moe.sizes<"n", "1">>
!h = tensor<?x64xf32, #moe.sizes<"n", "64">>
!routing = !moe.routing<4 experts, "n" tokens, 1 choices>

// The last part alone reads the product and the view.
// ALL-LABEL: func.func @forward
// ALL-NOT: moe.kernel
// ALL: %[[LINEAR:.*]] = moe.kernel "matmul"
// ALL: %[[VIEW:.*]] = moe.reshape
// CUDA-NEXT: moe.kernel "gate"
// CUDA-NOT: moe.reshape
// CUDA: moe.kernel "expert_up"
// CUDA-NOT: moe.reshape
// CUDA: moe.kernel "expert_down" {{.*}}%[[LINEAR]]
// CPU-NEXT: moe.kernel "moe_layer" {{.*}}%[[LINEAR]]
// ALL-NOT: moe.kernel
// ALL: return
func.func @forward(%x: !t {moe.input = "x"}, %flat: tensor<?xf32, #moe.sizes<"32*n">> {moe.input = "flat"}, %gw: tensor<4x32xf32> {moe.input = "gw"}, %up: tensor<4x64x32xf32> {moe.input = "up"}, %down: tensor<4x32x64xf32> {moe.input = "down"}, %w: tensor<32x32xf32> {moe.input = "w"}) -> (!t {moe.output = "y"}) {
  %view = moe.reshape %flat : tensor<?xf32, #moe.sizes<"32*n">> -> !t
  %linear = moe.matmul %x, %w : !t, tensor<32x32xf32>
  %s = moe.matmul %x, %gw : !t, tensor<4x32xf32>
  %v, %i = moe.select %s k 1 : tensor<?x4xf32, #moe.sizes<"n", "4">>
  %weights = moe.softmax %v : !k
  %route = moe.assign %i experts 4 token_major : tensor<?x1xi32, #moe.sizes<"n", "1">>
  %d = moe.dispatch %x, %route : !t, !routing
  %u = moe.grouped_matmul %d, %up, %route : !t, tensor<4x64x32xf32>, !routing
  %act = moe.gelu %u : !h
  %o = moe.grouped_matmul %act, %down, %route : !h, tensor<4x32x64xf32>, !routing
  %c = moe.combine %o, %route, %weights : !t, !routing, !k
  %sum = moe.add %c, %linear : !t, !t
  %y = moe.add %sum, %view : !t, !t
  return %y : !t
}

// -----

!t = tensor<?x32xf32, #moe.sizes<"n", "32">>
!k = tensor<?x1xf32, #moe.sizes<"n", "1">>
!routing = !moe.routing<4 experts, "n" tokens, 1 choices>

// The experts' result is read late, and all that they read lasts until then; the gate's weights are read at once.
// ALL-LABEL: func.func @forward
// CUDA-NEXT: moe.kernel "gate"
// CUDA: moe.kernel "expert_down"
// CPU-NEXT: moe.kernel "moe_layer"
// ALL: moe.kernel "matmul"
// ALL: moe.kernel "matmul"
// ALL: moe.kernel "rows"
// ALL: return
func.func @forward(%x: !t {moe.input = "x"}, %gw: tensor<4x32xf32> {moe.input = "gw"}, %one: tensor<4x32x32xf32> {moe.input = "one"}, %w1: tensor<32x1xf32> {moe.input = "w1"}, %w: tensor<32x32xf32> {moe.input = "w"}) -> (!t {moe.output = "q"}, tensor<4xi32> {moe.output = "counts"}, !k {moe.output = "weights"}) {
  %s = moe.matmul %x, %gw : !t, tensor<4x32xf32>
  %v, %i = moe.select %s k 1 : tensor<?x4xf32, #moe.sizes<"n", "4">>
  %weights = moe.softmax %v : !k
  %route = moe.assign %i experts 4 token_major : tensor<?x1xi32, #moe.sizes<"n", "1">>
  %d = moe.dispatch %x, %route : !t, !routing
  %o = moe.grouped_matmul %d, %one, %route : !t, tensor<4x32x32xf32>, !routing
  %c = moe.combine %o, %route, %weights : !t, !routing, !k
  %r = moe.matmul %c, %w : !t, tensor<32x32xf32>
  %p = moe.matmul %weights, %w1 : !k, tensor<32x1xf32>
  %q = moe.add %r, %p : !t, !t
  %counts = moe.expert_counts %route : !routing
  return %q, %counts, %weights : !t, tensor<4xi32>, !k
}
