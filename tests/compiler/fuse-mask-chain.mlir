// What is made of a dropout's mask, each value of the one before and of it again: there are 2^64 ways through the chain, and every op is looked at and made
// again but once.
// RUN: moec-opt %s --split-input-file -moe-sink-reshapes -moe-fuse-matmuls -moe-fuse-gradients -moe-fuse-rows -moe-fuse-loops | FileCheck %s

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!w = tensor<8x8xf32>

// The first product's kernel makes the chain and gives the mask, of which it is made once more for the second.
// CHECK-LABEL: func.func @forward
// CHECK: %[[FORWARD:.*]]:2 = moe.kernel "matmul"
// CHECK: moe.random
// CHECK-COUNT-65: moe.mul
// CHECK-NOT: moe.mul
// CHECK: moe.yield
// CHECK: %[[AGAIN:.*]] = moe.kernel "loops"{{.*}}(%[[FORWARD]]#0)
// CHECK-NOT: moe.random
// CHECK-COUNT-64: moe.mul
// CHECK-NOT: moe.mul
// CHECK: moe.yield
// CHECK: moe.kernel "matmul"{{.*}}%[[AGAIN]])
// CHECK-NOT: moe.kernel
// CHECK: return
func.func @forward(%x: !x, %w: !w) -> (!x, !x) {
  %draws = moe.random uniform "d" : !x
  %p = moe.constant dense<0.1> : tensor<1xf32>
  %stays = moe.compare ge %draws, %p : !x, tensor<1xf32>
  %x0 = moe.cast %stays to f32 : tensor<?x8xi1, #moe.sizes<"t", "8">>
  %x1 = moe.mul %x0, %x0 : !x, !x
  %x2 = moe.mul %x1, %x1 : !x, !x
  %x3 = moe.mul %x2, %x2 : !x, !x
  %x4 = moe.mul %x3, %x3 : !x, !x
  %x5 = moe.mul %x4, %x4 : !x, !x
  %x6 = moe.mul %x5, %x5 : !x, !x
  %x7 = moe.mul %x6, %x6 : !x, !x
  %x8 = moe.mul %x7, %x7 : !x, !x
  %x9 = moe.mul %x8, %x8 : !x, !x
  %x10 = moe.mul %x9, %x9 : !x, !x
  %x11 = moe.mul %x10, %x10 : !x, !x
  %x12 = moe.mul %x11, %x11 : !x, !x
  %x13 = moe.mul %x12, %x12 : !x, !x
  %x14 = moe.mul %x13, %x13 : !x, !x
  %x15 = moe.mul %x14, %x14 : !x, !x
  %x16 = moe.mul %x15, %x15 : !x, !x
  %x17 = moe.mul %x16, %x16 : !x, !x
  %x18 = moe.mul %x17, %x17 : !x, !x
  %x19 = moe.mul %x18, %x18 : !x, !x
  %x20 = moe.mul %x19, %x19 : !x, !x
  %x21 = moe.mul %x20, %x20 : !x, !x
  %x22 = moe.mul %x21, %x21 : !x, !x
  %x23 = moe.mul %x22, %x22 : !x, !x
  %x24 = moe.mul %x23, %x23 : !x, !x
  %x25 = moe.mul %x24, %x24 : !x, !x
  %x26 = moe.mul %x25, %x25 : !x, !x
  %x27 = moe.mul %x26, %x26 : !x, !x
  %x28 = moe.mul %x27, %x27 : !x, !x
  %x29 = moe.mul %x28, %x28 : !x, !x
  %x30 = moe.mul %x29, %x29 : !x, !x
  %x31 = moe.mul %x30, %x30 : !x, !x
  %x32 = moe.mul %x31, %x31 : !x, !x
  %x33 = moe.mul %x32, %x32 : !x, !x
  %x34 = moe.mul %x33, %x33 : !x, !x
  %x35 = moe.mul %x34, %x34 : !x, !x
  %x36 = moe.mul %x35, %x35 : !x, !x
  %x37 = moe.mul %x36, %x36 : !x, !x
  %x38 = moe.mul %x37, %x37 : !x, !x
  %x39 = moe.mul %x38, %x38 : !x, !x
  %x40 = moe.mul %x39, %x39 : !x, !x
  %x41 = moe.mul %x40, %x40 : !x, !x
  %x42 = moe.mul %x41, %x41 : !x, !x
  %x43 = moe.mul %x42, %x42 : !x, !x
  %x44 = moe.mul %x43, %x43 : !x, !x
  %x45 = moe.mul %x44, %x44 : !x, !x
  %x46 = moe.mul %x45, %x45 : !x, !x
  %x47 = moe.mul %x46, %x46 : !x, !x
  %x48 = moe.mul %x47, %x47 : !x, !x
  %x49 = moe.mul %x48, %x48 : !x, !x
  %x50 = moe.mul %x49, %x49 : !x, !x
  %x51 = moe.mul %x50, %x50 : !x, !x
  %x52 = moe.mul %x51, %x51 : !x, !x
  %x53 = moe.mul %x52, %x52 : !x, !x
  %x54 = moe.mul %x53, %x53 : !x, !x
  %x55 = moe.mul %x54, %x54 : !x, !x
  %x56 = moe.mul %x55, %x55 : !x, !x
  %x57 = moe.mul %x56, %x56 : !x, !x
  %x58 = moe.mul %x57, %x57 : !x, !x
  %x59 = moe.mul %x58, %x58 : !x, !x
  %x60 = moe.mul %x59, %x59 : !x, !x
  %x61 = moe.mul %x60, %x60 : !x, !x
  %x62 = moe.mul %x61, %x61 : !x, !x
  %x63 = moe.mul %x62, %x62 : !x, !x
  %x64 = moe.mul %x63, %x63 : !x, !x
  %y = moe.matmul %x, %w : !x, !w
  %dropped = moe.mul %y, %x64 : !x, !x
  %back = moe.matmul %dropped, %w : !x, !w
  %dback = moe.mul %back, %x64 : !x, !x
  return %dropped, %dback : !x, !x
}

