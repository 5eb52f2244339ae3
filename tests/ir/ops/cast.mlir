// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// cast: rounding to nearest even

// 257 and 259 are ties; the last lies above the largest bf16 by more than half a step
func.func @check_f32_to_bf16() -> (tensor<4xbf16>, tensor<4xbf16>) {
  %x = moe.constant dense<[1.0, 257.0, 259.0, 3.39617752923046e+38]> : tensor<4xf32>
  %y = moe.cast %x to bf16 : tensor<4xf32>
  %expected = moe.constant dense<[1.0, 256.0, 260.0, 0x7F80]> : tensor<4xbf16>
  return %y, %expected : tensor<4xbf16>, tensor<4xbf16>
}

// just above the tie at 1 + 2^-8; through f32 it would become the tie, and 1.0
func.func @check_f64_to_bf16() -> (tensor<1xbf16>, tensor<1xbf16>) {
  %x = moe.constant dense<[1.0039062500000002]> : tensor<1xf64>
  %y = moe.cast %x to bf16 : tensor<1xf64>
  %expected = moe.constant dense<[1.0078125]> : tensor<1xbf16>
  return %y, %expected : tensor<1xbf16>, tensor<1xbf16>
}

func.func @check_f64_to_f32() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[0.1, 1.0e+300]> : tensor<2xf64>
  %y = moe.cast %x to f32 : tensor<2xf64>
  %expected = moe.constant dense<[0.10000000149011612, 0x7F800000]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}

func.func @check_bf16_to_f64() -> (tensor<2xf64>, tensor<2xf64>) {
  %x = moe.constant dense<[0.5, -3.0]> : tensor<2xbf16>
  %y = moe.cast %x to f64 : tensor<2xbf16>
  %expected = moe.constant dense<[0.5, -3.0]> : tensor<2xf64>
  return %y, %expected : tensor<2xf64>, tensor<2xf64>
}

func.func @check_bool() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[true, false]> : tensor<2xi1>
  %y = moe.cast %x to f32 : tensor<2xi1>
  %expected = moe.constant dense<[1.0, 0.0]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}

// 2^24 + 1 is a tie
func.func @check_i64() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[16777217, -5]> : tensor<2xi64>
  %y = moe.cast %x to f32 : tensor<2xi64>
  %expected = moe.constant dense<[16777216.0, -5.0]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}

func.func @check_bytes() -> (tensor<2xf32>, tensor<2xf32>) {
  %x = moe.constant dense<[0, 255]> : tensor<2xui8>
  %y = moe.cast %x to f32 : tensor<2xui8>
  %expected = moe.constant dense<[0.0, 255.0]> : tensor<2xf32>
  return %y, %expected : tensor<2xf32>, tensor<2xf32>
}

// towards zero; what i32 does not hold becomes its nearest number
func.func @check_to_i32() -> (tensor<7xi32>, tensor<7xi32>) {
  %x = moe.constant dense<[2.9, -2.9, 0.5, 3.0e+9, -3.0e+9, 0x7FC00000, 0xFF800000]> : tensor<7xf32>
  %y = moe.cast %x to i32 : tensor<7xf32>
  %expected = moe.constant dense<[2, -2, 0, 2147483647, -2147483648, 0, -2147483648]> : tensor<7xi32>
  return %y, %expected : tensor<7xi32>, tensor<7xi32>
}

func.func @check_f64_to_i32() -> (tensor<3xi32>, tensor<3xi32>) {
  %x = moe.constant dense<[2147483646.9, 2147483648.5, -2147483648.9]> : tensor<3xf64>
  %y = moe.cast %x to i32 : tensor<3xf64>
  %expected = moe.constant dense<[2147483646, 2147483647, -2147483648]> : tensor<3xi32>
  return %y, %expected : tensor<3xi32>, tensor<3xi32>
}
