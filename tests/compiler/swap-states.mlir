// Two states that become what the other was: one is copied from the side. What is needed elsewhere too is copied as well.
// RUN: moec-opt %s -moe-fuse-updates -moe-fuse-loops -moe-assign-buffers | FileCheck %s

!w = tensor<8x8xf32>

moe.state @left : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.state @right : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.state @kept : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// The sum is a value of its own, which @kept's update copies, in one kernel with @left's; @right becomes what was copied aside before.
// CHECK-LABEL: func.func @train_step
// CHECK: %[[LEFT:.*]] = moe.read @left
// CHECK: %[[ASIDE:.*]] = moe.kernel "update" "right"(%[[LEFT]])
// CHECK: %[[SUM:.*]] = moe.kernel "loops"
// CHECK-NEXT: bb0
// CHECK-NEXT: moe.add
// CHECK: %[[BOTH:.*]]:2 = moe.kernel "update" ""(%[[SUM]], %{{.*}})
// CHECK-NEXT: bb0(%[[ARGUMENT:.*]]: tensor<8x8xf32>, %[[OTHER:.*]]: tensor<8x8xf32>
// CHECK-NEXT: moe.yield %[[ARGUMENT]], %[[OTHER]]
// CHECK: moe.write @kept, %[[BOTH]]#0
// CHECK: moe.write @left, %[[BOTH]]#1
// CHECK: %[[RIGHT:.*]] = moe.kernel "update" "right"(%[[ASIDE]])
// CHECK: moe.write @right, %[[RIGHT]]
// CHECK: return %[[SUM]]
func.func @train_step() -> (!w {moe.output = "sum"}) {
  %left = moe.read @left : !w
  %right = moe.read @right : !w
  %sum = moe.add %left, %right : !w, !w
  moe.write @kept, %sum : !w
  moe.write @right, %left : !w
  moe.write @left, %right : !w
  return %sum : !w
}
