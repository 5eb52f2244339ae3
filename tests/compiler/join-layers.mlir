// The kernels of a MoE layer become one: for a GPU, where one block does all of it sooner than launches follow each other; for a CPU, where the weights that each
// block of tokens reads stay in the cache. Else the gate says why not.
// RUN: moec-opt %s --split-input-file -moe-fuse-gates -moe-fuse-experts -moe-join-layers=target=cuda:sm_90a | FileCheck %s
// RUN: moec-opt %s --split-input-file -moe-fuse-gates -moe-fuse-experts -moe-join-layers=target=cpu:x86-64-v3 | FileCheck %s --check-prefix=CPU

!t = tensor<16x32xf32>
!k = tensor<16x2xf32>
!h = tensor<32x64xf32>
!r = tensor<32x32xf32>
!routing = !moe.routing<4 experts, "16" tokens, 2 choices>

// CHECK-LABEL: func.func @forward
// CHECK-NEXT: %[[LAYER:.*]]:2 = moe.kernel "moe_layer" {{.*}} reason "its result is an output; one launch: one block would take about {{[0-9.]+}} us for 16 tokens, 5 launches about {{[0-9.]+}} us"
// CHECK-NEXT: ^bb0
// CHECK-NEXT: moe.matmul
// CHECK-NEXT: moe.select
// CHECK-NEXT: moe.softmax
// CHECK-NEXT: moe.assign
// CHECK-NEXT: moe.dispatch
// CHECK-NEXT: moe.grouped_matmul
// CHECK-NEXT: moe.gelu
// CHECK-NEXT: moe.grouped_matmul
// CHECK-NEXT: moe.combine
// CHECK-NEXT: moe.add
// CHECK-NEXT: moe.yield
// CHECK-NEXT: }
// CHECK-NEXT: return %[[LAYER]]#1, %[[LAYER]]#0
// CPU-LABEL: func.func @forward
// CPU-NEXT: %[[LAYER:.*]]:2 = moe.kernel "moe_layer" {{.*}} reason "its result is an output; one launch: blocks of 16 tokens read all experts' weights, 64 KiB, in the cache"
// CPU-NOT: moe.kernel
// CPU: return %[[LAYER]]#1, %[[LAYER]]#0
func.func @forward(%x: !t, %gw: tensor<4x32xf32>, %up: tensor<4x64x32xf32>, %down: tensor<4x32x64xf32>) -> (!t, !k) {
  %s = moe.matmul %x, %gw : !t, tensor<4x32xf32>
  %v, %i = moe.select %s k 2 : tensor<16x4xf32>
  %w = moe.softmax %v : !k
  %route = moe.assign %i experts 4 token_major : tensor<16x2xi32>
  %d = moe.dispatch %x, %route : !t, !routing
  %u = moe.grouped_matmul %d, %up, %route : !r, tensor<4x64x32xf32>, !routing
  %act = moe.gelu %u : !h
  %o = moe.grouped_matmul %act, %down, %route : !h, tensor<4x32x64xf32>, !routing
  %c = moe.combine %o, %route, %w : !r, !routing, !k
  %y = moe.add %c, %x : !t, !t
  return %y, %w : !t, !k
}

// -----

// A count of tokens that only a call knows.
!t = tensor<?x32xf32, #moe.sizes<"n", "32">>
!routing = !moe.routing<4 experts, "n" tokens, 1 choices>

