// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// add: broadcast from the right, one rounding, wrap

func.func @check_vector() -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %a = moe.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %b = moe.constant dense<[10.0, 20.0]> : tensor<2xf32>
  %y = moe.add %a, %b : tensor<2x2xf32>, tensor<2xf32>
  %expected = moe.constant dense<[[11.0, 22.0], [13.0, 24.0]]> : tensor<2x2xf32>
  return %y, %expected : tensor<2x2xf32>, tensor<2x2xf32>
}

func.func @check_outer() -> (tensor<2x2xf64>, tensor<2x2xf64>) {
  %a = moe.constant dense<[[1.0], [2.0]]> : tensor<2x1xf64>
  %b = moe.constant dense<[[10.0, 20.0]]> : tensor<1x2xf64>
  %y = moe.add %a, %b : tensor<2x1xf64>, tensor<1x2xf64>
  %expected = moe.constant dense<[[11.0, 21.0], [12.0, 22.0]]> : tensor<2x2xf64>
  return %y, %expected : tensor<2x2xf64>, tensor<2x2xf64>
}

func.func @check_scalar() -> (tensor<2xf32>, tensor<2xf32>) {
  %a = moe.constant dense<5.0> : tensor<f32>
  %b = moe.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %y = moe.add %a, %b : tensor<f32>, tensor<2xf32>
  %expected = moe.constant dense<[6.0, 7.0]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}

// 257 is half way between 256 and 258: ties go to even
func.func @check_rounds() -> (tensor<1xbf16>, tensor<1xbf16>) {
  %a = moe.constant dense<[256.0]> : tensor<1xbf16>
  %b = moe.constant dense<[1.0]> : tensor<1xbf16>
  %y = moe.add %a, %b : tensor<1xbf16>, tensor<1xbf16>
  %expected = moe.constant dense<[256.0]> : tensor<1xbf16>
  return %y, %expected : tensor<1xbf16>, tensor<1xbf16>
}

func.func @check_wraps() -> (tensor<1xi32>, tensor<1xi32>) {
  %a = moe.constant dense<[2147483647]> : tensor<1xi32>
  %b = moe.constant dense<[1]> : tensor<1xi32>
  %y = moe.add %a, %b : tensor<1xi32>, tensor<1xi32>
  %expected = moe.constant dense<[-2147483648]> : tensor<1xi32>
  return %y, %expected : tensor<1xi32>, tensor<1xi32>
}

// 2^53 + 1 is no double
func.func @check_wide() -> (tensor<1xi64>, tensor<1xi64>) {
  %a = moe.constant dense<[9007199254740993]> : tensor<1xi64>
  %b = moe.constant dense<[1]> : tensor<1xi64>
  %y = moe.add %a, %b : tensor<1xi64>, tensor<1xi64>
  %expected = moe.constant dense<[9007199254740994]> : tensor<1xi64>
  return %y, %expected : tensor<1xi64>, tensor<1xi64>
}

func.func @check_infinities() -> (tensor<1xf32>, tensor<1xf32>) {
  %a = moe.constant dense<[0x7F800000]> : tensor<1xf32>
  %b = moe.constant dense<[0xFF800000]> : tensor<1xf32>
  %y = moe.add %a, %b : tensor<1xf32>, tensor<1xf32>
  %expected = moe.constant dense<[0x7FC00000]> : tensor<1xf32>
  return %y, %expected : tensor<1xf32>, tensor<1xf32>
}

func.func @check_symbolic() -> (tensor<?x2xf32, #moe.sizes<"batch", "2">>, tensor<3x2xf32>) attributes {moe.bindings = {batch = 3}} {
  %x = moe.constant dense<[[1.0, 2.0]]> : tensor<1x2xf32>
  %rows = moe.broadcast %x : tensor<1x2xf32> -> tensor<?x2xf32, #moe.sizes<"batch", "2">>
  %b = moe.constant dense<[10.0, 20.0]> : tensor<2xf32>
  %y = moe.add %rows, %b : tensor<?x2xf32, #moe.sizes<"batch", "2">>, tensor<2xf32>
  %expected = moe.constant dense<[[11.0, 22.0], [11.0, 22.0], [11.0, 22.0]]> : tensor<3x2xf32>
  return %y, %expected : tensor<?x2xf32, #moe.sizes<"batch", "2">>, tensor<3x2xf32>
}
