#include "codegen/KernelEmitter.h"

#include "codegen/cpu/CpuEmitter.h"
#include "codegen/cuda/CudaEmitter.h"

#include "llvm/Support/raw_ostream.h"
#include "llvm/Support/xxhash.h"

#include <fmt/ranges.h>

namespace moec::codegen {

std::vector<std::string> streamsOf(ir::KernelOp kernel) {
  std::vector<std::string> paths;
  for (mlir::Operation& op : kernel.getBody().front())
    if (auto random = mlir::dyn_cast<ir::RandomOp>(op))
      paths.push_back(random.getPath().str());
  return paths;
}

std::optional<std::string> KernelEmitter::refuse(ir::KernelOp, mlir::DictionaryAttr) { return "kernels of " + target() + " are not tuned"; }

namespace {

std::string keyText(ir::KernelOp kernel, const std::string& emitter, mlir::DictionaryAttr schedule) {
  std::string text;
  llvm::raw_string_ostream out(text);
  out << emitter << " " << kernel.getKind() << " ";
  if (schedule)
    out << schedule;
  llvm::DenseMap<mlir::Value, unsigned> numbers;
  auto define = [&](mlir::Value value) { out << " %" << numbers.try_emplace(value, numbers.size()).first->second << ":" << value.getType(); };
  mlir::Block& body = kernel.getBody().front();
  for (mlir::Value argument : body.getArguments())
    define(argument);
  for (mlir::Operation& op : body) {
    out << "\n" << op.getName();
    for (mlir::Value operand : op.getOperands())
      out << " %" << numbers.lookup(operand);
    for (mlir::NamedAttribute attribute : op.getAttrDictionary()) {
      if (mlir::isa<ir::RandomOp>(op) && attribute.getName() == "path")
        continue; // an argument of the launch
      out << " " << attribute.getName() << "=" << attribute.getValue();
    }
    out << " ->";
    for (mlir::Value result : op.getResults())
      define(result);
  }
  return text;
}

} // namespace

std::string keyOf(ir::KernelOp kernel, const std::string& emitter) { return keyText(kernel, emitter, kernel.getScheduleAttr()); }
std::string keyWithoutScheduleOf(ir::KernelOp kernel, const std::string& emitter) { return keyText(kernel, emitter, nullptr); }

std::string symbolOf(ir::KernelOp kernel, const std::string& key) {
  llvm::XXH128_hash_t hash = llvm::xxh3_128bits(llvm::ArrayRef(reinterpret_cast<const uint8_t*>(key.data()), key.size()));
  return fmt::format("{}_{:016x}{:016x}", std::string_view(kernel.getKind()), hash.high64, hash.low64);
}

std::unique_ptr<KernelEmitter> makeEmitter(const std::string& target, std::string& error, const EmitterOptions& options) {
  if (const cpu::CpuTarget* found = cpu::findTarget(target))
    return std::make_unique<cpu::CpuEmitter>(*found, options.debugInfo);
  if (const CudaTarget* found = findCudaTarget(target))
    return std::make_unique<cuda::CudaEmitter>(*found, options);
  std::vector<std::string> known;
  for (const cpu::CpuTarget& one : cpu::targets())
    known.push_back(one.name);
  for (const CudaTarget& one : cudaTargets())
    known.push_back(one.name);
  error = fmt::format("unknown target \"{}\"; known: {}", target, fmt::join(known, ", "));
  return nullptr;
}

} // namespace moec::codegen