// CHECK-LABEL: func.func @forward
// CHECK-NEXT: moe.kernel "gate"
// CHECK-SAME: reason "the experts need the whole routing; not one launch with its experts: it routes n tokens: a moe_layer needs a count that is known at compile time"
// CHECK: moe.kernel "expert_down"
// CHECK-NOT: moe.kernel
// CPU-LABEL: func.func @forward
// CPU-NEXT: moe.kernel "moe_layer"
// CPU-NOT: moe.kernel
// CPU: return
func.func @forward(%x: !t, %gw: tensor<4x32xf32>, %one: tensor<4x32x32xf32>) -> !t {
  %s = moe.matmul %x, %gw : !t, tensor<4x32xf32>
  %v, %i = moe.select %s k 1 : tensor<?x4xf32, #moe.sizes<"n", "4">>
  %route = moe.assign %i experts 4 token_major : tensor<?x1xi32, #moe.sizes<"n", "1">>
  %d = moe.dispatch %x, %route : !t, !routing
  %o = moe.grouped_matmul %d, %one, %route : tensor<?x32xf32, #moe.sizes<"n", "32">>, tensor<4x32x32xf32>, !routing
  %c = moe.combine %o, %route, %v : tensor<?x32xf32, #moe.sizes<"n", "32">>, !routing, tensor<?x1xf32, #moe.sizes<"n", "1">>
  return %c : !t
}

// -----

// More work than one block does in the time, though the routing fits it; and weights that fit no CPU's cache.
!t = tensor<512x512xf32>
!routing = !moe.routing<4 experts, "512" tokens, 1 choices>

// CHECK-LABEL: func.func @forward
// CHECK-NEXT: moe.kernel "gate"
// CHECK-SAME: not one launch with its experts: one block would take about {{[0-9.]+}} us for 512 tokens, 4 launches about {{[0-9.]+}} us
// CHECK: moe.kernel "expert_down"
// CPU-LABEL: func.func @forward
// CPU-NEXT: moe.kernel "gate"
// CPU-SAME: not one launch with its experts: blocks of {{[0-9]+}} tokens read all experts' weights, 4096 KiB: more than the 256 KiB that stay in the cache
// CPU: moe.kernel "expert_down"
func.func @forward(%x: !t, %gw: tensor<4x512xf32>, %one: tensor<4x512x512xf32>) -> !t {
  %s = moe.matmul %x, %gw : !t, tensor<4x512xf32>
  %v, %i = moe.select %s k 1 : tensor<512x4xf32>
  %route = moe.assign %i experts 4 token_major : tensor<512x1xi32>
  %d = moe.dispatch %x, %route : !t, !routing
  %o = moe.grouped_matmul %d, %one, %route : !t, tensor<4x512x512xf32>, !routing
  %c = moe.combine %o, %route, %v : !t, !routing, tensor<512x1xf32>
  return %c : !t
}

// -----

// Capacities count the rows of the whole call: a GPU's one block does, a CPU counts in a stage in front.
!t = tensor<16x32xf32>
!routing = !moe.routing<4 experts, "16" tokens, 1 choices>

// CHECK-LABEL: func.func @forward
// CHECK-NEXT: moe.kernel "moe_layer"
// CPU-LABEL: func.func @forward
// CPU-NEXT: moe.kernel "moe_layer"
// CPU-NOT: moe.kernel
// CPU: return
func.func @forward(%x: !t, %gw: tensor<4x32xf32>, %one: tensor<4x32x32xf32>) -> !t {
  %s = moe.matmul %x, %gw : !t, tensor<4x32xf32>
  %v, %i = moe.select %s k 1 : tensor<16x4xf32>
  %route = moe.assign %i experts 4 token_major capacity "5" : tensor<16x1xi32>
  %d = moe.dispatch %x, %route : !t, !routing
  %o = moe.grouped_matmul %d, %one, %route : !t, tensor<4x32x32xf32>, !routing
  %c = moe.combine %o, %route, %v : !t, !routing, tensor<16x1xf32>
  return %c : !t
}

// -----

// Weights that another kernel makes between the gate and the experts, and a kernel that has a schedule.
!t = tensor<8x8xf32>
!k = tensor<8x1xf32>
!i = tensor<8x1xi32>
!routing = !moe.routing<2 experts, "8" tokens, 1 choices>

// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "gate"
// CHECK-SAME: reason "r; not one launch with its experts: a rows kernel stands between its parts"
// CHECK: moe.kernel "rows"
// CHECK: moe.kernel "gate"
// CHECK-SAME: reason "not one launch with its experts: its expert_down kernel has a schedule already"
// CHECK-NOT: moe_layer
// CPU-LABEL: func.func @forward
func.func @forward(%x: !t, %i: !i, %one: tensor<2x8x8xf32>) -> (!t, !t) {
  %route, %w = moe.kernel "gate" "g" (%i, %x) : (!i, !t) -> (!routing, !k) reason "r" {
  ^bb0(%a: !i, %b: !t):
    %r = moe.assign %a experts 2 token_major : !i
    %s = moe.slice %b axis 1 from "0" size "1" : !t
    moe.yield %r, %s : !routing, !k
  }
  %n = moe.kernel "rows" "n" (%w) : (!k) -> !k {
  ^bb0(%a: !k):
    %r = moe.neg %a : !k
    moe.yield %r : !k
  }
  %y = moe.kernel "expert_down" "d" (%x, %route, %one, %n) : (!t, !routing, tensor<2x8x8xf32>, !k) -> !t {
  ^bb0(%a: !t, %b: !routing, %c: tensor<2x8x8xf32>, %e: !k):
    %d = moe.dispatch %a, %b : !t, !routing
    %o = moe.grouped_matmul %d, %c, %b : !t, tensor<2x8x8xf32>, !routing
    %r = moe.combine %o, %b, %e : !t, !routing, !k
    moe.yield %r : !t
  }
  %second = moe.kernel "gate" "g" (%i) : (!i) -> !routing {
  ^bb0(%a: !i):
    %r = moe.assign %a experts 2 token_major : !i
    moe.yield %r : !routing
  }
  %z = moe.kernel "expert_down" "d" (%x, %second, %one, %n) : (!t, !routing, tensor<2x8x8xf32>, !k) -> !t schedule {tile_m = 8} {
  ^bb0(%a: !t, %b: !routing, %c: tensor<2x8x8xf32>, %e: !k):
    %d = moe.dispatch %a, %b : !t, !routing
    %o = moe.grouped_matmul %d, %c, %b : !t, tensor<2x8x8xf32>, !routing
    %r = moe.combine %o, %b, %e : !t, !routing, !k
    moe.yield %r : !t
  }
  return %y, %z : !t, !t
}

// -----

// What stands between the parts goes before the gate, or behind the experts where it needs one of them: the order is the same where the layer is one launch and where it is not.
!t = tensor<?x32xf32, #moe.sizes<"n", "32">>
!k = tensor<?x1xf32, #moe.sizes<"n", "1">>
!h = tensor<?x64xf32, #moe.sizes<"n", "64">>
!routing = !moe.routing<4 experts, "n" tokens, 1 choices>

// CHECK-LABEL: func.func @forward
// CHECK-NEXT: moe.tanh
// CHECK-NEXT: moe.kernel "gate"
// CHECK: moe.kernel "expert_up"
// CHECK: moe.kernel "expert_down"
// CHECK: moe.neg
// CHECK-NEXT: return
// CPU-LABEL: func.func @forward
// CPU-NEXT: moe.tanh
// CPU-NEXT: moe.kernel "moe_layer"
// CPU-NOT: moe.kernel
// CPU: moe.neg
// CPU-NEXT: return
func.func @forward(%x: !t, %other: !t, %gw: tensor<4x32xf32>, %up: tensor<4x64x32xf32>, %down: tensor<4x32x64xf32>) -> (!t, !t, !k) {
  %s = moe.matmul %x, %gw : !t, tensor<4x32xf32>
  %v, %i = moe.select %s k 1 : tensor<?x4xf32, #moe.sizes<"n", "4">>
  %w = moe.softmax %v : !k
  %route = moe.assign %i experts 4 token_major : tensor<?x1xi32, #moe.sizes<"n", "1">>
  %n = moe.neg %w : !k
  %d = moe.dispatch %x, %route : !t, !routing
  %u = moe.grouped_matmul %d, %up, %route : !t, tensor<4x64x32xf32>, !routing
  %act = moe.gelu %u : !h
  %z = moe.tanh %other : !t
  %o = moe.grouped_matmul %act, %down, %route : !h, tensor<4x32x64xf32>, !routing
  %c = moe.combine %o, %route, %w : !t, !routing, !k
  return %c, %z, %n : !t, !t, !k
}

