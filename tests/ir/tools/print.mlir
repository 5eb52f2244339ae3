// RUN: moec-opt %s | moec-opt | FileCheck %s
// The forms in which people read phases.

// CHECK: moe.parameter @layers.0.weight : tensor<2x3xf32> init <"normal", 0.000000e+00 : f64, 1.000000e+00 : f64>
moe.parameter @layers.0.weight : tensor<2x3xf32> init #moe.init<"normal", 0.0 : f64, 1.0 : f64>

// CHECK-LABEL: @forward
// CHECK-SAME: tensor<?x3xf32, #moe.sizes<"batch", "3">>
func.func @forward(%x: tensor<?x3xf32, #moe.sizes<"batch", "3">>) -> tensor<?x3xf32, #moe.sizes<"batch", "3">> {
  // CHECK: %[[w:.*]] = moe.read @layers.0.weight : tensor<2x3xf32>
  %w = moe.read @layers.0.weight : tensor<2x3xf32>
  // CHECK: %[[scores:.*]] = moe.matmul %{{.*}}, %[[w]] : tensor<?x3xf32, #moe.sizes<"batch", "3">>, tensor<2x3xf32>
  %scores = moe.matmul %x, %w : tensor<?x3xf32, #moe.sizes<"batch", "3">>, tensor<2x3xf32>
  // CHECK: %values, %indices = moe.select %[[scores]] k 1 : tensor<?x2xf32, #moe.sizes<"batch", "2">>
  %values, %indices = moe.select %scores k 1 : tensor<?x2xf32, #moe.sizes<"batch", "2">>
  // CHECK: %[[routing:.*]] = moe.assign %indices experts 2 choice_major capacity "ceil(batch*1.5)" : tensor<?x1xi32, #moe.sizes<"batch", "1">>
  %routing = moe.assign %indices experts 2 choice_major capacity "ceil(batch*1.5)" : tensor<?x1xi32, #moe.sizes<"batch", "1">>
  // CHECK: moe.dispatch %{{.*}}, %[[routing]] : tensor<?x3xf32, #moe.sizes<"batch", "3">>, <2 experts, "batch" tokens, 1 choices>
  %rows = moe.dispatch %x, %routing : tensor<?x3xf32, #moe.sizes<"batch", "3">>, !moe.routing<2 experts, "batch" tokens, 1 choices>
  %y = moe.combine %rows, %routing, %values : tensor<?x3xf32, #moe.sizes<"batch", "3">>, !moe.routing<2 experts, "batch" tokens, 1 choices>, tensor<?x1xf32, #moe.sizes<"batch", "1">>
  // CHECK: moe.kernel "rows" "layers.0.norm"(%{{.*}}) : (tensor<?x3xf32, #moe.sizes<"batch", "3">>) -> tensor<?x3xf32, #moe.sizes<"batch", "3">> reason "its end" schedule {rows = 4 : i64} {
  %z = moe.kernel "rows" "layers.0.norm"(%y) : (tensor<?x3xf32, #moe.sizes<"batch", "3">>) -> tensor<?x3xf32, #moe.sizes<"batch", "3">> reason "its end" schedule {rows = 4 : i64} {
  ^bb0(%a: tensor<?x3xf32, #moe.sizes<"batch", "3">>):
    // CHECK: moe.layer_norm %{{.*}} eps {{.*}} of tensor
    %b = moe.layer_norm %a eps 1.0e-5 of tensor<?x3xf32, #moe.sizes<"batch", "3">>
    moe.yield %b : tensor<?x3xf32, #moe.sizes<"batch", "3">>
  }
  return %z : tensor<?x3xf32, #moe.sizes<"batch", "3">>
}
