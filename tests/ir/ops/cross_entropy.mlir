// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// cross_entropy: of rows of scores and their labels

// softmax of 0 and log 3 is 1/4 and 3/4
func.func @check_plain() -> (tensor<3xf64>, tensor<3xf64>) {
  %x = moe.constant dense<[[0.0, 1.0986122886681098], [0.0, 1.0986122886681098], [5.0, 6.0]]> : tensor<3x2xf64>
  %l = moe.constant dense<[0, 1, -100]> : tensor<3xi64>
  %y = moe.cross_entropy %x, %l smoothing 0.0 ignore -100 : tensor<3x2xf64>, tensor<3xi64>
  %expected = moe.constant dense<[1.3862943611198906, 0.28768207245178085, 0.0]> : tensor<3xf64>
  return %y, %expected : tensor<3xf64>, tensor<3xf64>
}

// log 4 / 2 + (log 4 - log 3 / 2) / 2
func.func @check_smooth() -> (tensor<2xf64>, tensor<2xf64>) {
  %x = moe.constant dense<[[0.0, 1.0986122886681098], [0.0, 1.0986122886681098]]> : tensor<2x2xf64>
  %l = moe.constant dense<[0, 1]> : tensor<2xi32>
  %y = moe.cross_entropy %x, %l smoothing 0.5 ignore 1 : tensor<2x2xf64>, tensor<2xi32>
  %expected = moe.constant dense<[1.1116412889528632, 0.0]> : tensor<2xf64>
  return %y, %expected : tensor<2xf64>, tensor<2xf64>
}

// without smoothing a score of -infinity elsewhere counts for nothing
func.func @check_minus_infinity() -> (tensor<f32>, tensor<f32>) {
  %x = moe.constant dense<[0xFF800000, 0.0]> : tensor<2xf32>
  %l = moe.constant dense<1> : tensor<i64>
  %y = moe.cross_entropy %x, %l smoothing 0.0 ignore -100 : tensor<2xf32>, tensor<i64>
  %expected = moe.constant dense<0.0> : tensor<f32>
  return %y, %expected : tensor<f32>, tensor<f32>
}

// what is ignored is not looked at
func.func @check_ignored_nan() -> (tensor<1xf32>, tensor<1xf32>) {
  %x = moe.constant dense<[[0x7FC00000, 0.0]]> : tensor<1x2xf32>
  %l = moe.constant dense<[7]> : tensor<1xi64>
  %y = moe.cross_entropy %x, %l smoothing 0.1 ignore 7 : tensor<1x2xf32>, tensor<1xi64>
  %expected = moe.constant dense<[0.0]> : tensor<1xf32>
  return %y, %expected : tensor<1xf32>, tensor<1xf32>
}

func.func @check_label_out_of_range() attributes {moe.fails = "cross_entropy: the label 2 is not below 2"} {
  %x = moe.constant dense<[[0.0, 0.0]]> : tensor<1x2xf32>
  %l = moe.constant dense<[2]> : tensor<1xi64>
  %y = moe.cross_entropy %x, %l smoothing 0.0 ignore -100 : tensor<1x2xf32>, tensor<1xi64>
  return
}
