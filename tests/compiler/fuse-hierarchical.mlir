// Two levels of a MoE layer: a gate each, the inner one with the importances of the outer one's rows; the rows stand in memory for the inner dispatch, and
// the scores of the inner gate gather for themselves.
// RUN: moec-opt %s -moe-sink-reshapes -moe-fuse-gates -moe-fuse-experts -moe-fuse-matmuls -moe-fuse-rows -moe-fuse-loops | FileCheck %s

!t = tensor<24x32xf32>
!r = tensor<48x32xf32>
!outer = !moe.routing<3 experts, "24" tokens, 2 choices>
!inner = !moe.routing<12 experts, "48" tokens, 2 choices>

// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "gate"
// CHECK: moe.matmul
// CHECK: moe.softmax
// CHECK: moe.select
// CHECK: moe.assign
// CHECK-SAME: groups "2"
// CHECK: moe.kernel "rows"
// CHECK-NEXT: ^bb0
// CHECK-NEXT: moe.dispatch
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "expert_up"
// CHECK: moe.dispatch
// CHECK: moe.grouped_matmul
// CHECK: moe.kernel "gate"
// CHECK-DAG: moe.softmax
// CHECK-DAG: moe.row_weights
// CHECK: moe.assign
// CHECK-SAME: keep
// CHECK-SAME: within
// CHECK: moe.kernel "expert_up"
// CHECK: moe.kernel "expert_down"
// CHECK: moe.combine
// CHECK: moe.kernel "rows"
// CHECK-NEXT: ^bb0
// CHECK-NEXT: moe.combine
// CHECK-NOT: moe.kernel
func.func @forward(%x: !t, %gw: tensor<3x32xf32>, %iw: tensor<3x4x32xf32>, %up: tensor<12x64x32xf32>, %down: tensor<12x32x64xf32>) -> !t {
  %s = moe.matmul %x, %gw : !t, tensor<3x32xf32>
  %p = moe.softmax %s : tensor<24x3xf32>
  %w, %i = moe.select %p k 2 : tensor<24x3xf32>
  %o = moe.assign %i experts 3 choice_major capacity "9" groups "2" : tensor<24x2xi32>
  %rows = moe.dispatch %x, %o : !t, !outer
  %is = moe.grouped_matmul %rows, %iw, %o : !r, tensor<3x4x32xf32>, !outer
  %ip = moe.softmax %is : tensor<48x4xf32>
  %v, %j = moe.select %ip k 2 : tensor<48x4xf32>
  %m = moe.row_weights %w, %o : tensor<24x2xf32>, !outer
  %k = moe.compare lt %v, %m : tensor<48x2xf32>, tensor<48x1xf32>
  %n = moe.assign %j keep %k : tensor<48x2xi1> within %o : !outer experts 12 choice_major capacity "4" groups "2" : tensor<48x2xi32>
  %d = moe.dispatch %rows, %n : !r, !inner
  %u = moe.grouped_matmul %d, %up, %n : tensor<96x32xf32>, tensor<12x64x32xf32>, !inner
  %a = moe.leaky_relu %u slope 1.0e-2 : tensor<96x64xf32>
  %y = moe.grouped_matmul %a, %down, %n : tensor<96x64xf32>, tensor<12x32x64xf32>, !inner
  %c = moe.combine %y, %n, %v : tensor<96x32xf32>, !inner, tensor<48x2xf32>
  %z = moe.combine %c, %o, %w : !r, !outer, tensor<24x2xf32>
  return %z : !t
}
