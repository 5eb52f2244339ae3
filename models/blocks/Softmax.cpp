#include "models/Site.h"
#include "models/blocks/Blocks.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments&, llvm::ArrayRef<mlir::Value> inputs) {
  return site.expects(inputs[0], 0, "(..)") ? site.ops().softmax(inputs[0]) : mlir::Value();
}

} // namespace

const Kind& softmaxBlock() {
  static const Kind kind{
      .name = "softmax",
      .doc = "exp(x) over the sum of exp(x) along the last dimension.",
      .source = "PyTorch 2.5 (torch.nn.Softmax, dim = -1)",
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
