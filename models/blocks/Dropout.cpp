#include "models/Layers.h"
#include "models/blocks/Blocks.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  return site.expects(inputs[0], 0, "(..)") ? dropout(site, inputs[0], arguments.number("p")) : mlir::Value();
}

} // namespace

const Kind& dropoutBlock() {
  static const Kind kind{
      .name = "dropout",
      .doc = "In training, elements become 0 with probability p and the others are divided by 1 - p. In inference "
             "nothing happens.",
      .source = "Srivastava et al. 2014; PyTorch 2.5 (torch.nn.Dropout)",
      .parameters = {dropoutParameter("p", "0.1", "The probability. PyTorch's default is 0.5, its TransformerEncoderLayer's 0.1.")},
      .inExperts = true,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
