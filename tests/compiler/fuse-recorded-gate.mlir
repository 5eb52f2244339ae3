// A recorded routing: what a gate chose, its weights and what was kept are results. `kept` stands behind the routing, and the weights need it: both stay outside of
// the gate's kernel, which yields scores and indices beside the routing.
// RUN: moec-opt %s -moe-sink-reshapes -moe-fuse-gates -moe-fuse-experts -moe-fuse-matmuls -moe-fuse-rows -moe-fuse-loops | FileCheck %s

// CHECK-LABEL: func.func @forward
// CHECK: %[[GATE:.*]]:3 = moe.kernel "gate"
// CHECK: moe.matmul
// CHECK: moe.softmax
// CHECK: %[[VALUES:.*]], %[[INDICES:.*]] = moe.select
// CHECK: %[[ROUTING:.*]] = moe.assign %[[INDICES]]
// CHECK-NEXT: moe.yield %[[VALUES]], %[[INDICES]], %[[ROUTING]]
// CHECK: %[[ROWS:.*]] = moe.kernel "rows" ""(%[[GATE]]#2)
// CHECK: moe.row_weights
// CHECK: %[[KEPT:.*]] = moe.kernel "rows" ""(%[[ROWS]], %[[GATE]]#2)
// CHECK: moe.choice_values
// CHECK: %[[WEIGHTS:.*]] = moe.kernel "loops" ""(%[[KEPT]], %[[GATE]]#0)
// CHECK: moe.where
// CHECK: return %[[GATE]]#1, %[[WEIGHTS]], %[[KEPT]]
func.func @forward(%x: tensor<24x32xf32>, %w: tensor<8x32xf32>) -> (tensor<24x2xi32>, tensor<24x2xf32>, tensor<24x2xi1>, tensor<24x32xf32>) {
  %zero = moe.constant dense<0.0> : tensor<1xf32>
  %ones = moe.constant dense<1.0> : tensor<24x2xf32>
  %l = moe.matmul %x, %w : tensor<24x32xf32>, tensor<8x32xf32>
  %s = moe.softmax %l : tensor<24x8xf32>
  %v, %i = moe.select %s k 2 : tensor<24x8xf32>
  %a = moe.assign %i experts 8 token_major capacity "4" : tensor<24x2xi32>
  %r = moe.row_weights %ones, %a : tensor<24x2xf32>, !moe.routing<8 experts, "24" tokens, 2 choices>
  %t = moe.choice_values %r, %a : tensor<48x1xf32>, !moe.routing<8 experts, "24" tokens, 2 choices>
  %k = moe.compare ne %t, %zero : tensor<24x2xf32>, tensor<1xf32>
  %g = moe.where %k, %v, %zero : tensor<24x2xi1>, tensor<24x2xf32>, tensor<1xf32>
  %rows = moe.dispatch %x, %a : tensor<24x32xf32>, !moe.routing<8 experts, "24" tokens, 2 choices>
  %y = moe.combine %rows, %a, %g : tensor<48x32xf32>, !moe.routing<8 experts, "24" tokens, 2 choices>, tensor<24x2xf32>
  return %i, %g, %k, %y : tensor<24x2xi32>, tensor<24x2xf32>, tensor<24x2xi1>, tensor<24x32xf32>
}
