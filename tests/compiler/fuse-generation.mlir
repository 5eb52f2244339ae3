// Attention to kept keys reads q, k and v where the projection left them; both states get the new rows from one kernel of kind `append`, in place, right behind what
// reads them.
// RUN: moec-opt %s -moe-fuse-updates -moe-fuse-attention -moe-fuse-matmuls -moe-fuse-loops | FileCheck %s
// RUN: moec-opt %s -moe-fuse-updates -moe-fuse-attention -moe-fuse-matmuls -moe-fuse-loops -moe-assign-buffers | FileCheck %s --check-prefix=PLACED

!ids = tensor<2x?xi64, #moe.sizes<"2", "n">>
!x = tensor<2x?x8xf32, #moe.sizes<"2", "n", "8">>
!qkv = tensor<2x?x24xf32, #moe.sizes<"2", "n", "24">>
!cache = tensor<2x16x8xf32>
!p = tensor<i64>

moe.parameter @table : tensor<5x8xf32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.parameter @qkv : tensor<24x8xf32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.parameter @out : tensor<8x8xf32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.state @a.keys : !cache init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.state @a.values : !cache init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// CHECK-LABEL: func.func @generate
// CHECK: moe.kernel "cached_attention"
// CHECK-NEXT: ^bb0
// CHECK-NEXT: moe.slice
// CHECK-NEXT: moe.slice
// CHECK-NEXT: moe.slice
// CHECK-NEXT: moe.cached_attention
// CHECK: moe.kernel "append"
// CHECK: moe.append
// CHECK: moe.append
// CHECK-NOT: moe.kernel "loops"
// CHECK-NOT: moe.kernel "update"

// PLACED-LABEL: func.func @generate
// PLACED: moe.kernel "cached_attention"
// PLACED: moe.kernel "append"
// PLACED-SAME: reads = array<i64: {{[0-9]+}}, [[K:[0-9]+]], {{[0-9]+}}, [[V:[0-9]+]]>, writes = array<i64: [[K]], [[V]]>
// PLACED: moe.kernel "matmul"
// PLACED: return
func.func @generate(%ids: !ids {moe.input = "tokens"}, %p: !p {moe.input = "generate.position"}) -> (!x {moe.output = "y"}) {
  %table = moe.read @table : tensor<5x8xf32>
  %x = moe.embedding %ids, %table : !ids, tensor<5x8xf32>
  %w = moe.read @qkv : tensor<24x8xf32>
  %qkv = moe.matmul %x, %w : !x, tensor<24x8xf32>
  %q = moe.slice %qkv axis 2 from "0" size "8" : !qkv
  %k = moe.slice %qkv axis 2 from "8" size "8" : !qkv
  %v = moe.slice %qkv axis 2 from "16" size "8" : !qkv
  %keys = moe.read @a.keys : !cache
  %values = moe.read @a.values : !cache
  %y = moe.cached_attention %q, %k, %v behind %keys, %values at %p heads 2 scale 5.0e-1 : !x, !x, !x, !cache, !cache, !p
  %newKeys = moe.append %keys, %k at %p : !cache, !x, !p
  moe.write @a.keys, %newKeys : !cache
  %newValues = moe.append %values, %v at %p : !cache, !x, !p
  moe.write @a.values, %newValues : !cache
  %o = moe.read @out : tensor<8x8xf32>
  %z = moe.matmul %y, %o : !x, tensor<8x8xf32>
  return %z : !x
}
