#include "models/Site.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

#include <algorithm>

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  if (!site.expects(inputs[0], 0, "(..)"))
    return {};
  std::vector<int64_t> axes = arguments.integers("axes"), sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  ir::Sizes shape = ir::sizesOf(inputs[0]);
  bool isPermutation = sorted.size() == shape.size();
  for (size_t i = 0; isPermutation && i < sorted.size(); ++i)
    isPermutation = sorted[i] == static_cast<int64_t>(i);
  if (!isPermutation)
    return site.error(arguments.at("axes"), fmt::format("\"axes\" name each axis of {} once, from 0 to {}", ir::describe(shape), shape.size() - 1));
  return site.ops().transpose(inputs[0], axes);
}

} // namespace

const Kind& transposeBlock() {
  static const Kind kind{
      .name = "transpose",
      .doc = "The axes in another order.",
      .source = "PyTorch 2.5 (torch.permute)",
      .parameters = {{.name = "axes",
                      .type = ParameterType::Integers,
                      .required = true,
                      .least = 0,
                      .most = 7,
                      .doc = "The input's axes in the order of the result: [1, 0, 2] swaps the first two."}},
      .block = build,
  };
  return kind;
}

} // namespace moec::models
