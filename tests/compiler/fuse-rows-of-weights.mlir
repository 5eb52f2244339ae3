// Rows of a weight lie behind each other: a product reads them where they are, and the gradient of its rows does too. What else is a slice is copied.
// RUN: moec-opt %s -moe-fuse-matmuls -moe-fuse-loops | FileCheck %s

!x = tensor<?x32xf32, #moe.sizes<"n", "32">>
!y = tensor<?x16xf32, #moe.sizes<"n", "16">>
!z = tensor<?x48xf32, #moe.sizes<"n", "48">>

moe.parameter @w : tensor<48x32xf32> init <"zeros", 0.0 : f64, 0.0 : f64>

// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "matmul"
// CHECK: %[[ROWS:.*]] = moe.slice %{{.*}} axis 0 from "16" size "16"
// CHECK-NEXT: moe.matmul %{{.*}}, %[[ROWS]]
// CHECK: moe.kernel "matmul"
// CHECK: %[[SAME:.*]] = moe.slice %{{.*}} axis 0 from "16" size "16"
// CHECK-NEXT: %[[TURNED:.*]] = moe.transpose %[[SAME]]
// CHECK-NEXT: moe.matmul %{{.*}}, %[[TURNED]]
// CHECK: moe.kernel "loops"
// CHECK: moe.slice %{{.*}} axis 1
// CHECK: moe.kernel "matmul"
// CHECK-NOT: moe.kernel "loops"
func.func @forward(%x: !x, %dy: !y) -> (!y, !x, !z) {
  %w = moe.read @w : tensor<48x32xf32>
  %rows = moe.slice %w axis 0 from "16" size "16" : tensor<48x32xf32>
  %y = moe.matmul %x, %rows : !x, tensor<16x32xf32>
  %turned = moe.transpose %rows [1, 0] : tensor<16x32xf32>
  %dx = moe.matmul %dy, %turned : !y, tensor<32x16xf32>
  %columns = moe.slice %w axis 1 from "0" size "16" : tensor<48x32xf32>
  %z = moe.matmul %dy, %columns : !y, tensor<48x16xf32>
  return %y, %dx, %z : !y, !x, !z
}
