// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// constant: every dtype, splat and scalar

func.func @check_f64() -> (tensor<1xf64>, tensor<1xf64>) {
  %x = moe.constant dense<[0.1]> : tensor<1xf64>
  %expected = moe.constant dense<[0.1]> : tensor<1xf64>
  return %x, %expected : tensor<1xf64>, tensor<1xf64>
}

func.func @check_f32() -> (tensor<1xf32>, tensor<1xf32>) {
  %x = moe.constant dense<[1.0]> : tensor<1xf32>
  %expected = moe.constant dense<[1.0]> : tensor<1xf32>
  return %x, %expected : tensor<1xf32>, tensor<1xf32>
}

func.func @check_bf16() -> (tensor<1xbf16>, tensor<1xbf16>) {
  %x = moe.constant dense<[1.5]> : tensor<1xbf16>
  %expected = moe.constant dense<[1.5]> : tensor<1xbf16>
  return %x, %expected : tensor<1xbf16>, tensor<1xbf16>
}

func.func @check_i64() -> (tensor<1xi64>, tensor<1xi64>) {
  %x = moe.constant dense<[-3]> : tensor<1xi64>
  %expected = moe.constant dense<[-3]> : tensor<1xi64>
  return %x, %expected : tensor<1xi64>, tensor<1xi64>
}

func.func @check_i32() -> (tensor<1xi32>, tensor<1xi32>) {
  %x = moe.constant dense<[4]> : tensor<1xi32>
  %expected = moe.constant dense<[4]> : tensor<1xi32>
  return %x, %expected : tensor<1xi32>, tensor<1xi32>
}

func.func @check_ui8() -> (tensor<1xui8>, tensor<1xui8>) {
  %x = moe.constant dense<[255]> : tensor<1xui8>
  %expected = moe.constant dense<[255]> : tensor<1xui8>
  return %x, %expected : tensor<1xui8>, tensor<1xui8>
}

func.func @check_i1() -> (tensor<1xi1>, tensor<1xi1>) {
  %x = moe.constant dense<[true]> : tensor<1xi1>
  %expected = moe.constant dense<[true]> : tensor<1xi1>
  return %x, %expected : tensor<1xi1>, tensor<1xi1>
}

// A splat fills its shape.
func.func @check_splat() -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %x = moe.constant dense<2.5> : tensor<2x2xf32>
  %expected = moe.constant dense<[[2.5, 2.5], [2.5, 2.5]]> : tensor<2x2xf32>
  return %x, %expected : tensor<2x2xf32>, tensor<2x2xf32>
}

func.func @check_scalar() -> (tensor<f32>, tensor<f32>) {
  %x = moe.constant dense<3.0> : tensor<f32>
  %y = moe.neg %x : tensor<f32>
  %expected = moe.constant dense<-3.0> : tensor<f32>
  return %y, %expected : tensor<f32>, tensor<f32>
}
