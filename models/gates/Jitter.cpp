#include "models/gates/Jitter.h"

namespace moec::models {

namespace {

/// Draws from [1 - jitter, 1 + jitter) of x's shape.
mlir::Value factorsFor(Site& site, mlir::Value x, double jitter) {
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  mlir::Value draws = ops.random(ir::Distribution::Uniform, site.part("jitter").path(), ir::sizesOf(x), element);
  return ops.add(ops.mul(draws, ops.constant({1}, {2 * jitter}, element)), ops.constant({1}, {1 - jitter}, element));
}

/// Is there one, in the mode that the model is built in?
bool isOn(Site& site, const Arguments& arguments) { return site.isTraining() && arguments.number("jitter") > 0; }

} // namespace

std::vector<Parameter> jitterParameters(std::string jitter) {
  return {
      {.name = "jitter",
       .type = ParameterType::Number,
       .fallback = std::move(jitter),
       .least = 0,
       .most = 1,
       .doc = "In training the router's input is multiplied by draws from [1 - jitter, 1 + jitter). In inference "
              "nothing happens."},
      {.name = "jitter_on",
       .type = ParameterType::Word,
       .fallback = "\"router\"",
       .words = {"router", "tokens", "logits"},
       .doc = "What the jitter multiplies: the router's input alone, or the experts' input with it. logits: it is "
              "added to the router's result, where the 1 in it cancels in the softmax.",
       .source = "tokens: transformers 5.24 (SwitchTransformersTop1Router, which does so in models of f32, and "
                 "MixtralSparseMoeBlock); logits: fastmoe ee3c561 (SwitchGate)"},
  };
}

mlir::Value jitteredInput(Site& site, const Arguments& arguments, mlir::Value tokens) {
  mlir::Value x = site.ops().cast(tokens, site.routerElement());
  return isOn(site, arguments) && arguments.word("jitter_on") != "logits" ? timesJitter(site, x, arguments.number("jitter")) : x;
}

mlir::Value jitteredLogits(Site& site, const Arguments& arguments, mlir::Value logits) {
  if (!logits || !isOn(site, arguments) || arguments.word("jitter_on") != "logits")
    return logits;
  return site.ops().add(logits, factorsFor(site, logits, arguments.number("jitter")));
}

mlir::Value jitteredTokens(Site& site, const Arguments& arguments, mlir::Value input) {
  bool onTokens = isOn(site, arguments) && arguments.word("jitter_on") == "tokens";
  return onTokens ? site.ops().cast(input, site.element()) : mlir::Value();
}

mlir::Value timesJitter(Site& site, mlir::Value x, double jitter) { return x ? site.ops().mul(x, factorsFor(site, x, jitter)) : mlir::Value(); }

} // namespace moec::models
