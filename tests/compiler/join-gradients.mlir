// The way back through experts becomes one kernel, where all experts' weights and gradients stay in a CPU's cache; GPUs have no such kernel. What was combined is
// not read: the gradient of a choice's weight is made of the hidden rows.
// RUN: moec-opt %s --split-input-file -moe-join-gradients=target=cpu:x86-64-v3 | FileCheck %s
// RUN: moec-opt %s --split-input-file -moe-join-gradients=target=cuda:sm_90a | FileCheck %s --check-prefix=CUDA

!t = tensor<16x32xf32>
!k = tensor<16x2xf32>
!h = tensor<32x64xf32>
!r = tensor<32x32xf32>
!n = tensor<32xf32>
!w = tensor<4x32x64xf32>
!v = tensor<4x64x32xf32>
!b = tensor<4x32xf32>
!c = tensor<4x64xf32>
!routing = !moe.routing<4 experts, "16" tokens, 2 choices>

// CHECK-LABEL: func.func @train_step
// CHECK: moe.kernel "expert_mid" "combined"
// CHECK-NOT: moe.kernel
// CHECK: %[[WAY:.*]]:6 = moe.kernel "layer_grad" "back"
// CHECK-SAME: reason "one launch: the experts' weights and gradients, 96 KiB, stay in the cache"
// CHECK-NEXT: ^bb0
// CHECK-NEXT: %[[DY:.*]] = moe.dispatch
// CHECK-NEXT: %[[WEIGHTS:.*]] = moe.row_weights
// CHECK-NEXT: %[[WEIGHTED:.*]] = moe.mul %[[DY]], %[[WEIGHTS]]
// CHECK-NEXT: %[[W:.*]] = moe.transpose
// CHECK-NEXT: %[[PRODUCT:.*]] = moe.grouped_matmul %[[DY]], %[[W]]
// CHECK-NEXT: moe.mul %[[PRODUCT]]
// CHECK-NEXT: moe.reduce  sum
// CHECK-NEXT: moe.expert_rows
// CHECK-NEXT: moe.mul %[[DY]]
// CHECK-NEXT: moe.reduce  sum
// CHECK-NEXT: moe.add
// CHECK-NEXT: moe.mul %[[PRODUCT]], %[[WEIGHTS]]
// CHECK-NEXT: %[[X:.*]] = moe.dispatch
// CHECK-NEXT: moe.gelu_grad
// CHECK-NEXT: %[[BEFORE:.*]] = moe.mul
// CHECK-NEXT: moe.grouped_weight_grad %[[WEIGHTED]]
// CHECK-NEXT: moe.expert_sums %[[WEIGHTED]]
// CHECK-NEXT: moe.grouped_weight_grad %[[BEFORE]], %[[X]]
// CHECK-NEXT: moe.expert_sums %[[BEFORE]]
// CHECK: moe.kernel "loops" "behind"(%[[WAY]]#0)
// CHECK-NOT: moe.kernel
// CHECK: return
// CUDA-LABEL: func.func @train_step
// CUDA: moe.kernel "rows" "back"
// CUDA-SAME: reason "not one launch with its experts' gradients: GPUs have no kernel of its kind"
// CUDA: moe.kernel "expert_mid" "back"
// CUDA-NOT: layer_grad
// CUDA: return
func.func @train_step(%x: !t, %dy: !t, %route: !routing, %choices: !k, %hidden: !h, %before: !h, %w: !w, %bias: !b) -> (!n, !h, !w, !b, !v, !c) {
  %o = moe.kernel "expert_mid" "combined"(%hidden, %route, %w) : (!h, !routing, !w) -> !r {
  ^bb0(%0: !h, %1: !routing, %2: !w):
    %3 = moe.grouped_matmul %0, %2, %1 : !h, !w, !routing
    moe.yield %3 : !r
  }
  %c = moe.kernel "rows" "again"(%o, %bias, %route) : (!r, !b, !routing) -> !r {
  ^bb0(%0: !r, %1: !b, %2: !routing):
    %3 = moe.expert_rows %1, %2 : !b, !routing
    %4 = moe.add %0, %3 : !r, !r
    moe.yield %4 : !r
  }
  %d:2 = moe.kernel "rows" "back"(%dy, %route, %choices, %c) : (!t, !routing, !k, !r) -> (!r, !n) {
  ^bb0(%0: !t, %1: !routing, %2: !k, %3: !r):
    %4 = moe.dispatch %0, %1 : !t, !routing
    %5 = moe.row_weights %2, %1 : !k, !routing
    %6 = moe.mul %4, %5 : !r, tensor<32x1xf32>
    %7 = moe.mul %4, %3 : !r, !r
    %8 = moe.reduce sum %7 axis 1 : !r
    moe.yield %6, %8 : !r, !n
  }
  %n = moe.kernel "loops" "behind"(%d#1) : (!n) -> !n {
  ^bb0(%0: !n):
    %1 = moe.neg %0 : !n
    moe.yield %1 : !n
  }
  %g:2 = moe.kernel "weight_grad" "down"(%d#0, %hidden, %route) : (!r, !h, !routing) -> (!w, !b) {
  ^bb0(%0: !r, %1: !h, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !r, !h, !routing
    %4 = moe.expert_sums %0, %2 : !r, !routing
    moe.yield %3, %4 : !w, !b
  }
  %m = moe.kernel "expert_mid" "back"(%d#0, %route, %w, %before) : (!r, !routing, !w, !h) -> !h {
  ^bb0(%0: !r, %1: !routing, %2: !w, %3: !h):
    %4 = moe.transpose %2 [0, 2, 1] : !w
    %5 = moe.grouped_matmul %0, %4, %1 : !r, !v, !routing
    %6 = moe.gelu_grad %3 : !h
    %7 = moe.mul %5, %6 : !h, !h
    moe.yield %7 : !h
  }
  %rows = moe.kernel "rows" "x"(%x, %route) : (!t, !routing) -> !r {
  ^bb0(%0: !t, %1: !routing):
    %2 = moe.dispatch %0, %1 : !t, !routing
    moe.yield %2 : !r
  }
  %u:2 = moe.kernel "weight_grad" "up"(%m, %rows, %route) : (!h, !r, !routing) -> (!v, !c) {
  ^bb0(%0: !h, %1: !r, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !h, !r, !routing
    %4 = moe.expert_sums %0, %2 : !h, !routing
    moe.yield %3, %4 : !v, !c
  }
  return %n, %m, %g#0, %g#1, %u#0, %u#1 : !n, !h, !w, !b, !v, !c
}

// -----

// What the gradient of the last weight reads is not what was multiplied by it: nothing is known of what was combined.
!t = tensor<16x32xf32>
!k = tensor<16x2xf32>
!h = tensor<32x64xf32>
!r = tensor<32x32xf32>
!n = tensor<32xf32>
!w = tensor<4x32x64xf32>
!v = tensor<4x64x32xf32>
!routing = !moe.routing<4 experts, "16" tokens, 2 choices>

// CHECK-LABEL: func.func @train_step
// CHECK: moe.kernel "rows" "back"
// CHECK-SAME: reason "not one launch with its experts' gradients: what was combined is more than the hidden rows times the last weight, and a bias"
// CHECK-NOT: layer_grad
// CHECK: return
func.func @train_step(%dy: !t, %route: !routing, %choices: !k, %hidden: !h, %other: !h, %w: !w) -> (!n, !h, !w) {
  %c = moe.kernel "expert_mid" "combined"(%other, %route, %w) : (!h, !routing, !w) -> !r {
  ^bb0(%0: !h, %1: !routing, %2: !w):
    %3 = moe.grouped_matmul %0, %2, %1 : !h, !w, !routing
    moe.yield %3 : !r
  }
  %d:2 = moe.kernel "rows" "back"(%dy, %route, %choices, %c) : (!t, !routing, !k, !r) -> (!r, !n) {
  ^bb0(%0: !t, %1: !routing, %2: !k, %3: !r):
    %4 = moe.dispatch %0, %1 : !t, !routing
    %5 = moe.row_weights %2, %1 : !k, !routing
    %6 = moe.mul %4, %5 : !r, tensor<32x1xf32>
    %7 = moe.mul %4, %3 : !r, !r
    %8 = moe.reduce sum %7 axis 1 : !r
    moe.yield %6, %8 : !r, !n
  }
  %g = moe.kernel "weight_grad" "down"(%d#0, %hidden, %route) : (!r, !h, !routing) -> !w {
  ^bb0(%0: !r, %1: !h, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !r, !h, !routing
    moe.yield %3 : !w
  }
  %m = moe.kernel "expert_mid" "back"(%d#0, %route, %w) : (!r, !routing, !w) -> !h {
  ^bb0(%0: !r, %1: !routing, %2: !w):
    %3 = moe.transpose %2 [0, 2, 1] : !w
    %4 = moe.grouped_matmul %0, %3, %1 : !r, !v, !routing
    moe.yield %4 : !h
  }
  return %d#1, %m, %g : !n, !h, !w
}

// -----

// Elementwise kernels behind the product are parts of the way, as those of gated experts, whatever order they stand in.
!t = tensor<16x32xf32>
!k = tensor<16x2xf32>
!h = tensor<32x64xf32>
!r = tensor<32x32xf32>
!w = tensor<4x32x64xf32>
!v = tensor<4x64x32xf32>
!routing = !moe.routing<4 experts, "16" tokens, 2 choices>

// CHECK-LABEL: func.func @train_step
// CHECK-NEXT: moe.kernel "layer_grad" "back"
// CHECK-NOT: moe.kernel
// CHECK: return
func.func @train_step(%x: !t, %dy: !t, %route: !routing, %choices: !k, %hidden: !h, %gate: !h, %up: !h, %w: !w) -> (!w, !v, !v) {
  %d = moe.kernel "rows" "back"(%dy, %route, %choices) : (!t, !routing, !k) -> !r {
  ^bb0(%0: !t, %1: !routing, %2: !k):
    %3 = moe.dispatch %0, %1 : !t, !routing
    %4 = moe.row_weights %2, %1 : !k, !routing
    %5 = moe.mul %3, %4 : !r, tensor<32x1xf32>
    moe.yield %5 : !r
  }
  %m = moe.kernel "expert_mid" "back"(%d, %route, %w) : (!r, !routing, !w) -> !h {
  ^bb0(%0: !r, %1: !routing, %2: !w):
    %3 = moe.transpose %2 [0, 2, 1] : !w
    %4 = moe.grouped_matmul %0, %3, %1 : !r, !v, !routing
    moe.yield %4 : !h
  }
  %a = moe.kernel "rows" "way.gate"(%m, %gate, %route) : (!h, !h, !routing) -> !h {
  ^bb0(%0: !h, %1: !h, %2: !routing):
    %3 = moe.mul %0, %1 : !h, !h
    moe.yield %3 : !h
  }
  %b = moe.kernel "rows" "way.up"(%m, %up, %a, %route) : (!h, !h, !h, !routing) -> !h {
  ^bb0(%0: !h, %1: !h, %2: !h, %3: !routing):
    %4 = moe.mul %0, %1 : !h, !h
    %5 = moe.mul %4, %2 : !h, !h
    moe.yield %5 : !h
  }
  %rows = moe.kernel "rows" "x"(%x, %route) : (!t, !routing) -> !r {
  ^bb0(%0: !t, %1: !routing):
    %2 = moe.dispatch %0, %1 : !t, !routing
    moe.yield %2 : !r
  }
  %gb = moe.kernel "weight_grad" "up"(%b, %rows, %route) : (!h, !r, !routing) -> !v {
  ^bb0(%0: !h, %1: !r, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !h, !r, !routing
    moe.yield %3 : !v
  }
  %ga = moe.kernel "weight_grad" "gate"(%a, %rows, %route) : (!h, !r, !routing) -> !v {
  ^bb0(%0: !h, %1: !r, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !h, !r, !routing
    moe.yield %3 : !v
  }
  %g = moe.kernel "weight_grad" "down"(%d, %hidden, %route) : (!r, !h, !routing) -> !w {
  ^bb0(%0: !r, %1: !h, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !r, !h, !routing
    moe.yield %3 : !w
  }
  return %g, %ga, %gb : !w, !v, !v
}

// -----

// A schedule by hand would be lost.
// CHECK-LABEL: func.func @train_step
// CHECK: reason "not one launch with its experts' gradients: one of its kernels has a schedule already"
// CHECK: moe.kernel "weight_grad" "down"{{.*}} schedule {by = "hand"}
// CHECK-NOT: layer_grad
!t = tensor<16x32xf32>
!k = tensor<16x2xf32>
!h = tensor<32x64xf32>
!r = tensor<32x32xf32>
!n = tensor<32xf32>
!w = tensor<4x32x64xf32>
!v = tensor<4x64x32xf32>
!b = tensor<4x32xf32>
!c = tensor<4x64xf32>
!routing = !moe.routing<4 experts, "16" tokens, 2 choices>

func.func @train_step(%x: !t, %dy: !t, %route: !routing, %choices: !k, %hidden: !h, %before: !h, %w: !w, %bias: !b) -> (!n, !h, !w, !b, !v, !c) {
  %o = moe.kernel "expert_mid" "combined"(%hidden, %route, %w) : (!h, !routing, !w) -> !r {
  ^bb0(%0: !h, %1: !routing, %2: !w):
    %3 = moe.grouped_matmul %0, %2, %1 : !h, !w, !routing
    moe.yield %3 : !r
  }
  %c = moe.kernel "rows" "again"(%o, %bias, %route) : (!r, !b, !routing) -> !r {
  ^bb0(%0: !r, %1: !b, %2: !routing):
    %3 = moe.expert_rows %1, %2 : !b, !routing
    %4 = moe.add %0, %3 : !r, !r
    moe.yield %4 : !r
  }
  %d:2 = moe.kernel "rows" "back"(%dy, %route, %choices, %c) : (!t, !routing, !k, !r) -> (!r, !n) {
  ^bb0(%0: !t, %1: !routing, %2: !k, %3: !r):
    %4 = moe.dispatch %0, %1 : !t, !routing
    %5 = moe.row_weights %2, %1 : !k, !routing
    %6 = moe.mul %4, %5 : !r, tensor<32x1xf32>
    %7 = moe.mul %4, %3 : !r, !r
    %8 = moe.reduce sum %7 axis 1 : !r
    moe.yield %6, %8 : !r, !n
  }
  %n = moe.kernel "loops" "behind"(%d#1) : (!n) -> !n {
  ^bb0(%0: !n):
    %1 = moe.neg %0 : !n
    moe.yield %1 : !n
  }
  %g:2 = moe.kernel "weight_grad" "down"(%d#0, %hidden, %route) : (!r, !h, !routing) -> (!w, !b) schedule {by = "hand"} {
  ^bb0(%0: !r, %1: !h, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !r, !h, !routing
    %4 = moe.expert_sums %0, %2 : !r, !routing
    moe.yield %3, %4 : !w, !b
  }
  %m = moe.kernel "expert_mid" "back"(%d#0, %route, %w, %before) : (!r, !routing, !w, !h) -> !h {
  ^bb0(%0: !r, %1: !routing, %2: !w, %3: !h):
    %4 = moe.transpose %2 [0, 2, 1] : !w
    %5 = moe.grouped_matmul %0, %4, %1 : !r, !v, !routing
    %6 = moe.gelu_grad %3 : !h
    %7 = moe.mul %5, %6 : !h, !h
    moe.yield %7 : !h
  }
  %rows = moe.kernel "rows" "x"(%x, %route) : (!t, !routing) -> !r {
  ^bb0(%0: !t, %1: !routing):
    %2 = moe.dispatch %0, %1 : !t, !routing
    moe.yield %2 : !r
  }
  %u:2 = moe.kernel "weight_grad" "up"(%m, %rows, %route) : (!h, !r, !routing) -> (!v, !c) {
  ^bb0(%0: !h, %1: !r, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !h, !r, !routing
    %4 = moe.expert_sums %0, %2 : !h, !routing
    moe.yield %3, %4 : !v, !c
  }
  return %n, %m, %g#0, %g#1, %u#0, %u#1 : !n, !h, !w, !b, !v, !c
}

// -----

// Sums of each block as large as an expert's gradients would be many, and each block would look for itself through all experts.
// CHECK-LABEL: func.func @train_step
// CHECK: not one launch with its experts' gradients: the experts' weights and gradients are 1536 KiB: more than the 256 KiB that stay in the cache
// CHECK-NOT: layer_grad
!t = tensor<16x32xf32>
!k = tensor<16x2xf32>
!h = tensor<32x64xf32>
!r = tensor<32x32xf32>
!n = tensor<32xf32>
!w = tensor<64x32x64xf32>
!v = tensor<64x64x32xf32>
!b = tensor<64x32xf32>
!c = tensor<64x64xf32>
!routing = !moe.routing<64 experts, "16" tokens, 2 choices>

func.func @train_step(%x: !t, %dy: !t, %route: !routing, %choices: !k, %hidden: !h, %before: !h, %w: !w, %bias: !b) -> (!n, !h, !w, !b, !v, !c) {
  %o = moe.kernel "expert_mid" "combined"(%hidden, %route, %w) : (!h, !routing, !w) -> !r {
  ^bb0(%0: !h, %1: !routing, %2: !w):
    %3 = moe.grouped_matmul %0, %2, %1 : !h, !w, !routing
    moe.yield %3 : !r
  }
  %c = moe.kernel "rows" "again"(%o, %bias, %route) : (!r, !b, !routing) -> !r {
  ^bb0(%0: !r, %1: !b, %2: !routing):
    %3 = moe.expert_rows %1, %2 : !b, !routing
    %4 = moe.add %0, %3 : !r, !r
    moe.yield %4 : !r
  }
  %d:2 = moe.kernel "rows" "back"(%dy, %route, %choices, %c) : (!t, !routing, !k, !r) -> (!r, !n) {
  ^bb0(%0: !t, %1: !routing, %2: !k, %3: !r):
    %4 = moe.dispatch %0, %1 : !t, !routing
    %5 = moe.row_weights %2, %1 : !k, !routing
    %6 = moe.mul %4, %5 : !r, tensor<32x1xf32>
    %7 = moe.mul %4, %3 : !r, !r
    %8 = moe.reduce sum %7 axis 1 : !r
    moe.yield %6, %8 : !r, !n
  }
  %n = moe.kernel "loops" "behind"(%d#1) : (!n) -> !n {
  ^bb0(%0: !n):
    %1 = moe.neg %0 : !n
    moe.yield %1 : !n
  }
  %g:2 = moe.kernel "weight_grad" "down"(%d#0, %hidden, %route) : (!r, !h, !routing) -> (!w, !b) {
  ^bb0(%0: !r, %1: !h, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !r, !h, !routing
    %4 = moe.expert_sums %0, %2 : !r, !routing
    moe.yield %3, %4 : !w, !b
  }
  %m = moe.kernel "expert_mid" "back"(%d#0, %route, %w, %before) : (!r, !routing, !w, !h) -> !h {
  ^bb0(%0: !r, %1: !routing, %2: !w, %3: !h):
    %4 = moe.transpose %2 [0, 2, 1] : !w
    %5 = moe.grouped_matmul %0, %4, %1 : !r, !v, !routing
    %6 = moe.gelu_grad %3 : !h
    %7 = moe.mul %5, %6 : !h, !h
    moe.yield %7 : !h
  }
  %rows = moe.kernel "rows" "x"(%x, %route) : (!t, !routing) -> !r {
  ^bb0(%0: !t, %1: !routing):
    %2 = moe.dispatch %0, %1 : !t, !routing
    moe.yield %2 : !r
  }
  %u:2 = moe.kernel "weight_grad" "up"(%m, %rows, %route) : (!h, !r, !routing) -> (!v, !c) {
  ^bb0(%0: !h, %1: !r, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !h, !r, !routing
    %4 = moe.expert_sums %0, %2 : !h, !routing
    moe.yield %3, %4 : !v, !c
  }
  return %n, %m, %g#0, %g#1, %u#0, %u#1 : !n, !h, !w, !b, !v, !c
}

// -----

// Hidden rows that their kernel makes of what the way back reads in any case are made again.
!t = tensor<16x32xf32>
!k = tensor<16x2xf32>
!h = tensor<32x64xf32>
!r = tensor<32x32xf32>
!w = tensor<4x32x64xf32>
!v = tensor<4x64x32xf32>
!routing = !moe.routing<4 experts, "16" tokens, 2 choices>

// CHECK-LABEL: func.func @train_step
// CHECK: %[[UP:.*]]:2 = moe.kernel "expert_up"
// CHECK: moe.kernel "layer_grad" "back"(%{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %[[UP]]#0)
// CHECK: moe.gelu %
// CHECK: moe.gelu_grad %
// CHECK: return
func.func @train_step(%x: !t, %dy: !t, %route: !routing, %choices: !k, %up: !v, %w: !w) -> (!h, !h, !w) {
  %before, %hidden = moe.kernel "expert_up" "up"(%x, %up, %route) : (!t, !v, !routing) -> (!h, !h) {
  ^bb0(%0: !t, %1: !v, %2: !routing):
    %3 = moe.dispatch %0, %2 : !t, !routing
    %4 = moe.grouped_matmul %3, %1, %2 : !r, !v, !routing
    %5 = moe.gelu %4 : !h
    moe.yield %4, %5 : !h, !h
  }
  %d = moe.kernel "rows" "back"(%dy, %route, %choices) : (!t, !routing, !k) -> !r {
  ^bb0(%0: !t, %1: !routing, %2: !k):
    %3 = moe.dispatch %0, %1 : !t, !routing
    %4 = moe.row_weights %2, %1 : !k, !routing
    %5 = moe.mul %3, %4 : !r, tensor<32x1xf32>
    moe.yield %5 : !r
  }
  %g = moe.kernel "weight_grad" "down"(%d, %hidden, %route) : (!r, !h, !routing) -> !w {
  ^bb0(%0: !r, %1: !h, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !r, !h, !routing
    moe.yield %3 : !w
  }
  %m = moe.kernel "expert_mid" "back"(%d, %route, %w, %before) : (!r, !routing, !w, !h) -> !h {
  ^bb0(%0: !r, %1: !routing, %2: !w, %3: !h):
    %4 = moe.transpose %2 [0, 2, 1] : !w
    %5 = moe.grouped_matmul %0, %4, %1 : !r, !v, !routing
    %6 = moe.gelu_grad %3 : !h
    %7 = moe.mul %5, %6 : !h, !h
    moe.yield %7 : !h
  }
  return %hidden, %m, %g : !h, !h, !w
}

// -----

// The kernel in the middle makes the hidden rows, too: they go with it.
!t = tensor<16x32xf32>
!k = tensor<16x2xf32>
!h = tensor<32x64xf32>
!r = tensor<32x32xf32>
!w = tensor<4x32x64xf32>
!v = tensor<4x64x32xf32>
!routing = !moe.routing<4 experts, "16" tokens, 2 choices>

// CHECK-LABEL: func.func @train_step
// CHECK-NEXT: moe.kernel "layer_grad" "back"
// CHECK-NOT: moe.kernel
// CHECK: return
// CUDA-LABEL: func.func @train_step
// CUDA-NOT: layer_grad
func.func @train_step(%x: !t, %dy: !t, %route: !routing, %choices: !k, %before: !h, %w: !w) -> (!w, !v) {
  %d = moe.kernel "rows" "back"(%dy, %route, %choices) : (!t, !routing, !k) -> !r {
  ^bb0(%0: !t, %1: !routing, %2: !k):
    %4 = moe.dispatch %0, %1 : !t, !routing
    %5 = moe.row_weights %2, %1 : !k, !routing
    %6 = moe.mul %4, %5 : !r, tensor<32x1xf32>
    moe.yield %6 : !r
  }
  %m:2 = moe.kernel "expert_mid" "back"(%d, %route, %w, %before) : (!r, !routing, !w, !h) -> (!h, !h) {
  ^bb0(%0: !r, %1: !routing, %2: !w, %3: !h):
    %4 = moe.transpose %2 [0, 2, 1] : !w
    %5 = moe.grouped_matmul %0, %4, %1 : !r, !v, !routing
    %6 = moe.gelu_grad %3 : !h
    %7 = moe.mul %5, %6 : !h, !h
    %8 = moe.gelu %3 : !h
    moe.yield %7, %8 : !h, !h
  }
  %g = moe.kernel "weight_grad" "down"(%d, %m#1, %route) : (!r, !h, !routing) -> !w {
  ^bb0(%0: !r, %1: !h, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !r, !h, !routing
    moe.yield %3 : !w
  }
  %rows = moe.kernel "rows" "x"(%x, %route) : (!t, !routing) -> !r {
  ^bb0(%0: !t, %1: !routing):
    %2 = moe.dispatch %0, %1 : !t, !routing
    moe.yield %2 : !r
  }
  %u = moe.kernel "weight_grad" "up"(%m#0, %rows, %route) : (!h, !r, !routing) -> !v {
  ^bb0(%0: !h, %1: !r, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !h, !r, !routing
    moe.yield %3 : !v
  }
  return %g, %u : !w, !v
}

// -----

// A kernel behind the product makes the hidden rows of what the middle yields: that is no input, it is made again.
!t = tensor<16x32xf32>
!k = tensor<16x2xf32>
!h = tensor<32x64xf32>
!r = tensor<32x32xf32>
!w = tensor<4x32x64xf32>
!v = tensor<4x64x32xf32>
!routing = !moe.routing<4 experts, "16" tokens, 2 choices>

// CHECK-LABEL: func.func @train_step
// CHECK-NEXT: moe.kernel "layer_grad" "back"(%arg2, %arg1, %arg3, %arg6, %arg4, %arg5, %arg0)
// CHECK: moe.silu
// CHECK-NOT: moe.kernel
// CHECK: return
func.func @train_step(%x: !t, %dy: !t, %route: !routing, %choices: !k, %gate: !h, %up: !h, %w: !w) -> (!w, !v) {
  %d = moe.kernel "rows" "back"(%dy, %route, %choices) : (!t, !routing, !k) -> !r {
  ^bb0(%0: !t, %1: !routing, %2: !k):
    %3 = moe.dispatch %0, %1 : !t, !routing
    %4 = moe.row_weights %2, %1 : !k, !routing
    %5 = moe.mul %3, %4 : !r, tensor<32x1xf32>
    moe.yield %5 : !r
  }
  %m:2 = moe.kernel "expert_mid" "back"(%d, %route, %w, %gate) : (!r, !routing, !w, !h) -> (!h, !h) {
  ^bb0(%0: !r, %1: !routing, %2: !w, %g0: !h):
    %3 = moe.transpose %2 [0, 2, 1] : !w
    %4 = moe.grouped_matmul %0, %3, %1 : !r, !v, !routing
    %5 = moe.silu %g0 : !h
    moe.yield %4, %5 : !h, !h
  }
  %s:2 = moe.kernel "rows" "way"(%m#0, %m#1, %up, %route) : (!h, !h, !h, !routing) -> (!h, !h) {
  ^bb0(%0: !h, %1: !h, %2: !h, %3: !routing):
    %4 = moe.mul %1, %2 : !h, !h
    %5 = moe.mul %0, %2 : !h, !h
    moe.yield %4, %5 : !h, !h
  }
  %rows = moe.kernel "rows" "x"(%x, %route) : (!t, !routing) -> !r {
  ^bb0(%0: !t, %1: !routing):
    %2 = moe.dispatch %0, %1 : !t, !routing
    moe.yield %2 : !r
  }
  %gb = moe.kernel "weight_grad" "up"(%m#0, %rows, %route) : (!h, !r, !routing) -> !v {
  ^bb0(%0: !h, %1: !r, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !h, !r, !routing
    moe.yield %3 : !v
  }
  %g = moe.kernel "weight_grad" "down"(%d, %s#0, %route) : (!r, !h, !routing) -> !w {
  ^bb0(%0: !r, %1: !h, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !r, !h, !routing
    moe.yield %3 : !w
  }
  return %g, %gb : !w, !v
}

// -----

// The middle makes the hidden rows, and a kernel behind it reads them.
!t = tensor<16x32xf32>
!k = tensor<16x2xf32>
!h = tensor<32x64xf32>
!r = tensor<32x32xf32>
!w = tensor<4x32x64xf32>
!v = tensor<4x64x32xf32>
!routing = !moe.routing<4 experts, "16" tokens, 2 choices>

// CHECK-LABEL: func.func @train_step
// CHECK-NEXT: moe.kernel "layer_grad" "back"(%arg2, %arg1, %arg3, %arg6, %arg4, %arg0)
// CHECK: moe.silu
// CHECK-NOT: moe.kernel
// CHECK: return
func.func @train_step(%x: !t, %dy: !t, %route: !routing, %choices: !k, %gate: !h, %up: !h, %w: !w) -> (!w, !v) {
  %d = moe.kernel "rows" "back"(%dy, %route, %choices) : (!t, !routing, !k) -> !r {
  ^bb0(%0: !t, %1: !routing, %2: !k):
    %3 = moe.dispatch %0, %1 : !t, !routing
    %4 = moe.row_weights %2, %1 : !k, !routing
    %5 = moe.mul %3, %4 : !r, tensor<32x1xf32>
    moe.yield %5 : !r
  }
  %m:2 = moe.kernel "expert_mid" "back"(%d, %route, %w, %gate) : (!r, !routing, !w, !h) -> (!h, !h) {
  ^bb0(%0: !r, %1: !routing, %2: !w, %g0: !h):
    %3 = moe.transpose %2 [0, 2, 1] : !w
    %4 = moe.grouped_matmul %0, %3, %1 : !r, !v, !routing
    %5 = moe.silu %g0 : !h
    moe.yield %4, %5 : !h, !h
  }
  %s:2 = moe.kernel "rows" "way"(%m#0, %m#1, %up, %route) : (!h, !h, !h, !routing) -> (!h, !h) {
  ^bb0(%0: !h, %1: !h, %2: !h, %3: !routing):
    %5 = moe.mul %0, %1 : !h, !h
    moe.yield %5, %5 : !h, !h
  }
  %rows = moe.kernel "rows" "x"(%x, %route) : (!t, !routing) -> !r {
  ^bb0(%0: !t, %1: !routing):
    %2 = moe.dispatch %0, %1 : !t, !routing
    moe.yield %2 : !r
  }
  %gb = moe.kernel "weight_grad" "up"(%m#0, %rows, %route) : (!h, !r, !routing) -> !v {
  ^bb0(%0: !h, %1: !r, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !h, !r, !routing
    moe.yield %3 : !v
  }
  %g = moe.kernel "weight_grad" "down"(%d, %m#1, %route) : (!r, !h, !routing) -> !w {
  ^bb0(%0: !r, %1: !h, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !r, !h, !routing
    moe.yield %3 : !w
  }
  return %g, %gb : !w, !v
}

// -----

// The middle makes the hidden rows of a bias, too, which is not made again: the parts stay.
!t = tensor<16x32xf32>
!k = tensor<16x2xf32>
!h = tensor<32x64xf32>
!r = tensor<32x32xf32>
!w = tensor<4x32x64xf32>
!v = tensor<4x64x32xf32>
!b = tensor<4x64xf32>
!routing = !moe.routing<4 experts, "16" tokens, 2 choices>

// CHECK-LABEL: func.func @train_step
// CHECK: reason "not one launch with its experts' gradients: its hidden rows are made on the way back of more than it reads"
// CHECK-NOT: layer_grad
// CHECK: return
func.func @train_step(%x: !t, %dy: !t, %route: !routing, %choices: !k, %gate: !h, %up: !h, %w: !w, %bb: !b) -> (!w, !v) {
  %d = moe.kernel "rows" "back"(%dy, %route, %choices) : (!t, !routing, !k) -> !r {
  ^bb0(%0: !t, %1: !routing, %2: !k):
    %3 = moe.dispatch %0, %1 : !t, !routing
    %4 = moe.row_weights %2, %1 : !k, !routing
    %5 = moe.mul %3, %4 : !r, tensor<32x1xf32>
    moe.yield %5 : !r
  }
  %m:2 = moe.kernel "expert_mid" "back"(%d, %route, %w, %gate, %bb) : (!r, !routing, !w, !h, !b) -> (!h, !h) {
  ^bb0(%0: !r, %1: !routing, %2: !w, %g0: !h, %b0: !b):
    %3 = moe.transpose %2 [0, 2, 1] : !w
    %4 = moe.grouped_matmul %0, %3, %1 : !r, !v, !routing
    %6 = moe.expert_rows %b0, %1 : !b, !routing
    %7 = moe.add %g0, %6 : !h, !h
    %5 = moe.silu %7 : !h
    moe.yield %4, %5 : !h, !h
  }
  %rows = moe.kernel "rows" "x"(%x, %route) : (!t, !routing) -> !r {
  ^bb0(%0: !t, %1: !routing):
    %2 = moe.dispatch %0, %1 : !t, !routing
    moe.yield %2 : !r
  }
  %gb = moe.kernel "weight_grad" "up"(%m#0, %rows, %route) : (!h, !r, !routing) -> !v {
  ^bb0(%0: !h, %1: !r, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !h, !r, !routing
    moe.yield %3 : !v
  }
  %g = moe.kernel "weight_grad" "down"(%d, %m#1, %route) : (!r, !h, !routing) -> !w {
  ^bb0(%0: !r, %1: !h, %2: !routing):
    %3 = moe.grouped_weight_grad %0, %1, %2 : !r, !h, !routing
    moe.yield %3 : !w
  }
  return %g, %gb : !w, !v
}
