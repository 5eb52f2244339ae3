#pragma once
// KernelEmitter of a CUDA target: CUDA text by the builders of Kernels.h, compiled by NVRTC.

#include "codegen/KernelEmitter.h"
#include "codegen/cuda/KernelText.h"

namespace moec::codegen::cuda {

class CudaEmitter final : public KernelEmitter {
public:
  CudaEmitter(const CudaTarget& target, EmitterOptions options) : target_(target), options_(std::move(options)) {}
  std::string target() const override { return target_.name; }
  bool writesLayers() const override { return true; }
  LayerChoice chooseLayer(ir::KernelOp layer) override;
  mlir::DictionaryAttr chooseSchedule(ir::KernelOp kernel) override;
  /// Holds NVRTC's version too, and the user's text where there is one.
  std::string key(ir::KernelOp kernel) override;
  mlir::FailureOr<KernelImage> emit(ir::KernelOp kernel) override;
  mlir::FailureOr<std::string> print(ir::KernelOp kernel, CodeText form) override;

private:
  mlir::LogicalResult build(ir::KernelOp kernel, KernelText& k);
  std::string symbolOf(ir::KernelOp kernel);
  std::filesystem::path usersText(const std::string& symbol) const;

  const CudaTarget& target_;
  EmitterOptions options_;
};

} // namespace moec::codegen::cuda
