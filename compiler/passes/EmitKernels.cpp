#include "compiler/passes/BufferTable.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

LogicalResult emitKernels(Compilation& compilation, codegen::KernelEmitter& emitter, int& compiled, int& reused) {
  std::map<std::string, std::string> symbols; // of each key
  WalkResult result = compilation.module->walk([&](KernelOp kernel) {
    std::string key = emitter.key(kernel);
    auto known = symbols.find(key);
    if (known == symbols.end()) {
      auto image = emitter.emit(kernel);
      if (failed(image))
        return WalkResult::interrupt();
      known = symbols.emplace(key, image->symbol).first;
      compilation.images[image->symbol] = std::move(*image);
      ++compiled;
    } else {
      ++reused;
    }
    kernel->setAttr(symbolName, StringAttr::get(kernel.getContext(), known->second));
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

} // namespace moec::compiler
