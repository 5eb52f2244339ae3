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
      {.name = "limit",
       .type = ParameterType::Number,
       .least = 0,
       .most = 1e6,
       .doc = "What the halves are held to: gate(x) from above, up(x) to both sides. Default: nothing.",
       .source =
           "transformers 5.24 (GptOssExperts: limit 7, quick_gelu, up_offset 1; its joined gate_up_proj, in which gate and up take turns, is cut into both)"},
      {.name = "up_offset",
       .type = ParameterType::Number,
       .fallback = "0",
       .least = -1e6,
       .most = 1e6,
       .doc = "Added to up(x), behind the limit.",
       .source = "transformers 5.24 (GptOssExperts: 1)"},
      {.name = "bias", .type = ParameterType::Bool, .fallback = "false", .doc = "Do the layers have biases?"},
      dropoutParameter("dropout", "0", "In training: the probability that an element becomes 0 in front of down, as by dropout."),
      {.name = "multiplier",
       .type = ParameterType::Bool,
       .fallback = "false",
       .doc = "Is there a learned factor for each hidden column, between the product of the halves and down? It begins "
              "with ones.",
       .source = "st-moe-pytorch d94e65d (GEGLU: mult_bias)"},
      initParameter(),
  };
}

Value gatedMlp(Site& site, const Arguments& arguments, Value x) {
  std::optional<int64_t> width = site.width(x);
  if (!width)
    return {};
  int64_t hidden = arguments.integer("hidden");
  int64_t out = arguments.has("out") ? arguments.integer("out") : *width;
  bool bias = arguments.flag("bias");
  Inits inits = initsOf(arguments);
  Value gate = linear(site.part("gate"), x, hidden, bias, inits);
  Value up = linear(site.part("up"), x, hidden, bias, inits);
  Ops& ops = site.ops();
  auto number = [&](double value) { return ops.constant({1}, {value}, site.element()); };
  if (arguments.has("limit")) {
    double limit = arguments.number("limit");
    gate = ops.binary<ir::MinOp>(gate, number(limit));
    up = ops.binary<ir::MaxOp>(ops.binary<ir::MinOp>(up, number(limit)), number(-limit));
  }
  if (double offset = arguments.number("up_offset"); offset != 0)
    up = ops.add(up, number(offset));
  Value y = ops.mul(activation(site, gate, arguments.word("activation")), up);
  if (arguments.flag("multiplier"))
    y = site.ops().mul(y, perColumn(site, "multiplier", hidden, Init{Init::Kind::Ones, 0, 0}));
  y = dropout(site.part("dropout"), y, arguments.number("dropout"));
  return linear(site.part("down"), y, out, bias, inits);
}

} // namespace moec::models
