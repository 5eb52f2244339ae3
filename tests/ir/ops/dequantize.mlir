// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// dequantize: signed steps, times the scale of the group

func.func @check_groups() -> (tensor<2x5xf32>, tensor<2x5xf32>) {
  %codes = moe.constant dense<[[127, 129, 0, 1, 128], [2, 254, 0, 192, 64]]> : tensor<2x5xui8>
  %scales = moe.constant dense<[[1.0, 0.5], [0.0078735, 2.0]]> : tensor<2x2xbf16>
  %y = moe.dequantize %codes, %scales group 3 : tensor<2x5xui8>, tensor<2x2xbf16>
  %expected = moe.constant dense<[[127.0, -127.0, 0.0, 0.5, -64.0], [0.0157470703125, -0.0157470703125, 0.0, -128.0, 128.0]]> : tensor<2x5xf32>
  return %y, %expected : tensor<2x5xf32>, tensor<2x5xf32>
}

func.func @check_nan() -> (tensor<1x4xf32>, tensor<1x4xf32>) {
  %codes = moe.constant dense<[[0, 1, 0, 1]]> : tensor<1x4xui8>
  %scales = moe.constant dense<[[0x7FC0, 0.0]]> : tensor<1x2xbf16>
  %y = moe.dequantize %codes, %scales group 2 : tensor<1x4xui8>, tensor<1x2xbf16>
  %expected = moe.constant dense<[[0x7FC00000, 0x7FC00000, 0.0, 0.0]]> : tensor<1x4xf32>
  return %y, %expected : tensor<1x4xf32>, tensor<1x4xf32>
}
