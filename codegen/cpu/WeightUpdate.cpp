// moe.kernel of kind `weight_update`: the product that makes the gradient of a weight, as in kernels of kind `matmul` and `weight_grad`, whose epilogue is the
// weight's update.
#include "codegen/cpu/Kernels.h"

namespace moec::codegen::cpu {

bool updatesExperts(ir::KernelOp kernel) { return !kernel.getBody().front().getOps<ir::GroupedWeightGradOp>().empty(); }

mlir::LogicalResult buildWeightUpdate(KernelBuilder& k, ir::KernelOp kernel) {
  return updatesExperts(kernel) ? buildWeightGrad(k, kernel) : buildMatmul(k, kernel);
}

mlir::DictionaryAttr scheduleWeightUpdate(ir::KernelOp kernel, const CpuTarget& target) {
  return updatesExperts(kernel) ? scheduleWeightGrad(kernel, target) : scheduleMatmul(kernel, target);
}

} // namespace moec::codegen::cpu
