#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

LogicalResult chooseSchedules(ModuleOp module, ScheduleSource& source) {
  WalkResult result = module.walk([&](KernelOp kernel) {
    if (kernel.getSchedule()) // written by hand into a dump: kept
      return WalkResult::advance();
    return succeeded(source.choose(kernel)) ? WalkResult::advance() : WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

} // namespace moec::compiler
