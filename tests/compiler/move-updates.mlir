// The update of a weight goes behind the product that makes its gradient, where nothing else needs that, and its squares with it; what a step knows once is computed
// in front. The kernel stands behind what reads the weight last, not at the end. Targets without such kernels, and gradients that others need, keep one update.
// RUN: moec-opt %s --split-input-file -moe-fuse-totals -moe-fuse-updates -moe-fuse-matmuls -moe-fuse-loops -moe-move-updates=target=cpu:x86-64-v3 -moe-assign-buffers | FileCheck %s
// RUN: moec-opt %s --split-input-file -moe-fuse-totals -moe-fuse-updates -moe-fuse-matmuls -moe-fuse-loops -moe-move-updates=target=cuda:sm_90a -moe-assign-buffers | FileCheck %s --check-prefix=CUDA

!x = tensor<6x8xf32>
!w = tensor<8x8xf32>
!b = tensor<8xf32>
!s = tensor<f32>
!d = tensor<f64>

moe.parameter @w : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.parameter @b : !b init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.state @m : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// The product that reads @w once more comes first; the bias keeps its update, and its gradient beside the weight's.
// CHECK-LABEL: func.func @train_step
// CHECK: moe.kernel "loops" {{.*}} reason "numbers that several updates read"
// CHECK: moe.kernel "matmul"
// CHECK: %[[W:.*]]:4 = moe.kernel "weight_update" {{.*}} -> (tensor<8xf32>, tensor<8x8xf32>, tensor<8x8xf32>, tensor<f32>) reason "its update is behind it: nothing else needs the gradient"
// CHECK: moe.matmul
// CHECK: moe.yield
// CHECK: moe.kernel "totals" {{.*}}(%[[W]]#0, %[[W]]#3)
// CHECK: moe.write @m, %[[W]]#1
// CHECK: moe.write @w, %[[W]]#2
// CHECK: %[[B:.*]] = moe.kernel "update" {{.*}} -> tensor<8xf32>
// CHECK: moe.write @b, %[[B]]
// CUDA-LABEL: func.func @train_step
// CUDA-NOT: weight_update
// CUDA: moe.kernel "update" {{.*}} -> (tensor<8x8xf32>, tensor<8x8xf32>, tensor<8xf32>)
func.func @train_step(%x: !x {moe.input = "x"}, %dy: !x {moe.input = "dy"}, %rate: !d {moe.input = "train.learning_rate"}) -> (!x {moe.output = "dx"}, !d {moe.output = "gradient_norm"}) {
  %w = moe.read @w : !w
  %b = moe.read @b : !b
  %m = moe.read @m : !w
  %turned = moe.transpose %w [1, 0] : !w
  %dx = moe.matmul %dy, %turned : !x, !w
  %dyt = moe.transpose %dy [1, 0] : !x
  %xt = moe.transpose %x [1, 0] : !x
  %g = moe.matmul %dyt, %xt : tensor<8x6xf32>, tensor<8x6xf32>
  %gb = moe.reduce sum %dy axis 0 : !x
  %row = moe.reshape %g : !w -> tensor<64xf32>
  %qg = moe.mul %row, %row : tensor<64xf32>, tensor<64xf32>
  %sg = moe.reduce sum %qg axis 0 : tensor<64xf32>
  %dg = moe.cast %sg to f64 : !s
  %qb = moe.mul %gb, %gb : !b, !b
  %sb = moe.reduce sum %qb axis 0 : !b
  %db = moe.cast %sb to f64 : !s
  %sum = moe.add %dg, %db : !d, !d
  %norm = moe.sqrt %sum : !d
  %half = moe.constant dense<0.5> : !d
  %wide = moe.mul %rate, %half : !d, !d
  %scale = moe.cast %wide to f32 : !d
  %nm = moe.add %m, %g : !w, !w
  %change = moe.mul %nm, %scale : !w, !s
  %nw = moe.sub %w, %change : !w, !w
  %changeb = moe.mul %gb, %scale : !b, !s
  %nb = moe.sub %b, %changeb : !b, !b
  moe.write @m, %nm : !w
  moe.write @w, %nw : !w
  moe.write @b, %nb : !b
  return %dx, %norm : !x, !d
}

// -----

