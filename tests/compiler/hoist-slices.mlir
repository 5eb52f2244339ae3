// What nobody reads is not computed: a slice of rows goes in front of the ops that make them for it alone, and where columns are read of few rows, a product is two.
// RUN: moec-opt %s --split-input-file -moe-hoist-slices | FileCheck %s

!x = tensor<?x9x32xf32, #moe.sizes<"batch", "9", "32">>
!y = tensor<?x9x16xf32, #moe.sizes<"batch", "9", "16">>
!qkv = tensor<?x9x48xf32, #moe.sizes<"batch", "9", "48">>
!one = tensor<?x1x32xf32, #moe.sizes<"batch", "1", "32">>

// The last layer of a model that goes on with its first token: one query, whose columns of the projection are computed for that token, keys and values for all.
// CHECK-LABEL: func.func @forward
// CHECK-DAG: %[[TOKEN:.*]] = moe.slice %arg0 axis 1 from "0" size "1"
// CHECK-DAG: %[[N:.*]] = moe.layer_norm %arg0
// CHECK-DAG: %[[NTOKEN:.*]] = moe.slice %[[N]] axis 1 from "0" size "1"
// CHECK-DAG: %[[WQ:.*]] = moe.slice %arg2 axis 0 from "0" size "16"
// CHECK-DAG: %[[WKV:.*]] = moe.slice %arg2 axis 0 from "16" size "32"
// CHECK-DAG: %[[BQ:.*]] = moe.slice %arg3 axis 0 from "0" size "16"
// CHECK-DAG: %[[BKV:.*]] = moe.slice %arg3 axis 0 from "16" size "32"
// CHECK-DAG: %[[PQ:.*]] = moe.matmul %[[NTOKEN]], %[[WQ]]
// CHECK-DAG: %[[Q:.*]] = moe.add %[[PQ]], %[[BQ]]
// CHECK-DAG: %[[PKV:.*]] = moe.matmul %[[N]], %[[WKV]]
// CHECK-DAG: %[[KV:.*]] = moe.add %[[PKV]], %[[BKV]]
// CHECK-DAG: %[[K:.*]] = moe.slice %[[KV]] axis 2 from "0" size "16"
// CHECK-DAG: %[[V:.*]] = moe.slice %[[KV]] axis 2 from "16" size "16"
// CHECK: %[[A:.*]] = moe.attention %[[Q]], %[[K]], %[[V]] heads 2 scale 2.500000e-01 : tensor<?x1x16xf32
// CHECK: %[[O:.*]] = moe.matmul %[[A]], %arg4
// CHECK: %[[SUM:.*]] = moe.add %[[O]], %[[TOKEN]]
// CHECK: return %[[SUM]]
func.func @forward(%x: !x, %g: tensor<32xf32>, %wqkv: tensor<48x32xf32>, %bqkv: tensor<48xf32>, %wo: tensor<32x16xf32>) -> !one {
  %n = moe.layer_norm %x weight %g : tensor<32xf32> eps 1.0e-5 of !x
  %p = moe.matmul %n, %wqkv : !x, tensor<48x32xf32>
  %qkv = moe.add %p, %bqkv : !qkv, tensor<48xf32>
  %q = moe.slice %qkv axis 2 from "0" size "16" : !qkv
  %k = moe.slice %qkv axis 2 from "16" size "16" : !qkv
  %v = moe.slice %qkv axis 2 from "32" size "16" : !qkv
  %a = moe.attention %q, %k, %v heads 2 scale 0.25 : !y, !y, !y
  %o = moe.matmul %a, %wo : !y, tensor<32x16xf32>
  %r = moe.add %o, %x : !x, !x
  %first = moe.slice %r axis 1 from "0" size "1" : !x
  return %first : !one
}

// -----

!x = tensor<?x?x8xf32, #moe.sizes<"batch", "tokens", "8">>
!one = tensor<?x1x8xf32, #moe.sizes<"batch", "1", "8">>

// Of causal attention the last query sees what it saw, and the first one would see more. Operands that broadcast stay whole.
// CHECK-LABEL: func.func @forward
// CHECK: %[[LAST:.*]] = moe.slice %arg0 axis 1 from "tokens-1" size "1"
// CHECK: %[[A:.*]] = moe.attention %[[LAST]], %arg1, %arg1 heads 2 scale 5.000000e-01 causal
// CHECK: moe.mul %[[A]], %arg2
// CHECK: %[[B:.*]] = moe.attention %arg0, %arg1, %arg1
// CHECK: moe.slice %[[B]] axis 1 from "0" size "1"
func.func @forward(%q: !x, %k: !x, %scale: tensor<1x1x8xf32>) -> (!one, !one) {
  %a = moe.attention %q, %k, %k heads 2 scale 0.5 causal : !x, !x, !x
  %scaled = moe.mul %a, %scale : !x, tensor<1x1x8xf32>
  %last = moe.slice %scaled axis 1 from "tokens-1" size "1" : !x
  %b = moe.attention %q, %k, %k heads 2 scale 0.25 causal : !x, !x, !x
  %first = moe.slice %b axis 1 from "0" size "1" : !x
  return %last, %first : !one, !one
}

