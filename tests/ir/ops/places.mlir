// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// places: the rows of an expert by score

func.func @check_scores() -> (tensor<5x1xi32>, tensor<5x1xi32>) {
  %i = moe.constant dense<[[0], [1], [0], [0], [1]]> : tensor<5x1xi32>
  %s = moe.constant dense<[[0.1], [0.5], [0.7], [0.3], [0.6]]> : tensor<5x1xf32>
  %y = moe.places %i, %s experts 2 token_major : tensor<5x1xi32>, tensor<5x1xf32>
  %expected = moe.constant dense<[[2], [1], [0], [1], [0]]> : tensor<5x1xi32>
  return %y, %expected : tensor<5x1xi32>, tensor<5x1xi32>
}

// equal scores by token, then choice; -0 equals 0
func.func @check_ties() -> (tensor<3x2xi32>, tensor<3x2xi32>) {
  %i = moe.constant dense<[[0, 1], [1, 0], [0, 0]]> : tensor<3x2xi32>
  %s = moe.constant dense<[[0.0, 1.0], [1.0, 0.0], [-0.0, 2.0]]> : tensor<3x2xf64>
  %y = moe.places %i, %s experts 2 token_major : tensor<3x2xi32>, tensor<3x2xf64>
  %expected = moe.constant dense<[[1, 0], [1, 2], [3, 0]]> : tensor<3x2xi32>
  return %y, %expected : tensor<3x2xi32>, tensor<3x2xi32>
}

// the first choices of expert 0 come before the second ones, whatever their scores
func.func @check_choice_major() -> (tensor<3x2xi32>, tensor<3x2xi32>) {
  %i = moe.constant dense<[[0, 1], [1, 0], [0, 1]]> : tensor<3x2xi32>
  %s = moe.constant dense<[[0.2, 0.1], [0.3, 9.0], [0.4, 0.8]]> : tensor<3x2xf32>
  %y = moe.places %i, %s experts 2 choice_major : tensor<3x2xi32>, tensor<3x2xf32>
  %expected = moe.constant dense<[[1, 2], [0, 2], [0, 1]]> : tensor<3x2xi32>
  return %y, %expected : tensor<3x2xi32>, tensor<3x2xi32>
}

// NaN comes last, behind minus infinity
func.func @check_nan() -> (tensor<4x1xi32>, tensor<4x1xi32>) {
  %i = moe.constant dense<0> : tensor<4x1xi32>
  %s = moe.constant dense<[[0x7FC00000], [0xFF800000], [0x7FC00000], [1.0]]> : tensor<4x1xf32>
  %y = moe.places %i, %s experts 1 token_major : tensor<4x1xi32>, tensor<4x1xf32>
  %expected = moe.constant dense<[[2], [1], [3], [0]]> : tensor<4x1xi32>
  return %y, %expected : tensor<4x1xi32>, tensor<4x1xi32>
}

func.func @check_dropped_before() -> (tensor<4x1xi32>, tensor<4x1xi32>) {
  %i = moe.constant dense<[[0], [-1], [0], [0]]> : tensor<4x1xi32>
  %s = moe.constant dense<[[0.1], [0.9], [0.8], [0.5]]> : tensor<4x1xf32>
  %k = moe.constant dense<[[true], [true], [false], [true]]> : tensor<4x1xi1>
  %y = moe.places %i, %s keep %k : tensor<4x1xi1> experts 1 token_major : tensor<4x1xi32>, tensor<4x1xf32>
  %expected = moe.constant dense<[[1], [-1], [-1], [0]]> : tensor<4x1xi32>
  return %y, %expected : tensor<4x1xi32>, tensor<4x1xi32>
}

func.func @check_groups() -> (tensor<4x1xi32>, tensor<4x1xi32>) {
  %i = moe.constant dense<0> : tensor<4x1xi32>
  %s = moe.constant dense<[[0.1], [0.2], [0.4], [0.3]]> : tensor<4x1xf32>
  %y = moe.places %i, %s experts 1 token_major groups "2" : tensor<4x1xi32>, tensor<4x1xf32>
  %expected = moe.constant dense<[[1], [0], [0], [1]]> : tensor<4x1xi32>
  return %y, %expected : tensor<4x1xi32>, tensor<4x1xi32>
}

func.func @check_out_of_range() attributes {moe.fails = "places: there is no expert 2 of 2"} {
  %i = moe.constant dense<[[2]]> : tensor<1x1xi32>
  %s = moe.constant dense<[[0.0]]> : tensor<1x1xf32>
  %y = moe.places %i, %s experts 2 token_major : tensor<1x1xi32>, tensor<1x1xf32>
  return
}

func.func @check_unequal_groups() attributes {moe.bindings = {g = 2}, moe.fails = "places: 3 tokens are no 2 equal groups"} {
  %i = moe.constant dense<0> : tensor<3x1xi32>
  %s = moe.constant dense<0.0> : tensor<3x1xf32>
  %y = moe.places %i, %s experts 1 token_major groups "g" : tensor<3x1xi32>, tensor<3x1xf32>
  return
}
