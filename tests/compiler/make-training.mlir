// @loss becomes a step: its results, then the gradient's norm; or two functions, with the gradients that add up in states.
// RUN: moec-opt %s -moe-make-training | FileCheck %s --check-prefix=STEP
// RUN: moec-opt %s "-moe-make-training=input-gradients" | FileCheck %s --check-prefix=INPUTS
// RUN: moec-opt %s "-moe-make-training=accumulate" | FileCheck %s --check-prefix=SUMS

!x = tensor<?x8xf32, #moe.sizes<"t", "8">>
!y = tensor<?x4xf32, #moe.sizes<"t", "4">>

module attributes {moe.optimizer = {kind = "sgd", momentum = 0.9 : f64, dampening = 0.0 : f64, nesterov = false, weight_decay = 0.0 : f64}} {
  moe.parameter @w : tensor<4x8xf32> init #moe.init<"normal", 0.0 : f64, 1.0 : f64>
  moe.parameter @unread : tensor<3xf32> init #moe.init<"zeros", 0.0 : f64, 0.0 : f64>

  // The parameter that the loss reads has a moment; the other one stays as it is.
  // STEP: moe.state @w.momentum
  // STEP-NOT: @unread.momentum
  // STEP-LABEL: func.func @train_step
  // STEP-SAME: {moe.input = "x"}, %{{.*}} {moe.for_loss, moe.input = "ids"}, %[[RATE:.*]]: tensor<f64> {moe.input = "train.learning_rate"}, %{{.*}}: tensor<i64> {moe.input = "train.step"}
  // STEP-SAME: moe.output = "loss"{{.*}}moe.output = "twice"{{.*}}moe.output = "gradient_norm"
  // STEP-DAG: moe.write @w,
  // STEP-DAG: moe.write @w.momentum,
  // STEP: return
  // STEP-NOT: @loss

  // No gradient flows to ids.
  // INPUTS-LABEL: func.func @train_step
  // INPUTS-SAME: moe.output = "gradient_norm"{{.*}}tensor<?x8xf32, #moe.sizes<"t", "8">> {moe.output = "gradient.x"})

  // SUMS: moe.state @w.gradient : tensor<4x8xf32>
  // SUMS-LABEL: func.func @accumulate
  // SUMS-NOT: train.learning_rate
  // SUMS-SAME: moe.output = "loss"{{.*}}moe.output = "twice"}) {
  // SUMS: %[[BEFORE:.*]] = moe.read @w.gradient
  // SUMS: %[[AFTER:.*]] = moe.add %[[BEFORE]]
  // SUMS: moe.write @w.gradient, %[[AFTER]]
  // SUMS-NOT: moe.write @w,
  // SUMS-LABEL: func.func @apply
  // SUMS-SAME: moe.input = "train.learning_rate"{{.*}}moe.input = "train.step"{{.*}}%[[COUNT:.*]]: tensor<i64> {moe.input = "train.count"}
  // SUMS-SAME: moe.output = "gradient_norm"})
  // SUMS: %[[DIVISOR:.*]] = moe.cast %[[COUNT]] to f32
  // SUMS: %[[SUM:.*]] = moe.read @w.gradient
  // SUMS: moe.div %[[SUM]], %[[DIVISOR]]
  // SUMS: %[[ZEROS:.*]] = moe.where
  // SUMS: moe.write @w.gradient, %[[ZEROS]]
  // SUMS: moe.write @w,
  func.func @loss(%x: !x {moe.input = "x"}, %ids: tensor<?xi64, #moe.sizes<"t">> {moe.input = "ids", moe.for_loss}) -> (tensor<f32> {moe.output = "loss"}, tensor<f32> {moe.output = "twice"}) {
    %w = moe.read @w : tensor<4x8xf32>
    %y = moe.matmul %x, %w : !x, tensor<4x8xf32>
    %rows = moe.cross_entropy %y, %ids smoothing 0.0 ignore -100 : !y, tensor<?xi64, #moe.sizes<"t">>
    %loss = moe.reduce mean %rows axis 0 : tensor<?xf32, #moe.sizes<"t">>
    %twice = moe.add %loss, %loss : tensor<f32>, tensor<f32>
    return %loss, %twice : tensor<f32>, tensor<f32>
  }
}
