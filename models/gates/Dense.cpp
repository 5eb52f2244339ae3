#include "models/Layers.h"
#include "models/gates/Gates.h"

namespace moec::models {

namespace {

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  if (!site.width(tokens))
    return std::nullopt;
  bool bias = arguments.flag("bias");
  mlir::Value x = site.ops().cast(tokens, site.routerElement());
  if (arguments.has("widths"))
    for (auto [i, width] : llvm::enumerate(arguments.integers("widths"))) {
      Site layer = site.part("layers").part(std::to_string(i));
      x = activation(layer, routerLayer(layer, x, width, bias, initsOf(arguments)), arguments.word("activation"));
    }
  mlir::Value logits = routerLayer(site, x, experts, bias, initsOf(arguments));
  addZLoss(site, arguments, logits);
  return GateResult{.routing = {}, .weights = site.ops().softmax(logits), .logits = logits};
}

} // namespace

const Kind& denseGate() {
  static const Kind kind{
      .name = "dense",
      .family = Family::Gate,
      .doc = "Every token goes to every expert, weighted by the softmax over the logits. Weights and biases begin as "
             "PyTorch's Linear.",
      .source = "Jacobs et al. 1991, Adaptive mixtures of local experts",
      .parameters =
          {
              {.name = "widths",
               .type = ParameterType::Integers,
               .doc = "Output widths of layers in front of the last one, which makes the logits. Default: none."},
              {.name = "activation",
               .type = ParameterType::Word,
               .fallback = "\"elu\"",
               .words = activationWords(),
               .doc = "Behind each layer of widths. leaky_relu has slope 0.01, elu alpha 1.",
               .source = "electronicarts/character-motion-vaes (MixedDecoder)"},
              {.name = "bias", .type = ParameterType::Bool, .fallback = "true", .doc = "Do the layers have biases?"},
              initParameter("How the layers' weights and biases begin."),
              zLossParameter(),
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
