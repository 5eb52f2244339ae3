#include "models/Layers.h"
#include "models/blocks/Blocks.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  if (!site.expects(inputs[0], 0, "(..)"))
    return {};
  return activation(site, inputs[0], arguments.word("function"));
}

} // namespace

const Kind& activationBlock() {
  static const Kind kind{
      .name = "activation",
      .doc = "A function of each element.",
      .source = "PyTorch 2.5 (torch.nn: ReLU, GELU, Tanh, Sigmoid, SiLU, LeakyReLU, Softplus, ELU)",
      .parameters = {{.name = "function",
                      .type = ParameterType::Word,
                      .required = true,
                      .words = activationWords(),
                      .doc = "gelu is exact (erf), gelu_tanh its approximation; leaky_relu has slope 0.01, elu alpha 1."}},
      .inExperts = true,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
