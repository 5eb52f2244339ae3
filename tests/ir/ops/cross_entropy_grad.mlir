// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// cross_entropy_grad: dy (softmax - target)

// softmax of 0 and log 3 is 1/4 and 3/4
func.func @check_plain() -> (tensor<3x2xf64>, tensor<3x2xf64>) {
  %dy = moe.constant dense<[2.0, 4.0, 0x7FF8000000000000]> : tensor<3xf64>
  %x = moe.constant dense<[[0.0, 1.0986122886681098], [0.0, 1.0986122886681098], [5.0, 6.0]]> : tensor<3x2xf64>
  %l = moe.constant dense<[0, 1, -100]> : tensor<3xi64>
  %dx = moe.cross_entropy_grad %dy, %x, %l smoothing 0.0 ignore -100 : tensor<3xf64>, tensor<3x2xf64>, tensor<3xi64>
  %expected = moe.constant dense<[[-1.5, 1.5], [1.0, -1.0], [0.0, 0.0]]> : tensor<3x2xf64>
  return %dx, %expected : tensor<3x2xf64>, tensor<3x2xf64>
}

// the target is 3/4 and 1/4
func.func @check_smooth() -> (tensor<1x2xf64>, tensor<1x2xf64>) {
  %dy = moe.constant dense<[2.0]> : tensor<1xf64>
  %x = moe.constant dense<[[0.0, 1.0986122886681098]]> : tensor<1x2xf64>
  %l = moe.constant dense<[0]> : tensor<1xi32>
  %dx = moe.cross_entropy_grad %dy, %x, %l smoothing 0.5 ignore -100 : tensor<1xf64>, tensor<1x2xf64>, tensor<1xi32>
  %expected = moe.constant dense<[[-1.0, 1.0]]> : tensor<1x2xf64>
  return %dx, %expected : tensor<1x2xf64>, tensor<1x2xf64>
}

func.func @check_vector() -> (tensor<4xf32>, tensor<4xf32>) {
  %dy = moe.constant dense<1.0> : tensor<f32>
  %x = moe.constant dense<[7.0, 7.0, 7.0, 7.0]> : tensor<4xf32>
  %l = moe.constant dense<2> : tensor<i64>
  %dx = moe.cross_entropy_grad %dy, %x, %l smoothing 0.0 ignore -100 : tensor<f32>, tensor<4xf32>, tensor<i64>
  %expected = moe.constant dense<[0.25, 0.25, -0.75, 0.25]> : tensor<4xf32>
  return %dx, %expected : tensor<4xf32>, tensor<4xf32>
}

func.func @check_label_out_of_range() attributes {moe.fails = "the label -1 is not below 2"} {
  %dy = moe.constant dense<[1.0]> : tensor<1xf32>
  %x = moe.constant dense<[[0.0, 0.0]]> : tensor<1x2xf32>
  %l = moe.constant dense<[-1]> : tensor<1xi64>
  %dx = moe.cross_entropy_grad %dy, %x, %l smoothing 0.0 ignore -100 : tensor<1xf32>, tensor<1x2xf32>, tensor<1xi64>
  return
}
