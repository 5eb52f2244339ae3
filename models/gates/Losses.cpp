#include "models/gates/Losses.h"

#include "models/gates/Workers.h"

#include <numeric>

using mlir::Value;

namespace moec::models {

Value oneHot(Ops& ops, Value indices, int64_t experts, mlir::Type element) {
  std::vector<double> numbers(static_cast<size_t>(experts));
  std::iota(numbers.begin(), numbers.end(), 0);
  Value all = ops.constant({1, experts}, numbers, element);
  return ops.cast(ops.compare(ir::Predicate::EQ, ops.cast(indices, element), all), element);
}

Value choiceCounts(Ops& ops, Value indices, int64_t experts, mlir::Type element) {
  Value counts;
  for (int64_t choice = 0; indices && choice < *ir::sizesOf(indices)[1].constant(); ++choice) {
    Value one = oneHot(ops, ops.slice(indices, 1, choice, 1), experts, element);
    counts = counts ? ops.add(counts, one) : one;
  }
  return counts;
}

Value keptChoices(Ops& ops, Value routing, const Size& tokens, int64_t choices, mlir::Type element) {
  Value ones = ops.broadcast(ops.constant({1, 1}, {1}, element), {tokens, choices});
  return ops.choiceValues(ops.rowWeights(ones, routing), routing);
}

Value balanceLoss(Site& site, Value chosen, Value probabilities, const Size& groups, Value kept) {
  if (!chosen || !probabilities)
    return {};
  Ops& ops = site.ops();
  auto means = [&](Value x) { return groupMeans(ops, x, groups); };
  int64_t experts = *ir::sizesOf(chosen)[1].constant();
  Value shares = means(kept ? ops.mul(chosen, kept) : chosen), proxies = means(probabilities);
  if (kept) {
    Value share = means(kept); // (G, 1)
    shares = ops.div(shares, share), proxies = ops.div(proxies, share);
  }
  Value mean = ops.reduceAll(ir::ReduceKind::Mean, ops.mul(shares, proxies));
  double square = static_cast<double>(experts) * static_cast<double>(experts);
  return ops.mul(mean, ops.constant({1}, {square}, site.routerElement()));
}

Parameter balanceLossParameter(std::string fallback, std::string doc, std::string source) {
  return {.name = "balance_loss",
          .type = ParameterType::Number,
          .fallback = std::move(fallback),
          .least = 0,
          .most = 1e6,
          .doc = "In training: the coefficient, in the loss, of " + std::move(doc) +
                 " The result of that name is the value without it, about 1 where all is even.",
          .source = std::move(source)};
}

void addZLoss(Site& site, const Arguments& arguments, Value logits) {
  if (!logits || !site.isTraining() || !arguments.has("z_loss"))
    return;
  Ops& ops = site.ops();
  Value z = ops.logSumExp(logits); // (T)
  site.addLoss("z_loss", ops.reduceAll(ir::ReduceKind::Mean, ops.mul(z, z)), arguments.number("z_loss"));
}

Parameter zLossParameter(std::string fallback, std::string source) {
  std::string without = fallback.empty() ? " Default: there is none." : "";
  return {.name = "z_loss",
          .type = ParameterType::Number,
          .fallback = std::move(fallback),
          .least = 0,
          .most = 1e6,
          .doc = "In training: the coefficient, in the loss, of the mean over tokens of (log of the sum of "
                 "exp(logits))^2. The result of that name is the value without it." +
                 without,
          .source = std::move(source)};
}

Value squaredVariation(Ops& ops, Value numbers) {
  if (!numbers)
    return {};
  mlir::Type element = mlir::cast<mlir::RankedTensorType>(numbers.getType()).getElementType();
  double count = static_cast<double>(*ir::sizesOf(numbers)[0].constant());
  if (count == 1)
    return ops.constant({}, {0}, element);
  Value mean = ops.reshape(ops.reduce(ir::ReduceKind::Mean, numbers, 0), {1});
  Value away = ops.sub(numbers, mean);
  Value variance =
      ops.div(ops.reduce(ir::ReduceKind::Sum, ops.mul(away, away), 0), ops.constant({}, {count - 1}, element));
  Value scale = ops.add(ops.mul(mean, mean), ops.constant({1}, {1e-10}, element));
  return ops.div(variance, ops.reshape(scale, {}));
}

} // namespace moec::models
