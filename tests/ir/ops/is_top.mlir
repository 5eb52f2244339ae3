// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// is_top: whether a row's label has the highest score

func.func @check_rows() -> (tensor<5xi1>, tensor<5xi1>) {
  %x = moe.constant dense<[[0.0, 2.0, 1.0], [0.0, 2.0, 1.0], [3.0, 3.0, 1.0], [3.0, 3.0, 1.0], [9.0, 1.0, 1.0]]> : tensor<5x3xf64>
  %l = moe.constant dense<[1, 2, 0, 1, -100]> : tensor<5xi64>
  %y = moe.is_top %x, %l ignore -100 : tensor<5x3xf64>, tensor<5xi64>
  %expected = moe.constant dense<[true, false, true, false, false]> : tensor<5xi1>
  return %y, %expected : tensor<5xi1>, tensor<5xi1>
}

// a label that is ignored may be a class; -0 equals 0
func.func @check_ignored_class() -> (tensor<3xi1>, tensor<3xi1>) {
  %x = moe.constant dense<[[4.0, 1.0], [-0.0, 0.0], [-0.0, 0.0]]> : tensor<3x2xf32>
  %l = moe.constant dense<[0, 1, 0]> : tensor<3xi32>
  %y = moe.is_top %x, %l ignore 0 : tensor<3x2xf32>, tensor<3xi32>
  %expected = moe.constant dense<[false, false, false]> : tensor<3xi1>
  return %y, %expected : tensor<3xi1>, tensor<3xi1>
}

// NaN is the label's: no; elsewhere: it is not greater; infinities are numbers
func.func @check_nan() -> (tensor<4xi1>, tensor<4xi1>) {
  %x = moe.constant dense<[[0x7FC00000, 0.0], [0x7FC00000, 0.0], [0x7F800000, 0x7F800000], [0xFF800000, 0xFF800000]]> : tensor<4x2xf32>
  %l = moe.constant dense<[0, 1, 0, 0]> : tensor<4xi64>
  %y = moe.is_top %x, %l ignore -100 : tensor<4x2xf32>, tensor<4xi64>
  %expected = moe.constant dense<[false, true, true, true]> : tensor<4xi1>
  return %y, %expected : tensor<4xi1>, tensor<4xi1>
}

func.func @check_one_row() -> (tensor<i1>, tensor<i1>) {
  %x = moe.constant dense<[1.0, 2.0]> : tensor<2xbf16>
  %l = moe.constant dense<1> : tensor<i64>
  %y = moe.is_top %x, %l ignore -100 : tensor<2xbf16>, tensor<i64>
  %expected = moe.constant dense<true> : tensor<i1>
  return %y, %expected : tensor<i1>, tensor<i1>
}

func.func @check_label_out_of_range() attributes {moe.fails = "is_top: the label 2 is not below 2"} {
  %x = moe.constant dense<[[0.0, 0.0]]> : tensor<1x2xf32>
  %l = moe.constant dense<[2]> : tensor<1xi64>
  %y = moe.is_top %x, %l ignore -100 : tensor<1x2xf32>, tensor<1xi64>
  return
}
