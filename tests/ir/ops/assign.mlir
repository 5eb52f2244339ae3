// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// assign: lists per expert; the expected tensor is offsets, rows, slots

// expert 0: (0,0) (1,0) (2,1) = 0, 2, 5; expert 1: (0,1) (2,0) = 1, 4; expert 2: (1,1) = 3
func.func @check_all() -> (!moe.routing<3 experts, "3" tokens, 2 choices>, tensor<16xi32>) {
  %i = moe.constant dense<[[0, 1], [0, 2], [1, 0]]> : tensor<3x2xi32>
  %r = moe.assign %i experts 3 token_major : tensor<3x2xi32>
  %expected = moe.constant dense<[0, 3, 5, 6, 0, 2, 5, 1, 4, 3, 0, 3, 1, 5, 4, 2]> : tensor<16xi32>
  return %r, %expected : !moe.routing<3 experts, "3" tokens, 2 choices>, tensor<16xi32>
}

// expert 0 takes (0,0) and (1,1), and drops (2,0)
func.func @check_token_major_capacity() -> (!moe.routing<2 experts, "3" tokens, 2 choices>, tensor<15xi32>) {
  %i = moe.constant dense<[[0, 1], [1, 0], [0, 1]]> : tensor<3x2xi32>
  %r = moe.assign %i experts 2 token_major capacity "2" : tensor<3x2xi32>
  %expected = moe.constant dense<[0, 2, 4, 0, 3, 1, 2, -1, -1, 0, 2, 3, 1, -1, -1]> : tensor<15xi32>
  return %r, %expected : !moe.routing<2 experts, "3" tokens, 2 choices>, tensor<15xi32>
}

// expert 0 takes the first choices (0,0) and (2,0), and drops (1,1)
func.func @check_choice_major_capacity() -> (!moe.routing<2 experts, "3" tokens, 2 choices>, tensor<15xi32>) {
  %i = moe.constant dense<[[0, 1], [1, 0], [0, 1]]> : tensor<3x2xi32>
  %r = moe.assign %i experts 2 choice_major capacity "2" : tensor<3x2xi32>
  %expected = moe.constant dense<[0, 2, 4, 0, 4, 2, 1, -1, -1, 0, 3, 2, -1, 1, -1]> : tensor<15xi32>
  return %r, %expected : !moe.routing<2 experts, "3" tokens, 2 choices>, tensor<15xi32>
}

func.func @check_choice_major_all() -> (!moe.routing<2 experts, "2" tokens, 2 choices>, tensor<11xi32>) {
  %i = moe.constant dense<[[0, 1], [1, 0]]> : tensor<2x2xi32>
  %r = moe.assign %i experts 2 choice_major : tensor<2x2xi32>
  %expected = moe.constant dense<[0, 2, 4, 0, 3, 2, 1, 0, 3, 2, 1]> : tensor<11xi32>
  return %r, %expected : !moe.routing<2 experts, "2" tokens, 2 choices>, tensor<11xi32>
}

// -1 takes no place; expert 1 is empty
func.func @check_minus_one() -> (!moe.routing<2 experts, "3" tokens, 1 choices>, tensor<9xi32>) {
  %i = moe.constant dense<[[-1], [0], [0]]> : tensor<3x1xi32>
  %r = moe.assign %i experts 2 token_major capacity "1" : tensor<3x1xi32>
  %expected = moe.constant dense<[0, 1, 1, 1, -1, -1, -1, 0, -1]> : tensor<9xi32>
  return %r, %expected : !moe.routing<2 experts, "3" tokens, 1 choices>, tensor<9xi32>
}

func.func @check_no_room() -> (!moe.routing<1 experts, "2" tokens, 1 choices>, tensor<6xi32>) {
  %i = moe.constant dense<[[0], [0]]> : tensor<2x1xi32>
  %r = moe.assign %i experts 1 token_major capacity "0" : tensor<2x1xi32>
  %expected = moe.constant dense<[0, 0, -1, -1, -1, -1]> : tensor<6xi32>
  return %r, %expected : !moe.routing<1 experts, "2" tokens, 1 choices>, tensor<6xi32>
}

func.func @check_symbolic() -> (!moe.routing<1 experts, "t" tokens, 1 choices>, tensor<8xi32>) attributes {moe.bindings = {t = 3}} {
  %i = moe.constant dense<[[0]]> : tensor<1x1xi32>
  %all = moe.broadcast %i : tensor<1x1xi32> -> tensor<?x1xi32, #moe.sizes<"t", "1">>
  %r = moe.assign %all experts 1 token_major capacity "trunc(t*0.75)" : tensor<?x1xi32, #moe.sizes<"t", "1">>
  %expected = moe.constant dense<[0, 2, 0, 1, -1, 0, 1, -1]> : tensor<8xi32>
  return %r, %expected : !moe.routing<1 experts, "t" tokens, 1 choices>, tensor<8xi32>
}

func.func @check_unknown_expert() attributes {moe.fails = "there is no expert 2 of 2"} {
  %i = moe.constant dense<[[2]]> : tensor<1x1xi32>
  %r = moe.assign %i experts 2 token_major : tensor<1x1xi32>
  return
}