!x = tensor<6x8xf32>
!w = tensor<8x8xf32>
!s = tensor<f32>
!d = tensor<f64>

moe.parameter @w : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.parameter @v : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.parameter @u : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// A factor of all gradients, a gradient that is a result, and one that is made of weights which change too: all stay.
// CHECK-LABEL: func.func @train_step
// CHECK-NOT: weight_update
// CHECK: moe.kernel "update" {{.*}} -> (tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>)
// CUDA-LABEL: func.func @train_step
func.func @train_step(%x: !x {moe.input = "x"}, %dy: !x {moe.input = "dy"}) -> (!w {moe.output = "gradient"}, !d {moe.output = "gradient_norm"}) {
  %w = moe.read @w : !w
  %v = moe.read @v : !w
  %u = moe.read @u : !w
  %dyt = moe.transpose %dy [1, 0] : !x
  %xt = moe.transpose %x [1, 0] : !x
  %vt = moe.transpose %v [1, 0] : !w
  %g = moe.matmul %dyt, %xt : tensor<8x6xf32>, tensor<8x6xf32>
  %h = moe.matmul %xt, %dyt : tensor<8x6xf32>, tensor<8x6xf32>
  %ku = moe.matmul %vt, %w : !w, !w
  %row = moe.reshape %g : !w -> tensor<64xf32>
  %qg = moe.mul %row, %row : tensor<64xf32>, tensor<64xf32>
  %sg = moe.reduce sum %qg axis 0 : tensor<64xf32>
  %dg = moe.cast %sg to f64 : !s
  %rowk = moe.reshape %h : !w -> tensor<64xf32>
  %qk = moe.mul %rowk, %rowk : tensor<64xf32>, tensor<64xf32>
  %sk = moe.reduce sum %qk axis 0 : tensor<64xf32>
  %dk = moe.cast %sk to f64 : !s
  %sum = moe.add %dg, %dk : !d, !d
  %norm = moe.sqrt %sum : !d
  %clip = moe.cast %norm to f32 : !d
  %cg = moe.mul %g, %clip : !w, !s
  %nw = moe.sub %w, %cg : !w, !w
  %nv = moe.sub %v, %h : !w, !w
  %nu = moe.sub %u, %ku : !w, !w
  moe.write @w, %nw : !w
  moe.write @v, %nv : !w
  moe.write @u, %nu : !w
  return %h, %norm : !w, !d
}

// -----

!x = tensor<6x8xf32>
!w = tensor<8x8xf32>
!s = tensor<f32>
!d = tensor<f64>

moe.parameter @w : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.parameter @v : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// Where no other gradient is left, there is no update, and the norm is made of numbers.
// CHECK-LABEL: func.func @train_step
// CHECK: %[[A:.*]]:2 = moe.kernel "weight_update"
// CHECK: %[[B:.*]]:2 = moe.kernel "weight_update"
// CHECK-NOT: "update"
// CHECK: moe.kernel "loops" {{.*}}(%[[B]]#1, %[[A]]#1)
// CHECK-NOT: "update"
// CUDA-LABEL: func.func @train_step
// CUDA: moe.kernel "totals"
func.func @train_step(%x: !x {moe.input = "x"}, %dy: !x {moe.input = "dy"}) -> (!d {moe.output = "gradient_norm"}) {
  %w = moe.read @w : !w
  %v = moe.read @v : !w
  %dyt = moe.transpose %dy [1, 0] : !x
  %xt = moe.transpose %x [1, 0] : !x
  %g = moe.matmul %dyt, %xt : tensor<8x6xf32>, tensor<8x6xf32>
  %h = moe.matmul %xt, %dyt : tensor<8x6xf32>, tensor<8x6xf32>
  %rowg = moe.reshape %g : !w -> tensor<64xf32>
  %qg = moe.mul %rowg, %rowg : tensor<64xf32>, tensor<64xf32>
  %sg = moe.reduce sum %qg axis 0 : tensor<64xf32>
  %dg = moe.cast %sg to f64 : !s
  %rowh = moe.reshape %h : !w -> tensor<64xf32>
  %qh = moe.mul %rowh, %rowh : tensor<64xf32>, tensor<64xf32>
  %sh = moe.reduce sum %qh axis 0 : tensor<64xf32>
  %dh = moe.cast %sh to f64 : !s
  %sum = moe.add %dg, %dh : !d, !d
  %norm = moe.sqrt %sum : !d
  %nw = moe.sub %w, %g : !w, !w
  %nv = moe.sub %v, %h : !w, !w
  moe.write @w, %nw : !w
  moe.write @v, %nv : !w
  return %norm : !d
}

