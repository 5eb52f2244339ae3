#pragma once
// What cmake/EmbedSkeletons.cmake makes of codegen/cuda/skeletons.

#include <span>
#include <string_view>
#include <vector>

namespace moec::codegen::cuda {

struct SkeletonFile {
  std::string_view name;                  // "product.cuh"
  std::vector<std::string_view> includes; // names of other skeletons
  std::string_view text;                  // without its #pragma and #include lines
};
std::span<const SkeletonFile> skeletonFiles();

} // namespace moec::codegen::cuda
