#pragma once
// A kernel's shared object, opened from memory.

#include "runtime/core/KernelAbi.h"

#include <filesystem>
#include <span>
#include <string>

namespace moec {

class KernelImage {
public:
  /// Error(Data) naming kernel and target when the bytes are no shared object that this process can open, or lack the symbol;
  /// Error(System) when the machine refuses memory that can be executed.
  /// `folder`: where a file of the image is written, and opened from, instead of from memory; it stays there. Empty: memory.
  KernelImage(std::span<const uint8_t> bytes, const std::string& symbol, const std::string& target, const std::filesystem::path& folder = {});
  ~KernelImage();
  KernelImage(const KernelImage&) = delete;
  KernelImage& operator=(const KernelImage&) = delete;

  KernelFunction function() const { return function_; }

private:
  void close();

  int file_ = -1; // keeps the path of an image in memory alive
  void* library_ = nullptr;
  KernelFunction function_ = nullptr;
};

} // namespace moec
