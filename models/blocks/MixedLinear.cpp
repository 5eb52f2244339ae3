#include "models/Layers.h"
#include "models/Statistics.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

using mlir::Value;

namespace moec::models {

namespace {

bool isOrthogonal(const Json* rule) { return rule && !rule->isNumber() && (rule->isObject() ? rule->object().front().key : rule->string()) == "orthogonal"; }

Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<Value> inputs) {
  Value x = inputs[0], coefficients = inputs[1];
  if (!site.expects(x, 2, "(batch, width)") || !site.expects(coefficients, 2, "coefficients (batch, experts)"))
    return {};
  std::optional<int64_t> in = site.width(x), experts = site.width(coefficients);
  if (!in || !experts)
    return {};
  Size batch = ir::sizesOf(x)[0];
  if (!(ir::sizesOf(coefficients)[0] == batch))
    return site.error(fmt::format("\"mixed_linear\" on {} takes a row of coefficients for each row, and gets {}", ir::describe(ir::sizesOf(x)),
                                  ir::describe(ir::sizesOf(coefficients))));
  int64_t out = arguments.integer("out");
  Inits inits = initsOf(arguments);
  for (const Json* rule : {inits.weight, inits.bias})
    if (isOrthogonal(rule))
      return site.error(arguments.at("init"), "\"mixed_linear\" keeps its experts side by side in one matrix, of which \"orthogonal\" would make "
                                              "one with orthogonal rows, not one of each expert; take another word");
  Ops& ops = site.ops();
  // (sum over e of c_e W_e) x = (W_0 W_1 ..) (c_0 x, c_1 x, ..): no matrix of a sample is ever made.
  Value weight = site.parameter("weight", {out, *experts * *in}, initOf(inits.weight, *in, out, uniformFanIn(*in)));
  Value wide = ops.mul(ops.reshape(coefficients, {batch, *experts, 1}), ops.reshape(x, {batch, 1, *in}));
  Value y = ops.matmul(ops.reshape(wide, {batch, Size(*experts * *in)}), weight);
  if (arguments.flag("bias"))
    y = ops.add(y, ops.matmul(coefficients, site.parameter("bias", {out, *experts}, initOf(inits.bias, *in, out, {}))));
  if (site.wantsStatistics())
    addLoad(site, coefficients);
  return y;
}

} // namespace

const Kind& mixedLinearBlock() {
  static const Kind kind{
      .name = "mixed_linear",
      .doc = "A linear layer whose parameters are mixed for each row of x (B, in), by its coefficients (B, E): the sum over e of "
             "c_e (W_e x + b_e). It is one product with W (out, E * in), the experts' matrices side by side, and one with b (out, E); "
             "the matrices of a row are never made. \"from\" names x, then the coefficients. Weights begin uniform in "
             "+-1/sqrt(in), as a Linear of each expert's own, biases with zeros.",
      .source = "electronicarts/character-motion-vaes (MixedDecoder), which makes the mixed matrices; Ling, Fast mixture-of-experts in "
                "PyTorch (layer-wise)",
      .parameters =
          {
              {.name = "out", .required = true, .doc = "Output width."},
              {.name = "bias", .type = ParameterType::Bool, .fallback = "true", .doc = "Are there biases?"},
              initParameter("How weights and biases begin, not orthogonal, which would be of all experts together."),
          },
      .inputs = 2,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
