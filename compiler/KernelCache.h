#pragma once
// Kernels' images on disk, by all that their bytes depend on: a changed model compiles only the kernels that changed. An entry is a file of its own, a
// container (runtime/core/Container.h); it appears whole or not at all, and every byte of it is checked when it is read. Knows no phase and no module.

#include "codegen/KernelEmitter.h"

namespace moec::compiler {

class KernelCache {
public:
  /// The folder is made at the first store().
  explicit KernelCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  struct Lookup {
    std::optional<codegen::KernelImage> image;
    bool isBad = false; // there is an entry, but it is damaged or of something else
  };
  /// `key` is KernelEmitter::key(). Both may be called from several threads and processes at once.
  Lookup find(const std::string& key) const;
  /// `target`: for people. Error(System) when the folder cannot be written.
  void store(const std::string& key, const codegen::KernelImage& image, const std::string& target) const;

private:
  std::filesystem::path folder_;
};

} // namespace moec::compiler
