#pragma once
// One kernel's image, loaded by a driver: machine code where it is made for exactly this GPU, else PTX through the driver's compiler.

#include "runtime/core/CudaImage.h"
#include "runtime/core/Plan.h"
#include "runtime/device/cuda/CudaContext.h"

#include <span>

namespace moec {

class CudaModule {
public:
  /// Error(Data) for a damaged image, Error(Device) with the driver's log when it refuses the code; both name the kernel.
  CudaModule(std::shared_ptr<const CudaContext> context, std::span<const uint8_t> image, const std::string& kernel, const std::string& target);
  ~CudaModule();
  CudaModule(const CudaModule&) = delete;
  CudaModule& operator=(const CudaModule&) = delete;

  /// Ready for a launch with the stage's shared memory. Error(Data) naming the function that the image lacks.
  cuda::Function function(const GridInfo& grid) const;
  /// A line of the CUDA text, without the blanks it begins with; empty when the file is another one or the text has no such line.
  std::string sourceLine(const std::string& file, int line) const;

private:
  std::shared_ptr<const CudaContext> context_;
  std::string kernel_, target_, fileName_, source_;
  cuda::Module module_ = nullptr;
};

} // namespace moec
