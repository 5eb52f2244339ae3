// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// elu: alpha (exp(x) - 1) left of zero

func.func @check_f64() -> (tensor<4xf64>, tensor<4xf64>) {
  %x = moe.constant dense<[1.5, 0.0, -1.0, 0xFFF0000000000000]> : tensor<4xf64>
  %y = moe.elu %x alpha 2.0 : tensor<4xf64>
  %expected = moe.constant dense<[1.5, 0.0, -1.2642411176571153, -2.0]> : tensor<4xf64>
  return %y, %expected : tensor<4xf64>, tensor<4xf64>
}

// no cancellation near zero
func.func @check_small() -> (tensor<1xf64>, tensor<1xf64>) {
  %x = moe.constant dense<[-1.0e-12]> : tensor<1xf64>
  %y = moe.elu %x alpha 2.0 : tensor<1xf64>
  %expected = moe.constant dense<[-1.999999999999e-12]> : tensor<1xf64>
  return %y, %expected : tensor<1xf64>, tensor<1xf64>
}
