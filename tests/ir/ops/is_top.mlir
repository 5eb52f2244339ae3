// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// is_top: whether a row's label has the highest score

func.func @check_rows() -> (tensor<5xf64>, tensor<5xf64>) {
  %x = moe.constant dense<[[0.0, 2.0, 1.0], [0.0, 2.0, 1.0], [3.0, 3.0, 1.0], [3.0, 3.0, 1.0], [9.0, 1.0, 1.0]]> : tensor<5x3xf64>
  %l = moe.constant dense<[1, 2, 0, 1, -100]> : tensor<5xi64>
  %y = moe.is_top %x, %l ignore -100 : tensor<5x3xf64>, tensor<5xi64>
  %expected = moe.constant dense<[1.0, 0.0, 1.0, 0.0, 0.0]> : tensor<5xf64>
  return %y, %expected : tensor<5xf64>, tensor<5xf64>
}

// a label that is ignored may be a class; -0 equals 0
func.func @check_ignored_class() -> (tensor<3xf32>, tensor<3xf32>) {
  %x = moe.constant dense<[[4.0, 1.0], [-0.0, 0.0], [-0.0, 0.0]]> : tensor<3x2xf32>
  %l = moe.constant dense<[0, 1, 0]> : tensor<3xi32>
  %y = moe.is_top %x, %l ignore 0 : tensor<3x2xf32>, tensor<3xi32>
  %expected = moe.constant dense<[0.0, 0.0, 0.0]> : tensor<3xf32>
  return %y, %expected : tensor<3xf32>, tensor<3xf32>
}

// NaN is the label's: no; elsewhere: it is not greater; infinities are numbers
func.func @check_nan() -> (tensor<4xf32>, tensor<4xf32>) {
  %x = moe.constant dense<[[0x7FC00000, 0.0], [0x7FC00000, 0.0], [0x7F800000, 0x7F800000], [0xFF800000, 0xFF800000]]> : tensor<4x2xf32>
  %l = moe.constant dense<[0, 1, 0, 0]> : tensor<4xi64>
  %y = moe.is_top %x, %l ignore -100 : tensor<4x2xf32>, tensor<4xi64>
  %expected = moe.constant dense<[0.0, 1.0, 1.0, 1.0]> : tensor<4xf32>
  return %y, %expected : tensor<4xf32>, tensor<4xf32>
}

func.func @check_one_row() -> (tensor<bf16>, tensor<bf16>) {
  %x = moe.constant dense<[1.0, 2.0]> : tensor<2xbf16>
  %l = moe.constant dense<1> : tensor<i64>
  %y = moe.is_top %x, %l ignore -100 : tensor<2xbf16>, tensor<i64>
  %expected = moe.constant dense<1.0> : tensor<bf16>
  return %y, %expected : tensor<bf16>, tensor<bf16>
}

func.func @check_label_out_of_range() attributes {moe.fails = "is_top: the label 2 is not below 2"} {
  %x = moe.constant dense<[[0.0, 0.0]]> : tensor<1x2xf32>
  %l = moe.constant dense<[2]> : tensor<1xi64>
  %y = moe.is_top %x, %l ignore -100 : tensor<1x2xf32>, tensor<1xi64>
  return
}
