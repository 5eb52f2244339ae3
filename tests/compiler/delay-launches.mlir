// A kernel waits for the first that uses it where that costs no memory, a view of it too; not where what it reads would have to last longer.
// RUN: moec-opt %s -moe-fuse-matmuls -moe-fuse-rows -moe-fuse-loops -moe-assign-buffers | FileCheck %s

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!q = tensor<?x2x4xf32, #moe.sizes<"t", "2", "4">>
!w = tensor<8x8xf32>
!v = tensor<4x4xf32>

// CHECK-LABEL: func.func @forward
// CHECK-NEXT: %[[A:.*]] = moe.kernel "matmul" ""(%arg0, %arg1)
// CHECK: %[[HELD:.*]] = moe.kernel "rows" ""(%[[A]])
// CHECK: %[[B:.*]] = moe.kernel "matmul" ""(%arg0, %arg2)
// CHECK: moe.kernel "rows" ""(%[[B]])
// CHECK: moe.kernel "matmul" ""(%[[HELD]], %arg1)
// CHECK: %[[LATE:.*]] = moe.kernel "rows" ""(%arg0)
// CHECK: %[[VIEW:.*]] = moe.reshape %[[LATE]]
// CHECK-NEXT: moe.kernel "matmul" ""(%[[VIEW]], %arg3)
// CHECK: return
func.func @forward(%x: !x {moe.input = "x"}, %w: !w {moe.input = "w"}, %u: !w {moe.input = "u"}, %v: !v {moe.input = "v"}) -> (!x {moe.output = "p"}, !x {moe.output = "y"}, !q {moe.output = "z"}) {
  %late = moe.softmax %x : !x
  %view = moe.reshape %late : !x -> !q
  %a = moe.matmul %x, %w : !x, !w
  %held = moe.softmax %a : !x
  %b = moe.matmul %x, %u : !x, !w
  %p = moe.softmax %b : !x
  %y = moe.matmul %held, %w : !x, !w
  %z = moe.matmul %view, %v : !q, !v
  return %p, %y, %z : !x, !x, !q
}
