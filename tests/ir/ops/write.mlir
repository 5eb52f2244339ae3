// RUN: moec-opt %s -o %t.mlir && moec-evaluate %t.mlir
// write, prepared: state that @prepare computes

moe.parameter @weight : tensor<3x1xf32> init #moe.init<"constant", 4.0 : f64, 0.0 : f64>
moe.prepared @packed : tensor<2x1x2xf32>

func.func @prepare() {
  %w = moe.read @weight : tensor<3x1xf32>
  %p = moe.pack %w nr 2 : tensor<3x1xf32>
  moe.write @packed, %p : tensor<2x1x2xf32>
  return
}

func.func @check_packed() -> (tensor<2x1x2xf32>, tensor<2x1x2xf32>) {
  %y = moe.read @packed : tensor<2x1x2xf32>
  %expected = moe.constant dense<[[[4.0, 4.0]], [[4.0, 0.0]]]> : tensor<2x1x2xf32>
  return %y, %expected : tensor<2x1x2xf32>, tensor<2x1x2xf32>
}
