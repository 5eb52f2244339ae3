#include "models/Layers.h"
#include "models/gates/Gates.h"

#include <cmath>

using mlir::Value;

namespace moec::models {

namespace {

/// What the logarithm of 1 / temperature counts at most: log(100), which Tutel has in f32.
const double kMostScale = static_cast<float>(std::log(100.0));

/// The lengths of rows of x (R, n), of at least 1e-12: (R, 1).
Value lengths(Site& site, Value x) {
  if (!x)
    return {};
  Ops& ops = site.ops();
  Value square = ops.reshape(ops.reduce(ir::ReduceKind::Sum, ops.mul(x, x), 1), {ir::sizesOf(x)[0], 1});
  // The bound is inside of the root, whose gradient at 0 is infinite.
  Value bounded = ops.binary<ir::MaxOp>(square, ops.constant({1}, {1e-24}, site.routerElement()));
  return ops.unary<ir::SqrtOp>(bounded);
}

Value logitsOf(Site& site, const Arguments& arguments, Value tokens, int64_t experts) {
  if (!site.width(tokens))
    return {};
  mlir::Type element = site.routerElement();
  int64_t width = arguments.integer("projection");
  Site projection = site.part("projection");
  Value x = routerLayer(projection, projection.ops().cast(tokens, element), width, true);
  Ops& ops = site.ops();
  Value directions = site.parameter("weight", {experts, width}, {Init::Kind::Normal, 0, 0.01}, element);
  Value begin = site.parameter("temperature", {1}, constantInit(std::log(1 / arguments.number("temperature"))), element);
  Value scale = ops.unary<ir::ExpOp>(ops.binary<ir::MinOp>(begin, ops.constant({1}, {kMostScale}, element)));
  Value near = ops.matmul(ops.div(x, lengths(site, x)), directions); // (T, E)
  return ops.mul(ops.div(near, ops.reshape(lengths(site, directions), {1, experts})), scale);
}

std::optional<GateResult> build(Site& site, const Arguments& arguments, Value tokens, int64_t experts) {
  if (!checkChoices(site, arguments, experts))
    return std::nullopt;
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  int64_t choices = arguments.integer("top_k");
  Size count = ir::sizesOf(tokens)[0];
  std::optional<Size> capacity;
  if (!findCapacity(site, arguments, {CapacityForm::Blocks, count, choices, experts}, capacity))
    return std::nullopt;
  Value logits = logitsOf(site, arguments, tokens, experts), noisy = logits;
  if (double noise = arguments.number("noise"); logits && site.isTraining() && noise > 0) {
    Value draws = ops.random(ir::Distribution::Normal, site.part("noise").path(), {count, experts}, element);
    noisy = ops.add(logits, ops.mul(draws, ops.constant({1}, {noise / static_cast<double>(experts)}, element)));
  }
  Value scores = ops.softmax(noisy);
  auto [weights, indices] = site.choose(scores, choices);
  if (choices > 1 && arguments.flag("normalize"))
    weights = sharesOf(ops, weights);
  if (site.isTraining())
    addLosses(site, arguments, firstChoices(ops, indices, experts, element), scores, logits, 1);
  return GateResult{.routing = ops.assign(indices, experts, ir::Priority::ChoiceMajor, capacity), .weights = weights, .logits = noisy};
}

} // namespace

const Kind& cosineGate() {
  static const Kind kind{
      .name = "cosine",
      .family = Family::Gate,
      .doc = "The k experts whose directions are nearest to a projection of the token, by the softmax over cosines / "
             "temperature, which is learnt: the parameter temperature is log(1 / temperature) and counts up to "
             "log(100). The projection begins as PyTorch's Linear, directions as normals of deviation 0.01. All first "
             "choices enter an expert before all second ones, in the order of tokens.",
      .source = "Chi et al. 2022 (arXiv 2204.09179); tutel 82af7aa (CosineTopKGate, extract_critical)",
      .parameters =
          {
              choicesParameter("1"),
              {.name = "projection", .fallback = "256", .doc = "The width that tokens and directions are compared in."},
              {.name = "temperature", .type = ParameterType::Number, .fallback = "0.5", .least = 0.01, .most = 1e6, .doc = "Where it begins."},
              {.name = "normalize", .type = ParameterType::Bool, .fallback = "true", .doc = "With several choices: divide their weights by their sum."},
              capacityParameter("", "Rows of an expert, as a rate: K * trunc(rate * ceil(T / E)). Default: no limit.", "tutel 82af7aa (capacity_factor)"),
              {.name = "noise",
               .type = ParameterType::Number,
               .fallback = "0",
               .least = 0,
               .most = 1e6,
               .doc = "In training: Gaussian noise on the logits, of deviation noise / E.",
               .source = "tutel 82af7aa (gate_noise)"},
              balanceLossParameter("0.01", "E * the sum over e of (share of tokens whose best expert is e) * (mean score of e).",
                                   "tutel 82af7aa (gshard_loss), whose coefficient the trainer gives"),
              zLossParameter(),
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
