#pragma once
// KernelEmitter of a CPU target.

#include "codegen/KernelEmitter.h"
#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

class CpuEmitter final : public KernelEmitter {
public:
  explicit CpuEmitter(const CpuTarget& target, bool debugInfo = false) : target_(target), debugInfo_(debugInfo) {}
  std::string target() const override { return target_.name; }
  LayerChoice chooseLayer(ir::KernelOp layer) override;
  bool updatesWeights() const override { return true; }
  mlir::DictionaryAttr chooseSchedule(ir::KernelOp kernel) override;
  std::vector<mlir::DictionaryAttr> candidates(ir::KernelOp kernel, mlir::DictionaryAttr schedule) override;
  std::optional<std::string> refuse(ir::KernelOp kernel, mlir::DictionaryAttr schedule) override;
  std::string keyWithoutSchedule(ir::KernelOp kernel) override;
  std::optional<std::string> dependsOnNeighbours(ir::KernelOp kernel) override;
  std::string key(ir::KernelOp kernel) override;
  std::string symbolOf(ir::KernelOp kernel) override { return codegen::symbolOf(kernel, key(kernel)); }
  mlir::FailureOr<KernelImage> emit(ir::KernelOp kernel) override;
  mlir::FailureOr<std::string> print(ir::KernelOp kernel, CodeText form) override;

private:
  mlir::FailureOr<mlir::ModuleOp> build(ir::KernelOp kernel, KernelBuilder& k);

  const CpuTarget& target_;
  bool debugInfo_;
};

} // namespace moec::codegen::cpu
