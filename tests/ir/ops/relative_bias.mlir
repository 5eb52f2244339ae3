// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// relative_bias: T5's buckets

// 8 buckets of keys before the query: distances 0 to 3 by themselves; 4 and 5 in bucket 4, 6 and 7 in 5 (ln(6/4)/ln 4 * 4 = 1.17). Keys behind are in bucket 0.
func.func @check_one_way() -> (tensor<1x1x8xf32>, tensor<1x1x8xf32>) {
  %t = moe.constant dense<[[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0]]> : tensor<8x1xf32>
  %y = moe.relative_bias %t queries "1" keys "8" max_distance 16 : tensor<8x1xf32>
  %expected = moe.constant dense<[[[5.0, 5.0, 4.0, 4.0, 3.0, 2.0, 1.0, 0.0]]]> : tensor<1x1x8xf32>
  return %y, %expected : tensor<1x1x8xf32>, tensor<1x1x8xf32>
}

// 4 buckets of each direction, 2 of them exact; a distance of 2 is in bucket 2. The second head is 10 more.
func.func @check_both_ways() -> (tensor<2x3x3xf32>, tensor<2x3x3xf32>) {
  %t = moe.constant dense<[[0.0, 10.0], [1.0, 11.0], [2.0, 12.0], [3.0, 13.0], [4.0, 14.0], [5.0, 15.0], [6.0, 16.0], [7.0, 17.0]]> : tensor<8x2xf32>
  %y = moe.relative_bias %t queries "3" keys "3" max_distance 16 bidirectional : tensor<8x2xf32>
  %expected = moe.constant dense<[[[0.0, 5.0, 6.0], [1.0, 0.0, 5.0], [2.0, 1.0, 0.0]], [[10.0, 15.0, 16.0], [11.0, 10.0, 15.0], [12.0, 11.0, 10.0]]]> : tensor<2x3x3xf32>
  return %y, %expected : tensor<2x3x3xf32>, tensor<2x3x3xf32>
}

// distances over max_distance are in the last bucket
func.func @check_far() -> (tensor<1x1x5xf32>, tensor<1x1x5xf32>) {
  %t = moe.constant dense<[[0.0], [1.0], [2.0], [3.0]]> : tensor<4x1xf32>
  %y = moe.relative_bias %t queries "1" keys "5" max_distance 3 : tensor<4x1xf32>
  %expected = moe.constant dense<[[[3.0, 3.0, 2.0, 1.0, 0.0]]]> : tensor<1x1x5xf32>
  return %y, %expected : tensor<1x1x5xf32>, tensor<1x1x5xf32>
}

// The query stands at position 2 of 5 keys: distances 2, 1, 0, and those behind it in bucket 0.
func.func @check_at_a_position() -> (tensor<1x1x5xf32>, tensor<1x1x5xf32>) {
  %t = moe.constant dense<[[0.0], [1.0], [2.0], [3.0]]> : tensor<4x1xf32>
  %p = moe.constant dense<2> : tensor<i64>
  %y = moe.relative_bias %t at %p : tensor<i64> queries "1" keys "5" max_distance 3 : tensor<4x1xf32>
  %expected = moe.constant dense<[[[2.0, 1.0, 0.0, 0.0, 0.0]]]> : tensor<1x1x5xf32>
  return %y, %expected : tensor<1x1x5xf32>, tensor<1x1x5xf32>
}
