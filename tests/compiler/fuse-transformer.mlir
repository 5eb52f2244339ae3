// Attention takes its slices, products take bias, activation and residual, norms stand by themselves, and views cost nothing.
// RUN: moec-opt %s -moe-sink-reshapes -moe-fuse-attention -moe-fuse-matmuls -moe-fuse-rows -moe-fuse-loops -moe-assign-buffers | FileCheck %s

!x = tensor<?x9x32xf32, #moe.sizes<"batch", "9", "32">>
!qkv = tensor<?x9x96xf32, #moe.sizes<"batch", "9", "96">>

// CHECK: moe.buffers
// CHECK-LABEL: func.func @forward
// CHECK: moe.kernel "rows"
// CHECK-SAME: reason "followed by a matmul kernel"
// CHECK: moe.kernel "matmul"
// CHECK-SAME: reason "followed by an attention kernel"
// CHECK: moe.kernel "attention"
// CHECK: moe.slice
// CHECK: moe.slice
// CHECK: moe.slice
// CHECK: moe.attention
// CHECK: moe.kernel "matmul"
// CHECK: moe.matmul
// CHECK-NEXT: moe.add
// CHECK-NEXT: moe.add
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "loops"
// CHECK: moe.slice
// CHECK-NOT: moe.kernel
func.func @forward(%x: !x, %g: tensor<32xf32>, %wqkv: tensor<96x32xf32>, %wo: tensor<32x32xf32>, %bo: tensor<32xf32>) -> tensor<?x32xf32, #moe.sizes<"batch", "32">> {
  %n = moe.layer_norm %x weight %g : tensor<32xf32> eps 1.0e-5 of !x
  %qkv = moe.matmul %n, %wqkv : !x, tensor<96x32xf32>
  %q = moe.slice %qkv axis 2 from "0" size "32" : !qkv
  %k = moe.slice %qkv axis 2 from "32" size "32" : !qkv
  %v = moe.slice %qkv axis 2 from "64" size "32" : !qkv
  %a = moe.attention %q, %k, %v heads 2 scale 0.25 : !x, !x, !x
  %o = moe.matmul %a, %wo : !x, tensor<32x32xf32>
  %b = moe.add %o, %bo : !x, tensor<32xf32>
  %r = moe.add %b, %x : !x, !x
  %first = moe.slice %r axis 1 from "0" size "1" : !x
  %flat = moe.reshape %first : tensor<?x1x32xf32, #moe.sizes<"batch", "1", "32">> -> tensor<?x32xf32, #moe.sizes<"batch", "32">>
  return %flat : tensor<?x32xf32, #moe.sizes<"batch", "32">>
}
