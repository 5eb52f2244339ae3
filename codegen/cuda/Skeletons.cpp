#include "codegen/cuda/Skeletons.h"

#include "codegen/cuda/SkeletonTexts.h"

#include <algorithm>
#include <stdexcept>

namespace moec::codegen::cuda {

namespace {

const SkeletonFile& fileOf(std::string_view name) {
  for (const SkeletonFile& file : skeletonFiles())
    if (file.name == name)
      return file;
  throw std::logic_error("there is no CUDA skeleton " + std::string(name));
}

void collect(std::string_view name, std::vector<std::string>& order) {
  if (std::find(order.begin(), order.end(), name) != order.end())
    return;
  for (std::string_view included : fileOf(name).includes)
    collect(included, order);
  order.emplace_back(name);
}

} // namespace

std::vector<std::string> skeletonsOf(std::string_view name) {
  std::vector<std::string> order;
  collect(name, order);
  return order;
}

std::string_view skeletonText(std::string_view name) { return fileOf(name).text; }

} // namespace moec::codegen::cuda
