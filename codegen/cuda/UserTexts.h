#pragma once
// CUDA texts that a user puts in the place of moec's: the .cu files of a folder, named after the kernels' symbols. Knows files; knows no kernel.

#include "codegen/cuda/Nvrtc.h"

#include <filesystem>
#include <map>

namespace moec::codegen::cuda {

class UserTexts {
public:
  /// Reads the files now: what is compiled is what keys were made of. An empty path: no texts. Error(Data) for a folder or a file that cannot be read.
  explicit UserTexts(const std::filesystem::path& folder);
  /// Its file is named as the folder was: "kernels/gate_4f...e1.cu". Null when the folder has none.
  const CudaSource* find(const std::string& symbol) const;

private:
  std::map<std::string, CudaSource> texts_; // by symbol
};

} // namespace moec::codegen::cuda
