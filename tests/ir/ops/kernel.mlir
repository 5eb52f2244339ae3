// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// kernel, yield: the region is the meaning

func.func @check_two_results() -> (tensor<1x2xf32>, tensor<1x2xf32>, tensor<1xf32>, tensor<1xf32>) {
  %x = moe.constant dense<[[1.0, -2.0]]> : tensor<1x2xf32>
  %y, %z = moe.kernel "rows" "layers.0"(%x) : (tensor<1x2xf32>) -> (tensor<1x2xf32>, tensor<1xf32>) reason "its end" {
  ^bb0(%a: tensor<1x2xf32>):
    %b = moe.relu %a : tensor<1x2xf32>
    %c = moe.reduce sum %a axis 1 : tensor<1x2xf32>
    moe.yield %b, %c : tensor<1x2xf32>, tensor<1xf32>
  }
  %expected0 = moe.constant dense<[[1.0, 0.0]]> : tensor<1x2xf32>
  %expected1 = moe.constant dense<[-1.0]> : tensor<1xf32>
  return %y, %expected0, %z, %expected1 : tensor<1x2xf32>, tensor<1x2xf32>, tensor<1xf32>, tensor<1xf32>
}

// a routing crosses from one kernel to the next
func.func @check_routing() -> (tensor<2x1xf32>, tensor<2x1xf32>) {
  %i = moe.constant dense<[[1], [0]]> : tensor<2x1xi32>
  %x = moe.constant dense<[[1.0], [2.0]]> : tensor<2x1xf32>
  %r = moe.kernel "gate" "gate"(%i) : (tensor<2x1xi32>) -> !moe.routing<2 experts, "2" tokens, 1 choices> {
  ^bb0(%a: tensor<2x1xi32>):
    %b = moe.assign %a experts 2 token_major : tensor<2x1xi32>
    moe.yield %b : !moe.routing<2 experts, "2" tokens, 1 choices>
  }
  %y = moe.kernel "expert_up" "up"(%x, %r) : (tensor<2x1xf32>, !moe.routing<2 experts, "2" tokens, 1 choices>) -> tensor<2x1xf32> {
  ^bb0(%a: tensor<2x1xf32>, %b: !moe.routing<2 experts, "2" tokens, 1 choices>):
    %c = moe.dispatch %a, %b : tensor<2x1xf32>, !moe.routing<2 experts, "2" tokens, 1 choices>
    moe.yield %c : tensor<2x1xf32>
  }
  %expected = moe.constant dense<[[2.0], [1.0]]> : tensor<2x1xf32>
  return %y, %expected : tensor<2x1xf32>, tensor<2x1xf32>
}

// the parts of a layer, one behind the other in one region
func.func @check_layer() -> (tensor<2x1xf32>, tensor<2x1xf32>) {
  %i = moe.constant dense<[[1], [0]]> : tensor<2x1xi32>
  %x = moe.constant dense<[[1.0], [2.0]]> : tensor<2x1xf32>
  %w = moe.constant dense<[[[10.0]], [[100.0]]]> : tensor<2x1x1xf32>
  %g = moe.constant dense<[[1.0], [0.5]]> : tensor<2x1xf32>
  %y = moe.kernel "moe_layer" "layer"(%i, %x, %w, %g) : (tensor<2x1xi32>, tensor<2x1xf32>, tensor<2x1x1xf32>, tensor<2x1xf32>) -> tensor<2x1xf32> {
  ^bb0(%a: tensor<2x1xi32>, %b: tensor<2x1xf32>, %c: tensor<2x1x1xf32>, %d: tensor<2x1xf32>):
    %r = moe.assign %a experts 2 token_major : tensor<2x1xi32>
    %e = moe.dispatch %b, %r : tensor<2x1xf32>, !moe.routing<2 experts, "2" tokens, 1 choices>
    %p = moe.grouped_matmul %e, %c, %r : tensor<2x1xf32>, tensor<2x1x1xf32>, !moe.routing<2 experts, "2" tokens, 1 choices>
    %s = moe.combine %p, %r, %d : tensor<2x1xf32>, !moe.routing<2 experts, "2" tokens, 1 choices>, tensor<2x1xf32>
    moe.yield %s : tensor<2x1xf32>
  }
  %expected = moe.constant dense<[[100.0], [10.0]]> : tensor<2x1xf32>
  return %y, %expected : tensor<2x1xf32>, tensor<2x1xf32>
}
