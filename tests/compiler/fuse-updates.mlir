// What a step writes comes from kernels of kind `update`, one for all that belongs to a parameter; they stand behind all that reads it, and write in place.
// RUN: moec-opt %s -moe-fuse-updates -moe-fuse-matmuls -moe-fuse-loops | FileCheck %s
// RUN: moec-opt %s -moe-fuse-updates -moe-fuse-matmuls -moe-fuse-loops -moe-assign-buffers | FileCheck %s --check-prefix=PLACED

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!w = tensor<8x8xf32>
!s = tensor<f32>

moe.parameter @w : !w init #moe.init<"normal", 0.0 : f64, 1.0 : f64>
moe.state @w.momentum : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.state @w.gradient : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// Parameter, moment and the gradient's zeros in one kernel.
// CHECK-LABEL: func.func @train_step
// CHECK: moe.kernel "update"
// CHECK: moe.add
// CHECK: moe.mul
// CHECK: moe.sub
// CHECK: moe.where
// CHECK: moe.yield

// PLACED-LABEL: func.func @train_step
// PLACED: moe.kernel "matmul"
// PLACED: moe.kernel "update" {{.*}} reads = array<i64: [[M:[0-9]+]], [[G:[0-9]+]], {{[0-9]+}}, [[W:[0-9]+]]>, writes = array<i64: [[M]], [[W]], [[G]]>
// PLACED-NOT: moe.kernel "matmul"
// PLACED: return
func.func @train_step(%x: !x {moe.input = "x"}, %rate: !s {moe.input = "train.learning_rate"}) -> (!x {moe.output = "y"}) {
  %gradient = moe.read @w.gradient : !w
  %momentum = moe.read @w.momentum : !w
  %weight = moe.read @w : !w
  %m = moe.add %momentum, %gradient : !w, !w
  %scaled = moe.mul %m, %rate : !w, !s
  %new = moe.sub %weight, %scaled : !w, !w
  %never = moe.constant dense<false> : tensor<i1>
  %zero = moe.constant dense<0.0> : tensor<f32>
  %zeros = moe.where %never, %gradient, %zero : tensor<i1>, !w, !s
  moe.write @w.momentum, %m : !w
  moe.write @w, %new : !w
  moe.write @w.gradient, %zeros : !w
  %read = moe.read @w : !w
  %y = moe.matmul %x, %read : !x, !w
  return %y : !x
}
