#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

LogicalResult chooseSchedules(ModuleOp module, codegen::KernelEmitter& emitter) {
  WalkResult result = module.walk([&](KernelOp kernel) {
    if (kernel.getSchedule()) // written by hand into a dump: kept
      return WalkResult::advance();
    DictionaryAttr schedule = emitter.chooseSchedule(kernel);
    if (!schedule)
      return WalkResult::interrupt();
    kernel.setScheduleAttr(schedule);
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

} // namespace moec::compiler
