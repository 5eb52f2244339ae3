// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// expert_counts: how many rows each expert has

func.func @check_all() -> (tensor<4xi32>, tensor<4xi32>) {
  %i = moe.constant dense<[[0, 1], [0, 3], [1, 0]]> : tensor<3x2xi32>
  %r = moe.assign %i experts 4 token_major : tensor<3x2xi32>
  %y = moe.expert_counts %r : !moe.routing<4 experts, "3" tokens, 2 choices>
  %expected = moe.constant dense<[3, 2, 0, 1]> : tensor<4xi32>
  return %y, %expected : tensor<4xi32>, tensor<4xi32>
}

// what a capacity and a keep leave out is nobody's row
func.func @check_dropped() -> (tensor<2xi32>, tensor<2xi32>) {
  %i = moe.constant dense<[[0], [0], [0], [1], [-1]]> : tensor<5x1xi32>
  %keep = moe.constant dense<[[true], [true], [true], [false], [true]]> : tensor<5x1xi1>
  %r = moe.assign %i keep %keep : tensor<5x1xi1> experts 2 token_major capacity "2" : tensor<5x1xi32>
  %y = moe.expert_counts %r : !moe.routing<2 experts, "5" tokens, 1 choices>
  %expected = moe.constant dense<[2, 0]> : tensor<2xi32>
  return %y, %expected : tensor<2xi32>, tensor<2xi32>
}
