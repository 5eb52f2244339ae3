#pragma once
// The form of a kernel of kind `gate` that makes no choice: it takes a routing apart (GatePlan.h, takesRoutingsApart).

#include "codegen/cuda/KernelText.h"

namespace moec::codegen::cuda {

mlir::LogicalResult buildExpertsOf(KernelText& k, ir::KernelOp kernel);
mlir::DictionaryAttr scheduleExpertsOf(ir::KernelOp kernel);

} // namespace moec::codegen::cuda
