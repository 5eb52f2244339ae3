#pragma once
// The .cuh files of codegen/cuda/skeletons as texts in the library. A file's own #include lines name what must stand before it; in the texts they
// and the #pragma once are left out, for a kernel's text is one file.

#include <string>
#include <string_view>
#include <vector>

namespace moec::codegen::cuda {

/// `name` ("product.cuh") and what it includes, in the order in which they must stand.
std::vector<std::string> skeletonsOf(std::string_view name);
std::string_view skeletonText(std::string_view name);

} // namespace moec::codegen::cuda
