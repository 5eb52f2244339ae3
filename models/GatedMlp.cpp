#include "models/Layers.h"

using mlir::Value;

namespace moec::models {

std::vector<Parameter> gatedMlpParameters() {
  return {
      {.name = "hidden", .required = true, .doc = "Hidden width (H) of both halves."},
      {.name = "out", .doc = "Output width; default: the input's."},
      {.name = "activation",
       .type = ParameterType::Word,
       .fallback = "\"silu\"",
       .words = activationWords(),
       .doc = "Of the gate: silu makes SwiGLU, gelu GEGLU, relu ReGLU, sigmoid GLU, identity the bilinear form."},
      {.name = "bias", .type = ParameterType::Bool, .fallback = "false", .doc = "Do the layers have biases?"},
      {.name = "multiplier",
       .type = ParameterType::Bool,
       .fallback = "false",
       .doc = "Is there a learned factor for each hidden column, between the product of the halves and down? It begins "
              "with ones.",
       .source = "st-moe-pytorch d94e65d (GEGLU: mult_bias)"},
      {.name = "init", .type = ParameterType::Inits, .doc = "How weights and biases begin; a number is a constant, uniform_fan_out +-1/sqrt(out)."},
  };
}

Value gatedMlp(Site& site, const Arguments& arguments, Value x) {
  std::optional<int64_t> width = site.width(x);
  if (!width)
    return {};
  int64_t hidden = arguments.integer("hidden");
  int64_t out = arguments.has("out") ? arguments.integer("out") : *width;
  bool bias = arguments.flag("bias");
  Inits inits = initsOf(arguments, hidden);
  Value gate = activation(site, linear(site.part("gate"), x, hidden, bias, inits), arguments.word("activation"));
  Value y = site.ops().mul(gate, linear(site.part("up"), x, hidden, bias, inits));
  if (arguments.flag("multiplier"))
    y = site.ops().mul(y, perColumn(site, "multiplier", hidden, Init{Init::Kind::Ones, 0, 0}));
  return linear(site.part("down"), y, out, bias, initsOf(arguments, out));
}

} // namespace moec::models
