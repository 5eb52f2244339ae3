// A cross entropy and the gradient of its scores are one launch, which reads a row once, with what is made of the gradient behind it; the gradient lies over the
// scores. They stay apart where the gradient needs the loss, and where labels differ.
// RUN: moec-opt %s -moe-fuse-totals -moe-fuse-updates -moe-sink-reshapes -moe-fuse-matmuls -moe-fuse-gradients -moe-fuse-rows -moe-fuse-loops -moe-assign-buffers | FileCheck %s

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!h = tensor<?x8xbf16, #moe.sizes<"t", "8">>
!l = tensor<?xi64, #moe.sizes<"t">>
!e = tensor<?xf32, #moe.sizes<"t">>

// CHECK-LABEL: func.func @train_step
// CHECK: moe.kernel "rows" {{.*}}reads = array<i64: [[S:[0-9]+]], {{[0-9]+}}, {{[0-9]+}}>, writes = array<i64: {{[0-9]+}}, [[S]]>
// CHECK: moe.cross_entropy %
// CHECK-NEXT: moe.cross_entropy_grad
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "rows"
// CHECK: moe.cast
// CHECK: moe.cross_entropy %
// CHECK-NEXT: moe.cross_entropy_grad
// CHECK-NEXT: moe.cast
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "rows"
// CHECK: moe.cross_entropy %
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "rows"
// CHECK: moe.cross_entropy_grad
// CHECK: moe.kernel "rows"
// CHECK: moe.cross_entropy %
// CHECK-NEXT: moe.yield
// CHECK: moe.kernel "rows"
// CHECK: moe.cross_entropy_grad
// CHECK: return
func.func @train_step(%x: !x {moe.input = "x"}, %y: !h {moe.input = "y"}, %l: !l {moe.input = "l"}, %k: !l {moe.input = "k"}, %e: !e {moe.input = "e"})
    -> (!e {moe.output = "a"}, !x {moe.output = "da"}, !e {moe.output = "b"}, !h {moe.output = "db"}, !e {moe.output = "c"}, !x {moe.output = "dc"}, !e {moe.output = "d"}, !x {moe.output = "dd"}) {
  %scores = moe.neg %x : !x
  %a = moe.cross_entropy %scores, %l smoothing 0.0 ignore -100 : !x, !l
  %ga = moe.cross_entropy_grad %e, %scores, %l smoothing 0.0 ignore -100 : !e, !x, !l
  %da = moe.softmax %ga : !x

  %half = moe.relu %y : !h
  %wide = moe.cast %half to f32 : !h
  %b = moe.cross_entropy %wide, %l smoothing 0.0 ignore -100 : !x, !l
  %gb = moe.cross_entropy_grad %e, %wide, %l smoothing 0.0 ignore -100 : !e, !x, !l
  %nb = moe.cast %gb to bf16 : !x

  %others = moe.sqrt %x : !x
  %c = moe.cross_entropy %others, %l smoothing 0.0 ignore -100 : !x, !l
  %square = moe.mul %c, %c : !e, !e
  %dc = moe.cross_entropy_grad %square, %others, %l smoothing 0.0 ignore -100 : !e, !x, !l

  %last = moe.exp %x : !x
  %d = moe.cross_entropy %last, %l smoothing 0.0 ignore -100 : !x, !l
  %dd = moe.cross_entropy_grad %e, %last, %k smoothing 0.0 ignore -100 : !e, !x, !l
  return %a, %da, %b, %nb, %c, %dc, %d, %dd : !e, !x, !e, !h, !e, !x, !e, !x
}
