// Norms that single parameters' updates ask for: those that need no other are one launch, with the numbers made of them; what comes behind them is another.
// The loss's own sum stays where it is.
// RUN: moec-opt %s -moe-fuse-totals -moe-fuse-updates | FileCheck %s

module {
  moe.parameter @p : tensor<4x8xf32> init <"ones", 0.0 : f64, 0.0 : f64>
  moe.parameter @q : tensor<16xf32> init <"ones", 0.0 : f64, 0.0 : f64>

  // CHECK-LABEL: func.func @train_step
  // CHECK: %[[SIZES:.*]]:2 = moe.kernel "totals" ""
  // CHECK: moe.reduce sum
  // CHECK: moe.reduce sum
  // CHECK: moe.kernel "totals" ""
  // CHECK: moe.reduce sum
  // CHECK: moe.reduce sum
  // CHECK-NOT: moe.kernel "totals"
  // CHECK: moe.kernel "update" ""
  // CHECK: return
  func.func @train_step(%g: tensor<4x8xf32>, %h: tensor<16xf32>, %rows: tensor<12xf32>) -> tensor<f32> {
    %loss = moe.reduce sum %rows axis 0 : tensor<12xf32>
    %p = moe.read @p : tensor<4x8xf32>
    %q = moe.read @q : tensor<16xf32>
    %row = moe.reshape %p : tensor<4x8xf32> -> tensor<32xf32>
    %squares = moe.mul %row, %row : tensor<32xf32>, tensor<32xf32>
    %sum = moe.reduce sum %squares axis 0 : tensor<32xf32>
    %size = moe.sqrt %sum : tensor<f32>
    %squares_2 = moe.mul %q, %q : tensor<16xf32>, tensor<16xf32>
    %sum_2 = moe.reduce sum %squares_2 axis 0 : tensor<16xf32>
    %size_2 = moe.sqrt %sum_2 : tensor<f32>
    %change = moe.mul %g, %size : tensor<4x8xf32>, tensor<f32>
    %changes = moe.reshape %change : tensor<4x8xf32> -> tensor<32xf32>
    %squares_3 = moe.mul %changes, %changes : tensor<32xf32>, tensor<32xf32>
    %sum_3 = moe.reduce sum %squares_3 axis 0 : tensor<32xf32>
    %change_2 = moe.mul %h, %size_2 : tensor<16xf32>, tensor<f32>
    %squares_4 = moe.mul %change_2, %change_2 : tensor<16xf32>, tensor<16xf32>
    %sum_4 = moe.reduce sum %squares_4 axis 0 : tensor<16xf32>
    %less = moe.div %change, %sum_3 : tensor<4x8xf32>, tensor<f32>
    %p_new = moe.sub %p, %less : tensor<4x8xf32>, tensor<4x8xf32>
    moe.write @p, %p_new : tensor<4x8xf32>
    %less_2 = moe.div %change_2, %sum_4 : tensor<16xf32>, tensor<f32>
    %q_new = moe.sub %q, %less_2 : tensor<16xf32>, tensor<16xf32>
    moe.write @q, %q_new : tensor<16xf32>
    return %loss : tensor<f32>
  }
}
