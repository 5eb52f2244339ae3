// What stands behind a view is made in the product's shape: a number among it, of whatever dimensions, broadcasts there as well.
// RUN: moec-opt %s --split-input-file -moe-sink-reshapes | FileCheck %s

!x = tensor<?x8xf32, #moe.sizes<"5*b", "8">>
!q = tensor<?x5x8xf32, #moe.sizes<"b", "5", "8">>
!w = tensor<8x8xf32>

// CHECK-LABEL: func.func @forward
// CHECK: %[[Y:.*]] = moe.matmul
// CHECK: %[[U:.*]] = moe.reshape %arg2
// CHECK: %[[NUMBER:.*]] = moe.constant dense<5.000000e-01> : tensor<f32>
// CHECK: %[[SCALED:.*]] = moe.mul %[[U]], %[[NUMBER]] : tensor<?x8xf32, #moe.sizes<"5*b", "8">>, tensor<f32>
// CHECK: %[[SUM:.*]] = moe.add %[[Y]], %[[SCALED]]
// CHECK: %[[BACK:.*]] = moe.reshape %[[SUM]]
// CHECK: return %[[BACK]]
func.func @forward(%x: !x, %w: !w, %u: !q) -> (!q, !q) {
  %c = moe.constant dense<0.5> : tensor<1x1x1xf32>
  %y = moe.matmul %x, %w : !x, !w
  %rows = moe.reshape %y : !x -> !q
  %scaled = moe.mul %u, %c : !q, tensor<1x1x1xf32>
  %sum = moe.add %rows, %scaled : !q, !q
  return %sum, %u : !q, !q
}

// -----

!x = tensor<?x8xf32, #moe.sizes<"5*b", "8">>
!q = tensor<?x5x8xf32, #moe.sizes<"b", "5", "8">>
!w = tensor<8x8xf32>

// CHECK-LABEL: func.func @forward
// CHECK: %[[NUMBER:.*]] = moe.reshape %arg3 : tensor<1x1x1xf32> -> tensor<f32>
// CHECK: %[[SCALED:.*]] = moe.mul %{{.*}}, %[[NUMBER]] : tensor<?x8xf32, #moe.sizes<"5*b", "8">>, tensor<f32>
// CHECK: moe.add %{{.*}}, %[[SCALED]]
func.func @forward(%x: !x, %w: !w, %u: !q, %c: tensor<1x1x1xf32>) -> (!q, !q) {
  %y = moe.matmul %x, %w : !x, !w
  %rows = moe.reshape %y : !x -> !q
  %scaled = moe.mul %u, %c : !q, tensor<1x1x1xf32>
  %sum = moe.add %rows, %scaled : !q, !q
  return %sum, %u : !q, !q
}

// -----

!x = tensor<?x8xf32, #moe.sizes<"5*b", "8">>
!q = tensor<?x5x8xf32, #moe.sizes<"b", "5", "8">>
!w = tensor<8x8xf32>

// One of no more dimensions stays.
// CHECK-LABEL: func.func @forward
// CHECK: moe.mul %{{.*}}, %arg3 : tensor<?x8xf32, #moe.sizes<"5*b", "8">>, tensor<1x1xf32>
func.func @forward(%x: !x, %w: !w, %u: !q, %c: tensor<1x1xf32>) -> (!q, !q) {
  %y = moe.matmul %x, %w : !x, !w
  %rows = moe.reshape %y : !x -> !q
  %scaled = moe.mul %u, %c : !q, tensor<1x1xf32>
  %sum = moe.add %rows, %scaled : !q, !q
  return %sum, %u : !q, !q
}
