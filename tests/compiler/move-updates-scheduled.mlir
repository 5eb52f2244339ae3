// Kernels with a schedule that was written into a dump by hand stay as they are, and with them the others of their gradient.
// RUN: moec-opt %s --split-input-file -moe-move-updates=target=cpu:x86-64-v3 -moe-assign-buffers | FileCheck %s

!x = tensor<6x8xf32>
!w = tensor<8x8xf32>

moe.parameter @w : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// Where the schedule of a product was written by hand, its kernel stays.
// CHECK-LABEL: func.func @train_step
// CHECK: moe.kernel "matmul" {{.*}} schedule {by = "hand"}
// CHECK: moe.kernel "update"
func.func @train_step(%x: !x {moe.input = "x"}, %dy: !x {moe.input = "dy"}) {
  %w = moe.read @w : !w
  %g = moe.kernel "matmul" "w"(%dy, %x) : (!x, !x) -> !w schedule {by = "hand"} {
  ^bb0(%a: !x, %b: !x):
    %at = moe.transpose %a [1, 0] : !x
    %bt = moe.transpose %b [1, 0] : !x
    %product = moe.matmul %at, %bt : tensor<8x6xf32>, tensor<8x6xf32>
    moe.yield %product : !w
  }
  %nw = moe.kernel "update" "w"(%w, %g) : (!w, !w) -> !w {
  ^bb0(%a: !w, %b: !w):
    %next = moe.sub %a, %b : !w, !w
    moe.yield %next : !w
  }
  moe.write @w, %nw : !w
  return
}

// -----

!x = tensor<6x8xf32>
!w = tensor<8x8xf32>

moe.parameter @w : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// So does an update.
// CHECK-LABEL: func.func @train_step
// CHECK: moe.kernel "matmul"
// CHECK: moe.kernel "update" {{.*}} schedule {by = "hand"}
func.func @train_step(%x: !x {moe.input = "x"}, %dy: !x {moe.input = "dy"}) {
  %w = moe.read @w : !w
  %g = moe.kernel "matmul" "w"(%dy, %x) : (!x, !x) -> !w {
  ^bb0(%a: !x, %b: !x):
    %at = moe.transpose %a [1, 0] : !x
    %bt = moe.transpose %b [1, 0] : !x
    %product = moe.matmul %at, %bt : tensor<8x6xf32>, tensor<8x6xf32>
    moe.yield %product : !w
  }
  %nw = moe.kernel "update" "w"(%w, %g) : (!w, !w) -> !w schedule {by = "hand"} {
  ^bb0(%a: !w, %b: !w):
    %next = moe.sub %a, %b : !w, !w
    moe.yield %next : !w
  }
  moe.write @w, %nw : !w
  return
}

// -----

!x = tensor<6x8xf32>
!w = tensor<8x8xf32>

moe.parameter @w : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// So do totals.
// CHECK-LABEL: func.func @train_step
// CHECK: moe.kernel "matmul"
// CHECK: moe.kernel "totals" {{.*}} schedule {by = "hand"}
// CHECK: moe.kernel "update"
func.func @train_step(%x: !x {moe.input = "x"}, %dy: !x {moe.input = "dy"}) -> (tensor<f32> {moe.output = "gradient_norm"}) {
  %w = moe.read @w : !w
  %g = moe.kernel "matmul" "w"(%dy, %x) : (!x, !x) -> !w {
  ^bb0(%a: !x, %b: !x):
    %at = moe.transpose %a [1, 0] : !x
    %bt = moe.transpose %b [1, 0] : !x
    %product = moe.matmul %at, %bt : tensor<8x6xf32>, tensor<8x6xf32>
    moe.yield %product : !w
  }
  %norm = moe.kernel "totals" ""(%g) : (!w) -> tensor<f32> schedule {by = "hand"} {
  ^bb0(%a: !w):
    %row = moe.reshape %a : !w -> tensor<64xf32>
    %square = moe.mul %row, %row : tensor<64xf32>, tensor<64xf32>
    %sum = moe.reduce sum %square axis 0 : tensor<64xf32>
    moe.yield %sum : tensor<f32>
  }
  %nw = moe.kernel "update" "w"(%w, %g) : (!w, !w) -> !w {
  ^bb0(%a: !w, %b: !w):
    %next = moe.sub %a, %b : !w, !w
    moe.yield %next : !w
  }
  moe.write @w, %nw : !w
  return %norm : tensor<f32>
}

// -----

!x = tensor<6x8xf32>
!w = tensor<8x8xf32>

moe.parameter @w : !w init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

// Without any, all of them become one.
// CHECK-LABEL: func.func @train_step
// CHECK: moe.kernel "weight_update" {{.*}} -> (tensor<8x8xf32>, tensor<f32>)
// CHECK-NOT: moe.kernel "update"
func.func @train_step(%x: !x {moe.input = "x"}, %dy: !x {moe.input = "dy"}) -> (tensor<f32> {moe.output = "gradient_norm"}) {
  %w = moe.read @w : !w
  %g = moe.kernel "matmul" "w"(%dy, %x) : (!x, !x) -> !w {
  ^bb0(%a: !x, %b: !x):
    %at = moe.transpose %a [1, 0] : !x
    %bt = moe.transpose %b [1, 0] : !x
    %product = moe.matmul %at, %bt : tensor<8x6xf32>, tensor<8x6xf32>
    moe.yield %product : !w
  }
  %norm = moe.kernel "totals" ""(%g) : (!w) -> tensor<f32> {
  ^bb0(%a: !w):
    %row = moe.reshape %a : !w -> tensor<64xf32>
    %square = moe.mul %row, %row : tensor<64xf32>, tensor<64xf32>
    %sum = moe.reduce sum %square axis 0 : tensor<64xf32>
    moe.yield %sum : tensor<f32>
  }
  %nw = moe.kernel "update" "w"(%w, %g) : (!w, !w) -> !w {
  ^bb0(%a: !w, %b: !w):
    %next = moe.sub %a, %b : !w, !w
    moe.yield %next : !w
  }
  moe.write @w, %nw : !w
  return %norm : tensor<f32>
}