// -----

!x = tensor<?x9x8xf32, #moe.sizes<"batch", "9", "8">>
!one = tensor<?x1x8xf32, #moe.sizes<"batch", "1", "8">>
!draws = tensor<?x2x9x9xf32, #moe.sizes<"batch", "2", "9", "9">>

// What others read too is there in any case; draws go by where a weight stands among all; a norm's columns need each other.
// CHECK-LABEL: func.func @forward
// CHECK: %[[Y:.*]] = moe.matmul %arg0, %arg1
// CHECK: moe.slice %[[Y]] axis 1
// CHECK: %[[A:.*]] = moe.attention
// CHECK: moe.slice %[[A]] axis 1
// CHECK: %[[N:.*]] = moe.rms_norm
// CHECK: moe.slice %[[N]] axis 2
func.func @forward(%x: !x, %w: tensor<8x8xf32>, %draws: !draws) -> (!x, !one, !one, tensor<?x9x4xf32, #moe.sizes<"batch", "9", "4">>) {
  %y = moe.matmul %x, %w : !x, tensor<8x8xf32>
  %first = moe.slice %y axis 1 from "0" size "1" : !x
  %a = moe.attention %x, %x, %x draws %draws : !draws dropout 0.5 heads 2 scale 0.5 : !x, !x, !x
  %second = moe.slice %a axis 1 from "1" size "1" : !x
  %n = moe.rms_norm %x eps 1.0e-5 of !x
  %half = moe.slice %n axis 2 from "4" size "4" : !x
  return %y, %first, %second, %half : !x, !one, !one, tensor<?x9x4xf32, #moe.sizes<"batch", "9", "4">>
}

// -----

!x = tensor<?x9x32xf32, #moe.sizes<"batch", "9", "32">>
!y = tensor<?x9x48xf32, #moe.sizes<"batch", "9", "48">>
!part = tensor<?x9x16xf32, #moe.sizes<"batch", "9", "16">>
!one = tensor<?x1x16xf32, #moe.sizes<"batch", "1", "16">>

// Two slices of columns that are both read of few rows would hold the product's rows where they are: it stays one.
// CHECK-LABEL: func.func @forward
// CHECK: %[[Y:.*]] = moe.matmul %arg0, %arg1
// CHECK-NOT: moe.matmul
// CHECK: return
func.func @forward(%x: !x, %w: tensor<48x32xf32>) -> (!one, !one, !part) {
  %y = moe.matmul %x, %w : !x, tensor<48x32xf32>
  %a = moe.slice %y axis 2 from "0" size "16" : !y
  %first = moe.slice %a axis 1 from "0" size "1" : !part
  %b = moe.slice %y axis 2 from "16" size "16" : !y
  %last = moe.slice %b axis 1 from "8" size "1" : !part
  %c = moe.slice %y axis 2 from "32" size "16" : !y
  return %first, %last, %c : !one, !one, !part
}

// -----

!x = tensor<2x?x8xf32, #moe.sizes<"2", "sequence", "8">>
!scores = tensor<2x?x11xf32, #moe.sizes<"2", "sequence", "11">>
!last = tensor<2x1x11xf32>

// Scores that continue a text are those of its last token: the norm, the product with the vocabulary and the bias are of one row.
// CHECK-LABEL: func.func @generate
// CHECK: %[[LAST:.*]] = moe.slice %arg0 axis 1 from "sequence-1" size "1"
// CHECK: %[[N:.*]] = moe.layer_norm %[[LAST]]
// CHECK: %[[P:.*]] = moe.matmul %[[N]], %arg1
// CHECK: %[[Y:.*]] = moe.add %[[P]], %arg2
// CHECK: moe.reshape %[[Y]]
func.func @generate(%x: !x, %w: tensor<11x8xf32>, %b: tensor<11xf32>) -> tensor<2x11xf32> {
  %n = moe.layer_norm %x eps 1.0e-5 of !x
  %p = moe.matmul %n, %w : !x, tensor<11x8xf32>
  %y = moe.add %p, %b : !scores, tensor<11xf32>
  %row = moe.slice %y axis 1 from "sequence-1" size "1" : !scores
  %flat = moe.reshape %row : !last -> tensor<2x11xf32>
  return %flat : tensor<2x11xf32>
}
