// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// quantize: codes of signed steps, and a bf16 scale for each group of the depth; scales are looked at as f32, for bf16 has a wide tolerance

// Largest magnitudes 127 and 63.5, so that scales are 1 and 0.5; halves of a step go to the even one. The last group has two elements.
func.func @check_rounding() -> (tensor<2x6xui8>, tensor<2x6xui8>, tensor<2x2xf32>, tensor<2x2xf32>) {
  %w = moe.constant dense<[[127.0, -63.5, 1.5, 0.49, 63.5, 0.25], [-127.0, 62.5, -0.5, -1.5, 0.75, -63.5]]> : tensor<2x6xf32>
  %codes, %scales = moe.quantize %w group 4 : tensor<2x6xf32>
  %s = moe.cast %scales to f32 : tensor<2x2xbf16>
  %expectedCodes = moe.constant dense<[[127, 192, 2, 0, 127, 0], [129, 62, 0, 254, 2, 129]]> : tensor<2x6xui8>
  %expectedScales = moe.constant dense<[[1.0, 0.5], [1.0, 0.5]]> : tensor<2x2xf32>
  return %codes, %expectedCodes, %s, %expectedScales : tensor<2x6xui8>, tensor<2x6xui8>, tensor<2x2xf32>, tensor<2x2xf32>
}

// 1 / 127 is 0.00787401..: the nearest that bf16 has is 129/16384, of which 1 is 127.008 steps and 0.5 is 63.504.
func.func @check_scale_is_rounded() -> (tensor<1x2xui8>, tensor<1x2xui8>, tensor<1x1xf32>, tensor<1x1xf32>) {
  %w = moe.constant dense<[[1.0, -0.5]]> : tensor<1x2xf32>
  %codes, %scales = moe.quantize %w group 2 : tensor<1x2xf32>
  %s = moe.cast %scales to f32 : tensor<1x1xbf16>
  %expectedCodes = moe.constant dense<[[127, 192]]> : tensor<1x2xui8>
  %expectedScales = moe.constant dense<[[0.00787353515625]]> : tensor<1x1xf32>
  return %codes, %expectedCodes, %s, %expectedScales : tensor<1x2xui8>, tensor<1x2xui8>, tensor<1x1xf32>, tensor<1x1xf32>
}

// Groups of zeros, of a NaN, of an infinity, and of numbers so small that the scale is 0.
func.func @check_edges() -> (tensor<4x2xui8>, tensor<4x2xui8>, tensor<4x1xf32>, tensor<4x1xf32>) {
  %w = moe.constant dense<[[0.0, -0.0], [1.0, 0x7FC00000], [0xFF800000, 1.0], [1.0e-44, -1.0e-44]]> : tensor<4x2xf32>
  %codes, %scales = moe.quantize %w group 2 : tensor<4x2xf32>
  %s = moe.cast %scales to f32 : tensor<4x1xbf16>
  %expectedCodes = moe.constant dense<0> : tensor<4x2xui8>
  %expectedScales = moe.constant dense<[[0.0], [0x7FC00000], [0x7FC00000], [0.0]]> : tensor<4x1xf32>
  return %codes, %expectedCodes, %s, %expectedScales : tensor<4x2xui8>, tensor<4x2xui8>, tensor<4x1xf32>, tensor<4x1xf32>
}

// The largest number there is, and 180 times the smallest bf16: a hundred and twenty-seventh of that is rounded down to one, and the code is held at 127 steps.
func.func @check_extremes() -> (tensor<2x2xui8>, tensor<2x2xui8>) {
  %w = moe.constant dense<[[0x7F7FFFFF, -1.7e38], [0x00B40000, 0x80010000]]> : tensor<2x2xf32>
  %codes, %scales = moe.quantize %w group 8 : tensor<2x2xf32>
  %expectedCodes = moe.constant dense<[[127, 193], [127, 255]]> : tensor<2x2xui8>
  return %codes, %expectedCodes : tensor<2x2xui8>, tensor<2x2xui8>
}

// A group as long as the depth or longer; experts.
func.func @check_experts() -> (tensor<2x1x3xui8>, tensor<2x1x3xui8>, tensor<2x1x1xf32>, tensor<2x1x1xf32>) {
  %w = moe.constant dense<[[[127.0, 2.0, -3.0]], [[0.5, 254.0, -4.0]]]> : tensor<2x1x3xf32>
  %codes, %scales = moe.quantize %w group 8 : tensor<2x1x3xf32>
  %s = moe.cast %scales to f32 : tensor<2x1x1xbf16>
  %expectedCodes = moe.constant dense<[[[127, 2, 253]], [[0, 127, 254]]]> : tensor<2x1x3xui8>
  %expectedScales = moe.constant dense<[[[1.0]], [[2.0]]]> : tensor<2x1x1xf32>
  return %codes, %expectedCodes, %s, %expectedScales : tensor<2x1x3xui8>, tensor<2x1x3xui8>, tensor<2x1x1xf32>, tensor<2x1x1xf32>
}
