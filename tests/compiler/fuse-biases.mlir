// Gradients of biases are sums over the rows that the gradient of a weight reads, beside it; those of a norm's weight and bias stand beside the gradient of its rows.
// RUN: moec-opt %s -moe-fuse-updates -moe-sink-reshapes -moe-fuse-gates -moe-fuse-experts -moe-fuse-attention -moe-fuse-matmuls -moe-fuse-gradients -moe-fuse-rows -moe-fuse-loops | FileCheck %s

!q = tensor<?x5x8xf32, #moe.sizes<"b", "5", "8">>
!w = tensor<8x8xf32>

// CHECK-LABEL: func.func @train_step
// CHECK: moe.kernel "matmul"
// CHECK: moe.matmul
// CHECK-NEXT: moe.reduce sum %{{.*}} axis 0
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
func.func @train_step(%dy: !q, %x: !q, %w: !w, %r: !q) -> (tensor<8x8xf32>, tensor<8xf32>, !q, tensor<8xf32>, tensor<8xf32>, !q) {
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