// -----

!q = tensor<?x5x8xf32, #moe.sizes<"b", "5", "8">>
!r = tensor<?x8xf32, #moe.sizes<"5*b", "8">>
!w = tensor<8x8xf32>

// Behind a view the chain is made in the product's shape.
// CHECK-LABEL: func.func @forward
// CHECK: %[[CHAIN:.*]] = moe.kernel "loops"
// CHECK-COUNT-64: = moe.mul {{.*}} : tensor<?x8xf32, #moe.sizes<"5*b", "8">>
// CHECK-NOT: moe.mul
// CHECK: moe.yield
// CHECK: moe.kernel "matmul"{{.*}}%[[CHAIN]])
// CHECK: moe.mul
// CHECK-NOT: moe.mul
// CHECK: return
func.func @forward(%x: !r, %w: !w) -> !q {
  %draws = moe.random uniform "d" : !q
  %p = moe.constant dense<0.1> : tensor<1xf32>
  %stays = moe.compare ge %draws, %p : !q, tensor<1xf32>
  %x0 = moe.cast %stays to f32 : tensor<?x5x8xi1, #moe.sizes<"b", "5", "8">>
  %x1 = moe.mul %x0, %x0 : !q, !q
  %x2 = moe.mul %x1, %x1 : !q, !q
  %x3 = moe.mul %x2, %x2 : !q, !q
  %x4 = moe.mul %x3, %x3 : !q, !q
  %x5 = moe.mul %x4, %x4 : !q, !q
  %x6 = moe.mul %x5, %x5 : !q, !q
  %x7 = moe.mul %x6, %x6 : !q, !q
  %x8 = moe.mul %x7, %x7 : !q, !q
  %x9 = moe.mul %x8, %x8 : !q, !q
  %x10 = moe.mul %x9, %x9 : !q, !q
  %x11 = moe.mul %x10, %x10 : !q, !q
  %x12 = moe.mul %x11, %x11 : !q, !q
  %x13 = moe.mul %x12, %x12 : !q, !q
  %x14 = moe.mul %x13, %x13 : !q, !q
  %x15 = moe.mul %x14, %x14 : !q, !q
  %x16 = moe.mul %x15, %x15 : !q, !q
  %x17 = moe.mul %x16, %x16 : !q, !q
  %x18 = moe.mul %x17, %x17 : !q, !q
  %x19 = moe.mul %x18, %x18 : !q, !q
  %x20 = moe.mul %x19, %x19 : !q, !q
  %x21 = moe.mul %x20, %x20 : !q, !q
  %x22 = moe.mul %x21, %x21 : !q, !q
  %x23 = moe.mul %x22, %x22 : !q, !q
  %x24 = moe.mul %x23, %x23 : !q, !q
  %x25 = moe.mul %x24, %x24 : !q, !q
  %x26 = moe.mul %x25, %x25 : !q, !q
  %x27 = moe.mul %x26, %x26 : !q, !q
  %x28 = moe.mul %x27, %x27 : !q, !q
  %x29 = moe.mul %x28, %x28 : !q, !q
  %x30 = moe.mul %x29, %x29 : !q, !q
  %x31 = moe.mul %x30, %x30 : !q, !q
  %x32 = moe.mul %x31, %x31 : !q, !q
  %x33 = moe.mul %x32, %x32 : !q, !q
  %x34 = moe.mul %x33, %x33 : !q, !q
  %x35 = moe.mul %x34, %x34 : !q, !q
  %x36 = moe.mul %x35, %x35 : !q, !q
  %x37 = moe.mul %x36, %x36 : !q, !q
  %x38 = moe.mul %x37, %x37 : !q, !q
  %x39 = moe.mul %x38, %x38 : !q, !q
  %x40 = moe.mul %x39, %x39 : !q, !q
  %x41 = moe.mul %x40, %x40 : !q, !q
  %x42 = moe.mul %x41, %x41 : !q, !q
  %x43 = moe.mul %x42, %x42 : !q, !q
  %x44 = moe.mul %x43, %x43 : !q, !q
  %x45 = moe.mul %x44, %x44 : !q, !q
  %x46 = moe.mul %x45, %x45 : !q, !q
  %x47 = moe.mul %x46, %x46 : !q, !q
  %x48 = moe.mul %x47, %x47 : !q, !q
  %x49 = moe.mul %x48, %x48 : !q, !q
  %x50 = moe.mul %x49, %x49 : !q, !q
  %x51 = moe.mul %x50, %x50 : !q, !q
  %x52 = moe.mul %x51, %x51 : !q, !q
  %x53 = moe.mul %x52, %x52 : !q, !q
  %x54 = moe.mul %x53, %x53 : !q, !q
  %x55 = moe.mul %x54, %x54 : !q, !q
  %x56 = moe.mul %x55, %x55 : !q, !q
  %x57 = moe.mul %x56, %x56 : !q, !q
  %x58 = moe.mul %x57, %x57 : !q, !q
  %x59 = moe.mul %x58, %x58 : !q, !q
  %x60 = moe.mul %x59, %x59 : !q, !q
  %x61 = moe.mul %x60, %x60 : !q, !q
  %x62 = moe.mul %x61, %x61 : !q, !q
  %x63 = moe.mul %x62, %x62 : !q, !q
  %x64 = moe.mul %x63, %x63 : !q, !q
  %y = moe.matmul %x, %w : !r, !w
  %rows = moe.reshape %y : !r -> !q
  %dropped = moe.mul %rows, %x64 : !q, !q
  return %dropped : !q
}
