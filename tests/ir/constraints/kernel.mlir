// RUN: moec-opt %s --split-input-file --verify-diagnostics

func.func @f(%x: tensor<2xf32>) {
  // expected-error@+1 {{kernel C1: unknown kind "softmax"; known: matmul, rows, loops}}
  %y = moe.kernel "softmax" "k"(%x) : (tensor<2xf32>) -> tensor<2xf32> {
  ^bb0(%a: tensor<2xf32>):
    moe.yield %a : tensor<2xf32>
  }
  return
}

// -----

func.func @f(%x: tensor<2xf32>) {
  // expected-error@+1 {{kernel C2: the block's arguments have the inputs' types: the inputs are (tensor<2xf32>), the arguments (tensor<3xf32>)}}
  %y = moe.kernel "rows" "k"(%x) : (tensor<2xf32>) -> tensor<3xf32> {
  ^bb0(%a: tensor<3xf32>):
    moe.yield %a : tensor<3xf32>
  }
  return
}

// -----

func.func @f(%x: tensor<2xf32>) {
  // expected-error@+1 {{kernel C3: the region ends with moe.yield}}
  %y = moe.kernel "rows" "k"(%x) : (tensor<2xf32>) -> tensor<2xf32> {
  ^bb0(%a: tensor<2xf32>):
    %b = moe.neg %a : tensor<2xf32>
  }
  return
}

// -----

func.func @f(%x: tensor<2xf32>) {
  // expected-error@+1 {{kernel C4: moe.yield gives the outputs' types: the outputs are (tensor<3xf32>), it gives (tensor<2xf32>)}}
  %y = moe.kernel "rows" "k"(%x) : (tensor<2xf32>) -> tensor<3xf32> {
  ^bb0(%a: tensor<2xf32>):
    moe.yield %a : tensor<2xf32>
  }
  return
}

// -----

moe.prepared @p : tensor<2xf32>
func.func @f(%x: tensor<2xf32>) {
  %y = moe.kernel "rows" "k"(%x) : (tensor<2xf32>) -> tensor<2xf32> {
  ^bb0(%a: tensor<2xf32>):
    // expected-error@+1 {{kernel C5: a region holds ops of the dialect that have no effects, and no kernel: this is moe.read}}
    %b = moe.read @p : tensor<2xf32>
    moe.yield %b : tensor<2xf32>
  }
  return
}
