// All updates are one kernel, which computes the numbers that they share; what another update reads is written by a kernel behind it. The sum of all squares is
// one kernel too, with what is made of it, and widens gradients by itself.
// RUN: moec-opt %s -moe-fuse-totals -moe-fuse-updates -moe-fuse-loops -moe-assign-buffers | FileCheck %s

!a = tensor<8x8xf32>
!b = tensor<5xf32>
!n = tensor<5xbf16>
!s = tensor<f32>
!d = tensor<f64>

moe.state @a : !a init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.state @b : !b init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.state @c : !b init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// CHECK-LABEL: func.func @train_step
// CHECK: %[[NORM:.*]]:2 = moe.kernel "totals" "{{.*}}"(%{{.*}}, %{{.*}}) : (tensor<5xbf16>, tensor<8x8xf32>)
// CHECK: moe.reduce
// CHECK: moe.reduce
// CHECK: moe.sqrt
// CHECK: moe.div
// CHECK: moe.yield
// CHECK-NOT: moe.kernel "loops"
// CHECK: moe.kernel "update"
// CHECK-SAME: -> (tensor<8x8xf32>, tensor<5xf32>)
// CHECK: moe.mul %{{.*}} : tensor<f32>, tensor<f32>
// CHECK: moe.yield
// CHECK: moe.kernel "update"
// CHECK-SAME: -> tensor<5xf32>
// CHECK-NOT: moe.kernel
// CHECK: return %[[NORM]]#0
func.func @train_step(%ga: !a {moe.input = "ga"}, %gb: !n {moe.input = "gb"}, %rate: !s {moe.input = "train.learning_rate"}) -> (!d {moe.output = "gradient_norm"}) {
  %wide = moe.cast %gb to f32 : !n
  %row = moe.reshape %ga : !a -> tensor<64xf32>
  %qa = moe.mul %row, %row : tensor<64xf32>, tensor<64xf32>
  %qb = moe.mul %wide, %wide : !b, !b
  %sa = moe.reduce sum %qa axis 0 : tensor<64xf32>
  %sb = moe.reduce sum %qb axis 0 : !b
  %da = moe.cast %sa to f64 : !s
  %db = moe.cast %sb to f64 : !s
  %zero = moe.constant dense<0.0> : !d
  %first = moe.add %zero, %da : !d, !d
  %sum = moe.add %first, %db : !d, !d
  %norm = moe.sqrt %sum : !d
  %one = moe.constant dense<1.0> : !d
  %share = moe.div %one, %norm : !d, !d
  %clip = moe.cast %share to f32 : !d
  %scale = moe.mul %rate, %clip : !s, !s
  %a = moe.read @a : !a
  %before = moe.read @b : !b
  %ma = moe.mul %ga, %scale : !a, !s
  %mb = moe.mul %wide, %scale : !b, !s
  %na = moe.sub %a, %ma : !a, !a
  %nc = moe.neg %before : !b
  moe.write @a, %na : !a
  moe.write @c, %nc : !b
  moe.write @b, %mb : !b
  return %norm : !d
}