// -----

!x = tensor<6x8xf32>
!w = tensor<8x8xf32>
!d = tensor<f64>

moe.parameter @w : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.parameter @v : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.parameter @b : tensor<8xf32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// The kernel that makes @w's gradient would have to stand in front of one that reads @v, and that of @v's in front of one that reads @w: both stay.
// CHECK-LABEL: func.func @train_step
// CHECK-NOT: weight_update
// CHECK: moe.kernel "update" {{.*}} -> (tensor<8x8xf32>, tensor<8x8xf32>)
// CUDA-LABEL: func.func @train_step
func.func @train_step(%x: !x {moe.input = "x"}, %dy: !x {moe.input = "dy"}) -> (!w {moe.output = "left"}, !w {moe.output = "right"}) {
  %w = moe.read @w : !w
  %v = moe.read @v : !w
  %dyt = moe.transpose %dy [1, 0] : !x
  %xt = moe.transpose %x [1, 0] : !x
  %g = moe.matmul %dyt, %xt : tensor<8x6xf32>, tensor<8x6xf32>
  %gb = moe.reduce sum %dy axis 0 : !x
  %h = moe.matmul %xt, %dyt : tensor<8x6xf32>, tensor<8x6xf32>
  %hb = moe.reduce sum %x axis 0 : !x
  %left = moe.add %v, %gb : !w, tensor<8xf32>
  %right = moe.add %w, %hb : !w, tensor<8xf32>
  %nw = moe.sub %w, %g : !w, !w
  %nv = moe.sub %v, %h : !w, !w
  moe.write @w, %nw : !w
  moe.write @v, %nv : !w
  return %left, %right : !w, !w
}

// -----

!x = tensor<6x8xbf16>
!w = tensor<8x8xbf16>
!m = tensor<8x8xf32>

moe.parameter @w : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>
moe.state @w.master : !m init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// A gradient in bf16 is rounded on its way through memory, which the update of the master weight sees.
// CHECK-LABEL: func.func @train_step
// CHECK-NOT: weight_update
// CHECK: moe.kernel "update" {{.*}} -> (tensor<8x8xf32>, tensor<8x8xbf16>)
// CUDA-LABEL: func.func @train_step
func.func @train_step(%x: !x {moe.input = "x"}, %dy: !x {moe.input = "dy"}) {
  %master = moe.read @w.master : !m
  %dyt = moe.transpose %dy [1, 0] : !x
  %xt = moe.transpose %x [1, 0] : !x
  %g = moe.matmul %dyt, %xt : tensor<8x6xbf16>, tensor<8x6xbf16>
  %wide = moe.cast %g to f32 : !w
  %next = moe.sub %master, %wide : !m, !m
  %nw = moe.cast %next to bf16 : !m
  moe.write @w.master, %next : !m
  moe.write @w, %nw : !w
  return
}

// -----

!x = tensor<6x8xf32>
!w = tensor<8x8xf32>

moe.parameter @w : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// A weight with two gradients changes once, behind one of them.
// CHECK-LABEL: func.func @train_step
// CHECK: moe.kernel "matmul"
// CHECK: moe.kernel "weight_update"
// CHECK-NOT: "weight_update"
// CUDA-LABEL: func.func @train_step
func.func @train_step(%x: !x {moe.input = "x"}, %dy: !x {moe.input = "dy"}) {
  %w = moe.read @w : !w
  %dyt = moe.transpose %dy [1, 0] : !x
  %xt = moe.transpose %x [1, 0] : !x
  %g = moe.matmul %dyt, %xt : tensor<8x6xf32>, tensor<8x6xf32>
  %h = moe.matmul %xt, %dyt : tensor<8x6xf32>, tensor<8x6xf32>
  %fg = moe.exp %g : !w
  %fh = moe.exp %h : !w
  %p = moe.mul %fg, %w : !w, !w
  %nw = moe.sub %p, %fh : !w, !w
  moe.write @w, %nw : !w
  return
}