// the first choice of token 1 stays out and takes no place
func.func @check_keep() -> (!moe.routing<2 experts, "3" tokens, 1 choices>, tensor<9xi32>) {
  %i = moe.constant dense<[[0], [0], [0]]> : tensor<3x1xi32>
  %k = moe.constant dense<[[true], [false], [true]]> : tensor<3x1xi1>
  %r = moe.assign %i keep %k : tensor<3x1xi1> experts 2 token_major capacity "2" : tensor<3x1xi32>
  %expected = moe.constant dense<[0, 2, 2, 0, 2, -1, 0, -1, 1]> : tensor<9xi32>
  return %r, %expected : !moe.routing<2 experts, "3" tokens, 1 choices>, tensor<9xi32>
}

// tokens 0 and 1, then 2 and 3: expert 0 takes one of each group by first choices; expert 1 takes (0,1) in the first group, (3,0) in the second
func.func @check_groups() -> (!moe.routing<2 experts, "4" tokens, 2 choices>, tensor<19xi32>) {
  %i = moe.constant dense<[[0, 1], [0, 1], [0, 1], [1, 0]]> : tensor<4x2xi32>
  %r = moe.assign %i experts 2 choice_major capacity "1" groups "2" : tensor<4x2xi32>
  %expected = moe.constant dense<[0, 2, 4, 0, 4, 1, 6, -1, -1, -1, -1, 0, 2, -1, -1, 1, -1, 3, -1]> : tensor<19xi32>
  return %r, %expected : !moe.routing<2 experts, "4" tokens, 2 choices>, tensor<19xi32>
}

// The outer routing of 4 tokens in 2 groups has the rows 0 2 3 | 1 (its experts 0 and 1) and none behind. Rows 0 and 2 of the outer expert 0 choose its
// inner expert 1 (expert 1 of 4), of different groups; row 1 its inner expert 0; row 3 lies in the outer expert 1 and chooses expert 2 of 4.
func.func @check_within() -> (!moe.routing<4 experts, "4" tokens, 1 choices>, tensor<13xi32>) {
  %o = moe.constant dense<[[0], [1], [0], [0]]> : tensor<4x1xi32>
  %outer = moe.assign %o experts 2 token_major groups "2" : tensor<4x1xi32>
  %i = moe.constant dense<[[1], [0], [1], [0]]> : tensor<4x1xi32>
  %r = moe.assign %i within %outer : !moe.routing<2 experts, "4" tokens, 1 choices> experts 4 token_major capacity "1" groups "2" : tensor<4x1xi32>
  %expected = moe.constant dense<[0, 1, 3, 4, 4, 1, 0, 2, 3, 1, 0, 2, 3]> : tensor<13xi32>
  return %r, %expected : !moe.routing<4 experts, "4" tokens, 1 choices>, tensor<13xi32>
}

// rows 1 and 2 of the outer routing are of one group: the second finds no place. Its row 3 lies behind the count.
func.func @check_within_capacity() -> (!moe.routing<2 experts, "4" tokens, 1 choices>, tensor<11xi32>) {
  %o = moe.constant dense<[[0], [-1], [0], [0]]> : tensor<4x1xi32>
  %outer = moe.assign %o experts 1 token_major groups "2" : tensor<4x1xi32>
  %i = moe.constant dense<[[1], [1], [1], [1]]> : tensor<4x1xi32>
  %r = moe.assign %i within %outer : !moe.routing<1 experts, "4" tokens, 1 choices> experts 2 token_major capacity "1" groups "2" : tensor<4x1xi32>
  %expected = moe.constant dense<[0, 0, 2, 0, 1, -1, -1, 0, 1, -1, -1]> : tensor<11xi32>
  return %r, %expected : !moe.routing<2 experts, "4" tokens, 1 choices>, tensor<11xi32>
}

func.func @check_unequal_groups() attributes {moe.bindings = {g = 2}, moe.fails = "3 tokens are no 2 equal groups"} {
  %i = moe.constant dense<[[0], [0], [0]]> : tensor<3x1xi32>
  %r = moe.assign %i experts 1 token_major groups "g" : tensor<3x1xi32>
  return
}

// what is bounded has lists of at most experts * capacity rows, and ragged tensors as many
func.func @check_bounded() -> (tensor<2x1xf32>, tensor<2x1xf32>) {
  %i = moe.constant dense<[[0, 1], [0, 1], [0, 1]]> : tensor<3x2xi32>
  %x = moe.constant dense<[[1.0], [2.0], [3.0]]> : tensor<3x1xf32>
  %r = moe.assign %i experts 2 token_major capacity "1" bounded : tensor<3x2xi32>
  %y = moe.dispatch %x, %r : tensor<3x1xf32>, !moe.routing<2 experts, "3" tokens, 2 choices, "2" rows>
  %expected = moe.constant dense<[[1.0], [1.0]]> : tensor<2x1xf32>
  return %y, %expected : tensor<2x1xf32>, tensor<2x1xf32>
}
