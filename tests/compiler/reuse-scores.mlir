// The gradient of a cross entropy lies over its scores, which die there; where somebody still reads them or a caller gets them, it does not.
// RUN: moec-opt %s -moe-fuse-rows -moe-fuse-loops -moe-assign-buffers | FileCheck %s

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!l = tensor<?xi64, #moe.sizes<"t">>
!e = tensor<?xf32, #moe.sizes<"t">>

// CHECK-LABEL: func.func @train_step
// CHECK: moe.kernel "rows" {{.*}}reads = array<i64: {{[0-9]+}}, [[S:[0-9]+]], {{[0-9]+}}>, writes = array<i64: [[S]]>
// CHECK-NOT: reads = array<i64: {{[0-9]+}}, [[T:[0-9]+]], {{[0-9]+}}>, writes = array<i64: [[T]]>
// CHECK: return
func.func @train_step(%x: !x {moe.input = "x"}, %l: !l {moe.input = "l"}, %e: !e {moe.input = "e"}) -> (!x {moe.output = "a"}, !x {moe.output = "b"}, !x {moe.output = "c"}, !x {moe.output = "given"}) {
  %scores = moe.neg %x : !x
  %d = moe.cross_entropy_grad %e, %scores, %l smoothing 0.0 ignore -100 : !e, !x, !l
  %n = moe.softmax %d : !x
  %a = moe.softmax %n : !x

  %later = moe.sqrt %x : !x
  %dl = moe.cross_entropy_grad %e, %later, %l smoothing 0.0 ignore -100 : !e, !x, !l
  %ml = moe.softmax %dl : !x
  %b = moe.add %ml, %later : !x, !x

  %given = moe.exp %x : !x
  %dg = moe.cross_entropy_grad %e, %given, %l smoothing 0.0 ignore -100 : !e, !x, !l
  %c = moe.softmax %dg : !x
  return %a, %b, %c, %given : !x, !x, !x, !x
}
