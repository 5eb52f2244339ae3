// A dropout behind a product stands in its kernel, which gives the mask too; the backward part reads that and makes the factors of it again.
// RUN: moec-opt %s -moe-fuse-updates -moe-sink-reshapes -moe-fuse-gates -moe-fuse-experts -moe-fuse-attention -moe-fuse-matmuls -moe-fuse-gradients -moe-fuse-rows -moe-fuse-loops | FileCheck %s

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!q = tensor<?x5x8xf32, #moe.sizes<"b", "5", "8">>
!w = tensor<8x8xf32>

// CHECK-LABEL: func.func @accumulate
// CHECK: %[[FORWARD:.*]]:2 = moe.kernel "matmul" {{.*}} -> (tensor<?x8xi1, #moe.sizes<"t", "8">>, tensor<?x8xf32, #moe.sizes<"t", "8">>)
// CHECK: moe.matmul
// CHECK: moe.random
// CHECK: moe.compare
// CHECK: moe.kernel "matmul"{{.*}}%[[FORWARD]]#0
// CHECK-NOT: moe.random
// CHECK: moe.cast
// CHECK-NOT: moe.kernel
// CHECK: return
func.func @accumulate(%x: !x, %w: !w, %dy: !x) -> (!x, !x) {
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

// The same behind products of all rows, seen in the shape of the model: what stands behind the view is made in the product's shape.
// CHECK-LABEL: func.func @apply
// CHECK: moe.kernel "matmul" {{.*}} -> (tensor<?x5x8xf32, #moe.sizes<"b", "5", "8">>, tensor<?x5x8xi1, #moe.sizes<"b", "5", "8">>, tensor<?x5x8xf32, #moe.sizes<"b", "5", "8">>)
// CHECK: moe.random
// CHECK: moe.relu
// CHECK-NOT: moe.kernel "loops"
// CHECK: moe.kernel "matmul"
// CHECK-NOT: moe.random
// CHECK: moe.matmul
// CHECK-NOT: moe.random
// CHECK: moe.compare le
// CHECK: moe.where
// CHECK-NOT: moe.kernel
// CHECK: return
func.func @apply(%x: !q, %w: !w) -> (!q, !q) {
  %y = moe.matmul %x, %w : !q, !w
  %draws = moe.random uniform "d" : !q
  %p = moe.constant dense<0.1> : tensor<1xf32>
  %scale = moe.constant dense<1.2> : tensor<1xf32>
  %zero = moe.constant dense<0.0> : tensor<f32>
  %a = moe.relu %y : !q
  %stays = moe.compare ge %draws, %p : !q, tensor<1xf32>
  %ones = moe.cast %stays to f32 : tensor<?x5x8xi1, #moe.sizes<"b", "5", "8">>
  %factors = moe.mul %ones, %scale : !q, tensor<1xf32>
  %dropped = moe.mul %a, %factors : !q, !q
  %rows = moe.reshape %dropped : !q -> tensor<?x8xf32, #moe.sizes<"5*b", "8">>
  %back = moe.matmul %rows, %w : tensor<?x8xf32, #moe.sizes<"5*b", "8">>, !w
  %dy = moe.reshape %back : tensor<?x8xf32, #moe.sizes<"5*b", "8">> -> !q
  %dback = moe.mul %dy, %factors : !q, !q
  %below = moe.compare le %y, %zero : !q, tensor<f32>
  %dx = moe.where %below, %zero, %dback : tensor<?x5x8xi1, #moe.sizes<"b", "5", "8">>, tensor<f32>, !q
  return %dropped, %dx : !q, !q
}
