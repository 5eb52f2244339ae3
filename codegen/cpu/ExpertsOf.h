#pragma once
// The form of a kernel of kind `gate` that makes no choice: it takes a routing apart (GatePlan.h, takesRoutingsApart).

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

mlir::LogicalResult buildExpertsOf(KernelBuilder& k, ir::KernelOp kernel);
mlir::DictionaryAttr scheduleExpertsOf(ir::KernelOp kernel);

} // namespace moec::codegen::cpu
