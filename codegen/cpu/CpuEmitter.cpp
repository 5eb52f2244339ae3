#include "codegen/cpu/CpuEmitter.h"

#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/ObjectCompiler.h"

#include <fmt/format.h>

namespace moec::codegen::cpu {

namespace {

/// Counts up when the code of some kernel changes: it is part of every key.
constexpr int kEmitterVersion = 1;

struct Kind {
  std::string_view name;
  mlir::LogicalResult (*build)(KernelBuilder&, ir::KernelOp);
  mlir::DictionaryAttr (*schedule)(ir::KernelOp, const CpuTarget&);
};

constexpr Kind kKinds[] = {
    {"rows", buildRows, scheduleRows},
    {"loops", buildLoops, scheduleLoops},
    {"pack", buildPack, schedulePack},
    {"matmul", buildMatmul, scheduleMatmul},
    {"expert_up", buildExpertUp, scheduleExpertUp},
    {"expert_mid", buildExpertUp, scheduleExpertUp},
    {"expert_down", buildExpertDown, scheduleExpertDown},
    {"attention", buildAttention, scheduleAttention},
    {"gate", buildGate, scheduleGate},
};

/// Null with a diagnostic for a kind that no builder writes.
const Kind* findKind(ir::KernelOp kernel) {
  std::string known;
  for (const Kind& kind : kKinds) {
    if (std::string_view(kernel.getKind()) == kind.name)
      return &kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  kernel.emitError() << "internal: no CPU builder for kernels of kind \"" << kernel.getKind() << "\"; known: " << known;
  return nullptr;
}

} // namespace

mlir::DictionaryAttr CpuEmitter::chooseSchedule(ir::KernelOp kernel) {
  const Kind* kind = findKind(kernel);
  return kind ? kind->schedule(kernel, target_) : nullptr;
}

std::string CpuEmitter::key(ir::KernelOp kernel) {
  return keyOf(kernel, fmt::format("emitter {} {}", kEmitterVersion, target_.name));
}

mlir::FailureOr<mlir::ModuleOp> CpuEmitter::build(ir::KernelOp kernel, KernelBuilder& k) {
  const Kind* kind = findKind(kernel);
  if (!kind || mlir::failed(kind->build(k, kernel)))
    return mlir::failure();
  std::string error;
  mlir::FailureOr<mlir::ModuleOp> module = k.finish(error);
  if (mlir::failed(module))
    kernel.emitError() << "internal: " << error;
  return module;
}

mlir::FailureOr<KernelImage> CpuEmitter::emit(ir::KernelOp kernel) {
  std::string symbol = symbolOf(kernel), error;
  KernelBuilder k(kernel, symbol, target_);
  mlir::FailureOr<mlir::ModuleOp> module = build(kernel, k);
  if (mlir::failed(module))
    return mlir::failure();
  mlir::FailureOr<std::vector<uint8_t>> image = compileToImage(*module, target_, symbol, error);
  if (mlir::failed(image))
    return kernel.emitError() << "internal: " << error;
  return KernelImage{symbol, std::move(*image), k.sizes(), k.stages(), k.workspaces()};
}

mlir::FailureOr<std::string> CpuEmitter::print(ir::KernelOp kernel, CodeText form) {
  KernelBuilder k(kernel, symbolOf(kernel), target_);
  mlir::FailureOr<mlir::ModuleOp> module = build(kernel, k);
  if (mlir::failed(module))
    return mlir::failure();
  if (form == CodeText::None)
    return std::string();
  std::string error;
  mlir::FailureOr<std::string> text = printCode(*module, target_, form, error);
  if (mlir::failed(text))
    return kernel.emitError() << "internal: " << error;
  return text;
}

} // namespace moec::codegen::cpu
