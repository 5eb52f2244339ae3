#pragma once
// KernelEmitter of a CUDA target: CUDA text by the builders of Kernels.h, compiled by NVRTC.

#include "codegen/KernelEmitter.h"
#include "codegen/cuda/KernelText.h"
#include "codegen/cuda/Nvrtc.h"
#include "codegen/cuda/UserTexts.h"

namespace moec::codegen::cuda {

class CudaEmitter final : public KernelEmitter {
public:
  CudaEmitter(const CudaTarget& target, const EmitterOptions& options) : target_(target), users_(options.kernels) {}
  std::string target() const override { return target_.name; }
  LayerChoice chooseLayer(ir::KernelOp layer) override;
  mlir::DictionaryAttr chooseSchedule(ir::KernelOp kernel) override;
  /// Holds NVRTC's build too, and the user's text where there is one.
  std::string key(ir::KernelOp kernel) override;
  std::string keyWithoutSchedule(ir::KernelOp kernel) override;
  std::string symbolOf(ir::KernelOp kernel) override;
  mlir::FailureOr<KernelImage> emit(ir::KernelOp kernel) override;
  mlir::FailureOr<std::string> print(ir::KernelOp kernel, CodeText form) override;

private:
  mlir::LogicalResult build(ir::KernelOp kernel, KernelText& k);
  /// Error(Data) when it is a user's text that NVRTC refuses or that does not fit the launches.
  mlir::FailureOr<CompiledCuda> compile(const KernelText& k, const CudaSource& source, bool byUser);

  const CudaTarget& target_;
  UserTexts users_;
};

} // namespace moec::codegen::cuda
