// What gates and losses tell besides: counts of experts, and what is computed from them alone, in one launch; whether a label is the highest beside its loss;
// a size is a number of the kernel that reads it, or a kernel where none of loops and rows does.
// RUN: moec-opt %s -moe-fuse-updates -moe-sink-reshapes -moe-fuse-gates -moe-fuse-experts -moe-fuse-attention -moe-fuse-matmuls -moe-fuse-gradients -moe-fuse-rows -moe-fuse-loops | FileCheck %s

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!i = tensor<?x1xi32, #moe.sizes<"t", "1">>
!l = tensor<?xi64, #moe.sizes<"t">>
!c = tensor<?xf32, #moe.sizes<"t">>
!b = tensor<?xi1, #moe.sizes<"t">>
!r = !moe.routing<4 experts, "t" tokens, 1 choices>

// CHECK-LABEL: func.func @evaluate
// CHECK: %[[COUNTS:.*]]:2 = moe.kernel "rows" {{.*}} reason "counts of experts are read outside"
// CHECK: moe.size "t" to f32
// CHECK: moe.expert_counts
// CHECK: moe.cast
// CHECK: moe.reduce sum
// CHECK: moe.sub
// CHECK: moe.kernel "rows"
// CHECK: moe.cross_entropy
// CHECK: moe.is_top
// CHECK: moe.kernel "rows"
// CHECK: moe.is_top
func.func @evaluate(%x: !x, %z: !x, %i: !i, %labels: !l, %w: tensor<8x8xf32>) -> (tensor<4xf32>, tensor<f32>, !c, !b, !b, !x, tensor<f32>) {
  %routing = moe.assign %i experts 4 token_major capacity "2" : !i
  %counts = moe.expert_counts %routing : !r
  %load = moe.cast %counts to f32 : tensor<4xi32>
  %taken = moe.reduce sum %load axis 0 : tensor<4xf32>
  %all = moe.size "t" to f32
  %dropped = moe.sub %all, %taken : tensor<f32>, tensor<f32>

  %loss = moe.cross_entropy %x, %labels smoothing 0.0 ignore -100 : !x, !l
  %top = moe.is_top %x, %labels ignore -100 : !x, !l
  %other = moe.is_top %z, %labels ignore -100 : !x, !l

  // CHECK: %[[SIZE:.*]] = moe.kernel "loops" {{.*}} reason "its result is a size"
  // CHECK: moe.size "8*t" to f32
  %size = moe.size "8*t" to f32
  %y = moe.matmul %x, %w : !x, tensor<8x8xf32>
  %scaled = moe.mul %y, %size : !x, tensor<f32>
  return %load, %dropped, %loss, %top, %other, %scaled, %size : tensor<4xf32>, tensor<f32>, !c, !b, !b, !x, tensor<f32>
}
