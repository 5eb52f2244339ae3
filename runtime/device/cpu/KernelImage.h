#pragma once
// A kernel's shared object, opened from memory.

#include "runtime/core/KernelAbi.h"

#include <span>
#include <string>

namespace moec {

class KernelImage {
public:
  /// Error(Data) naming kernel and target when the bytes are no shared object that this process can open, or lack the symbol;
  /// Error(System) when the machine refuses memory that can be executed.
  KernelImage(std::span<const uint8_t> bytes, const std::string& symbol, const std::string& target);
  ~KernelImage();
  KernelImage(const KernelImage&) = delete;
  KernelImage& operator=(const KernelImage&) = delete;

  KernelFunction function() const { return function_; }

private:
  void* library_ = nullptr;
  KernelFunction function_ = nullptr;
};

} // namespace moec
