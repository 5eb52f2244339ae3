#include "codegen/KernelEmitter.h"

#include "codegen/cpu/CpuEmitter.h"

namespace moec::codegen {

std::vector<std::string> streamsOf(ir::KernelOp kernel) {
  std::vector<std::string> paths;
  for (mlir::Operation& op : kernel.getBody().front())
    if (auto random = mlir::dyn_cast<ir::RandomOp>(op))
      paths.push_back(random.getPath().str());
  return paths;
}

std::unique_ptr<KernelEmitter> makeEmitter(const std::string& target, std::string& error) {
  if (const cpu::CpuTarget* found = cpu::findTarget(target))
    return std::make_unique<cpu::CpuEmitter>(*found);
  error = "unknown target \"" + target + "\"; known: cpu:x86-64-v3, cpu:x86-64-v4";
  return nullptr;
}

} // namespace moec::codegen
