#include "codegen/cpu/Schedule.h"

namespace moec::codegen::cpu {

mlir::DictionaryAttr BlockSchedule::toAttr(mlir::MLIRContext* context) const {
  mlir::Builder builder(context);
  return builder.getDictionaryAttr({builder.getNamedAttr("block", builder.getI64IntegerAttr(block))});
}

mlir::FailureOr<BlockSchedule> BlockSchedule::of(ir::KernelOp kernel) {
  mlir::DictionaryAttr attr = kernel.getScheduleAttr();
  auto block = attr ? attr.getAs<mlir::IntegerAttr>("block") : mlir::IntegerAttr();
  BlockSchedule schedule{block ? block.getInt() : 0};
  if (!schedule.legal())
    return kernel.emitError() << "internal: a kernel of kind \"" << kernel.getKind() << "\" needs a schedule {block = N : i64} with N >= 1";
  return schedule;
}

} // namespace moec::codegen::cpu