// -----

// A step of training: others read the routing, the hidden rows and those in front, and the combine stands by itself. GPUs keep the parts.
!t = tensor<16x32xf32>
!k = tensor<16x2xf32>
!h = tensor<32x64xf32>
!r = tensor<32x32xf32>
!routing = !moe.routing<4 experts, "16" tokens, 2 choices>

// CHECK-LABEL: func.func @train_step
// CHECK-NEXT: moe.kernel "gate"
// CHECK-SAME: not one launch with its experts: it gives its experts' rows away
// CHECK: moe.kernel "expert_up"
// CHECK: moe.kernel "expert_mid"
// CHECK: moe.kernel "rows"
// CPU-LABEL: func.func @train_step
// CPU-NEXT: %[[LAYER:.*]]:4 = moe.kernel "moe_layer"
// CPU-NEXT: ^bb0
// CPU: moe.assign
// CPU: %[[BEFORE:.*]] = moe.grouped_matmul
// CPU-NEXT: %[[HIDDEN:.*]] = moe.gelu %[[BEFORE]]
// CPU: moe.combine
// CPU-NEXT: moe.sub
// CPU-NOT: moe.kernel
// CPU: return
func.func @train_step(%x: !t, %target: !t, %gw: tensor<4x32xf32>, %up: tensor<4x64x32xf32>, %down: tensor<4x32x64xf32>) -> (!routing, !h, !h, !t) {
  %route, %w = moe.kernel "gate" "g" (%x, %gw) : (!t, tensor<4x32xf32>) -> (!routing, !k) {
  ^bb0(%0: !t, %1: tensor<4x32xf32>):
    %s = moe.matmul %0, %1 : !t, tensor<4x32xf32>
    %v, %i = moe.select %s k 2 : tensor<16x4xf32>
    %a = moe.softmax %v : !k
    %r = moe.assign %i experts 4 token_major : tensor<16x2xi32>
    moe.yield %r, %a : !routing, !k
  }
  %before, %hidden = moe.kernel "expert_up" "u" (%x, %route, %up) : (!t, !routing, tensor<4x64x32xf32>) -> (!h, !h) {
  ^bb0(%0: !t, %1: !routing, %2: tensor<4x64x32xf32>):
    %d = moe.dispatch %0, %1 : !t, !routing
    %u = moe.grouped_matmul %d, %2, %1 : !r, tensor<4x64x32xf32>, !routing
    %a = moe.gelu %u : !h
    moe.yield %u, %a : !h, !h
  }
  %rows = moe.kernel "expert_mid" "d" (%hidden, %route, %down) : (!h, !routing, tensor<4x32x64xf32>) -> !r {
  ^bb0(%0: !h, %1: !routing, %2: tensor<4x32x64xf32>):
    %o = moe.grouped_matmul %0, %2, %1 : !h, tensor<4x32x64xf32>, !routing
    moe.yield %o : !r
  }
  %y = moe.kernel "rows" "y" (%rows, %route, %w, %target) : (!r, !routing, !k, !t) -> !t {
  ^bb0(%0: !r, %1: !routing, %2: !k, %3: !t):
    %c = moe.combine %0, %1, %2 : !r, !routing, !k
    %d = moe.sub %c, %3 : !t, !t
    moe.yield %d : !t
  }
  return %route, %before, %hidden, %y : !routing, !h, !h, !t
}
