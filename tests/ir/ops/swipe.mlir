// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// swipe: workers hand on what they have no room for

// Two workers of two experts and two tokens each, one choice: room for 2 rows. Worker 0 takes its own tokens' rows, and the others move to
// worker 1, expert 2.
func.func @check_all_to_one() -> (tensor<4x1xi32>, tensor<4x1xi32>) {
  %i = moe.constant dense<[[0], [1], [1], [0]]> : tensor<4x1xi32>
  %y = moe.swipe %i experts 4 workers 2 : tensor<4x1xi32>
  %expected = moe.constant dense<[[0], [1], [2], [2]]> : tensor<4x1xi32>
  return %y, %expected : tensor<4x1xi32>, tensor<4x1xi32>
}

// Two choices: room for 4. The first choices fill worker 0, the second ones of tokens 0 and 1 have no room there and move to expert 2 + 1.
func.func @check_second_choices() -> (tensor<4x2xi32>, tensor<4x2xi32>) {
  %i = moe.constant dense<[[0, 1], [0, 1], [1, 3], [0, 2]]> : tensor<4x2xi32>
  %y = moe.swipe %i experts 4 workers 2 : tensor<4x2xi32>
  %expected = moe.constant dense<[[0, 3], [0, 3], [1, 3], [0, 2]]> : tensor<4x2xi32>
  return %y, %expected : tensor<4x2xi32>, tensor<4x2xi32>
}

// Three workers of one expert: worker 0 has room for one of the second worker's rows, worker 2 for one of its own; the others move to worker 1.
func.func @check_in_order() -> (tensor<6x1xi32>, tensor<6x1xi32>) {
  %i = moe.constant dense<[[2], [0], [0], [0], [2], [2]]> : tensor<6x1xi32>
  %y = moe.swipe %i experts 3 workers 3 : tensor<6x1xi32>
  %expected = moe.constant dense<[[2], [0], [0], [1], [2], [1]]> : tensor<6x1xi32>
  return %y, %expected : tensor<6x1xi32>, tensor<6x1xi32>
}

func.func @check_one_worker() -> (tensor<3x1xi32>, tensor<3x1xi32>) {
  %i = moe.constant dense<[[1], [1], [-1]]> : tensor<3x1xi32>
  %y = moe.swipe %i experts 2 workers 1 : tensor<3x1xi32>
  return %y, %i : tensor<3x1xi32>, tensor<3x1xi32>
}

func.func @check_out_of_range() attributes {moe.fails = "swipe: there is no expert 4 of 4"} {
  %i = moe.constant dense<[[4], [0]]> : tensor<2x1xi32>
  %y = moe.swipe %i experts 4 workers 2 : tensor<2x1xi32>
  return
}
