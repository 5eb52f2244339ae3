#include "models/gates/Gates.h"

#include <cmath>

using mlir::Value;

namespace moec::models {

namespace {

/// The router of one call: logits (T, E) without noise and with it, the noise's deviation, the K best and the first
/// left out.
struct Noisy {
  Value clean, noisy, deviation, values, indices;
};

Noisy route(Site& site, const Arguments& arguments, Value tokens, int64_t experts) {
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  Value x = ops.cast(tokens, element), clean = routerLayer(site, x, experts, false, initsOf(arguments));
  Noisy result{clean, clean, {}, {}, {}};
  Site noise = site.part("noise");
  Value spread = routerLayer(noise, x, experts, false, initsOf(arguments)); // a parameter in inference too
  site.ops();                                                               // what follows stands at the gate again
  if (site.isTraining()) {
    result.deviation = ops.add(ops.unary<ir::SoftplusOp>(spread), ops.constant({1}, {arguments.number("least_noise")}, element));
    Value draws = ops.random(ir::Distribution::Normal, noise.path(), {ir::sizesOf(tokens)[0], experts}, element);
    result.noisy = ops.add(clean, ops.mul(draws, result.deviation));
  }
  auto [values, indices] = ops.select(result.noisy, std::min(arguments.integer("top_k") + 1, experts));
  result.values = values, result.indices = indices;
  return result;
}

/// The probability (T, E) that e would be among the K best if its noise alone were drawn again: Shazeer et al.,
/// equation (9).
Value chances(Ops& ops, const Noisy& router, int64_t choices, mlir::Type element) {
  Value least = ops.slice(router.values, 1, choices, 1), last = ops.slice(router.values, 1, choices - 1, 1);
  Value others = ops.where(ops.compare(ir::Predicate::GT, router.noisy, least), least, last); // the K-th best without e
  Value away = ops.div(ops.sub(router.clean, others), router.deviation);
  Value half = ops.constant({1}, {0.5}, element);
  Value erf = ops.unary<ir::ErfOp>(ops.mul(away, ops.constant({1}, {std::sqrt(0.5)}, element)));
  return ops.add(ops.mul(erf, half), half);
}

void addLosses(Site& site, const Arguments& arguments, const Noisy& router, Value indices, Value weights, int64_t experts) {
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  int64_t choices = arguments.integer("top_k");
  Value given; // each expert's weight for each token, (T, E)
  for (int64_t choice = 0; choice < choices; ++choice) {
    Value one = ops.mul(oneHot(ops, ops.slice(indices, 1, choice, 1), experts, element), ops.slice(weights, 1, choice, 1));
    given = given ? ops.add(given, one) : one;
  }
  Value counts =
      choices < experts ? chances(ops, router, choices, element) : ops.cast(ops.compare(ir::Predicate::GT, given, ops.constant({1}, {0}, element)), element);
  auto variation = [&](Value perToken) { return squaredVariation(ops, ops.reduce(ir::ReduceKind::Sum, perToken, 0)); };
  site.addLoss("importance_loss", variation(given), arguments.number("importance_loss"));
  site.addLoss("load_loss", variation(counts), arguments.number("load_loss"));
  addZLoss(site, arguments, router.clean);
}

std::optional<GateResult> build(Site& site, const Arguments& arguments, Value tokens, int64_t experts) {
  if (!checkChoices(site, arguments, experts) || !site.width(tokens))
    return std::nullopt;
  Ops& ops = site.ops();
  int64_t choices = arguments.integer("top_k");
  Noisy router = route(site, arguments, tokens, experts);
  if (!router.values)
    return std::nullopt;
  Value indices = site.chosen(ops.slice(router.indices, 1, 0, choices), experts);
  Value weights = ops.softmax(site.replays() ? ops.take(router.noisy, indices) : ops.slice(router.values, 1, 0, choices));
  if (site.isTraining())
    addLosses(site, arguments, router, indices, weights, experts);
  return GateResult{.routing = ops.assign(indices, experts, ir::Priority::TokenMajor, std::nullopt), .weights = weights, .logits = router.noisy};
}

Parameter variationLoss(const char* name, const char* of) {
  return {.name = name,
          .type = ParameterType::Number,
          .fallback = "0.1",
          .least = 0,
          .most = 1e6,
          .doc = std::string("In training: the coefficient, in the loss, of the squared coefficient of variation over "
                             "experts of ") +
                 of + " The result of that name is the value without it."};
}

} // namespace

const Kind& noisyTopKGate() {
  static const Kind kind{
      .name = "noisy_top_k",
      .family = Family::Gate,
      .doc = "The k best experts of each token by logits with noise, weighted by the softmax over their k noisy logits. "
             "The "
             "noise is Gaussian, its deviation learnt: softplus of a second layer of the token, plus least_noise. In "
             "inference there is none. Weights begin as PyTorch's Linear, without biases; the paper's begin as zeros. "
             "FastMoE adds both losses with coefficients of 1; in inference it divides by a deviation of 0, which stops "
             "with "
             "an error, where here the losses are of training alone. It returns its choices as one flat list, which its "
             "layer then takes for one choice per token; here they are (T, K).",
      .source = "Shazeer et al. 2017 (arXiv 1701.06538); fastmoe ee3c561 (NoisyGate)",
      .parameters =
          {
              choicesParameter("2"),
              {.name = "least_noise",
               .type = ParameterType::Number,
               .fallback = "0.01",
               .least = 1e-6,
               .most = 1e6,
               .doc = "What is added to the deviation.",
               .source = "fastmoe ee3c561 (noise_epsilon)"},
              variationLoss("importance_loss", "the sums of their weights over the tokens."),
              variationLoss("load_loss", "the sums over the tokens of the probability that an expert is chosen; where all "
                                         "experts are, of the counts of weights over 0."),
              zLossParameter(),
              initParameter("How the weights of the router and of its noise begin."),
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
