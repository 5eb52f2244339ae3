#include "models/gates/Losses.h"

#include "models/gates/Workers.h"

#include "models/json/Words.h"

#include <fmt/format.h>

#include <numeric>

using mlir::Value;

namespace moec::models {

Value oneHot(Ops& ops, Value indices, int64_t experts, mlir::Type element) {
  std::vector<double> numbers(static_cast<size_t>(experts));
  std::iota(numbers.begin(), numbers.end(), 0);
  Value all = ops.constant({1, experts}, numbers, element);
  return ops.cast(ops.compare(ir::Predicate::EQ, ops.cast(indices, element), all), element);
}

Value firstChoices(Ops& ops, Value indices, int64_t experts, mlir::Type element) {
  return indices ? oneHot(ops, ops.slice(indices, 1, 0, 1), experts, element) : Value();
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

namespace {

Value number(Ops& ops, double value, mlir::Type element) { return ops.constant({1}, {value}, element); }

/// x over the count or the share of the tokens that it is of; x itself where there are none.
Value ofCounted(Ops& ops, Value x, Value count) {
  if (!x || !count)
    return {};
  mlir::Type element = mlir::cast<mlir::RankedTensorType>(count.getType()).getElementType();
  Value isNone = ops.compare(ir::Predicate::EQ, count, number(ops, 0, element));
  return ops.div(x, ops.where(isNone, number(ops, 1, element), count));
}

} // namespace

Value balanceLoss(Site& site, Value chosen, Value probabilities, const Size& groups, Value kept) {
  if (!chosen || !probabilities)
    return {};
  Ops& ops = site.ops();
  auto means = [&](Value x) { return groupMeans(ops, x, groups); };
  int64_t experts = *ir::sizesOf(chosen)[1].constant();
  Value shares = means(kept ? ops.mul(chosen, kept) : chosen), proxies = means(probabilities);
  if (kept) {
    Value share = means(kept); // (G, 1)
    shares = ofCounted(ops, shares, share), proxies = ofCounted(ops, proxies, share);
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

namespace {

/// Is it given? Kinds may lack the parameter.
bool has(const Arguments& arguments, std::string_view name) { return arguments.kind().find(name) && arguments.has(name); }

/// The mask of the losses as (T, 1) of the router's dtype; null without one, or after a report.
Value lossMask(Site& site, const Arguments& arguments, const Size& tokens) {
  if (!has(arguments, "loss_mask"))
    return {};
  Value mask = site.named(arguments, "loss_mask");
  if (!mask)
    return {};
  if (!(ir::product(ir::sizesOf(mask)) == tokens))
    return site.error(arguments.at("loss_mask"), fmt::format("{} has {} numbers, and the gate {} tokens; a mask has one for each",
                                                             inQuotes(arguments.word("loss_mask")), ir::product(ir::sizesOf(mask)).str(), tokens.str()));
  return site.ops().cast(site.ops().reshape(mask, {tokens, 1}), site.routerElement());
}

Value sumsOf(Ops& ops, Value x, const Size& groups) { return groupMeans(ops, x, groups, ir::ReduceKind::Sum); }

/// Of the groups' sums of choices (G, E) and probabilities (G, E), and their counts of tokens (G, 1).
Value balanceOfSums(Ops& ops, llvm::ArrayRef<Value> sums) {
  Value mean = ops.reduceAll(ir::ReduceKind::Mean, ops.mul(ofCounted(ops, sums[0], sums[2]), ofCounted(ops, sums[1], sums[2])));
  double experts = static_cast<double>(*ir::sizesOf(sums[0])[1].constant());
  mlir::Type element = mlir::cast<mlir::RankedTensorType>(sums[0].getType()).getElementType();
  return ops.mul(mean, number(ops, experts * experts, element));
}

/// Of a sum over tokens (1, 1) and their count (1, 1).
Value meanOfSums(Ops& ops, llvm::ArrayRef<Value> sums) { return ofCounted(ops, sums[0], sums[1]); }

} // namespace

void addBalanceLoss(Site& site, const Arguments& arguments, Value chosen, Value probabilities, const Size& groups, Value kept) {
  if (!chosen || !probabilities)
    return;
  Ops& ops = site.ops();
  Size tokens = ir::sizesOf(chosen)[0];
  double coefficient = arguments.number("balance_loss");
  if (Value mask = lossMask(site, arguments, tokens)) {
    probabilities = ops.mul(probabilities, mask);
    kept = kept ? ops.mul(kept, mask) : mask;
  }
  if (!has(arguments, "loss_pool"))
    return site.addLoss("balance_loss", balanceLoss(site, chosen, probabilities, groups, kept), coefficient);
  Value each = kept ? kept : ops.broadcast(number(ops, 1, site.routerElement()), {tokens, 1});
  if (kept)
    chosen = ops.mul(chosen, kept);
  site.addPooledLoss(arguments.word("loss_pool"), "balance_loss", {sumsOf(ops, chosen, groups), sumsOf(ops, probabilities, groups), sumsOf(ops, each, groups)},
                     coefficient, balanceOfSums);
}

void addZLoss(Site& site, const Arguments& arguments, Value logits) {
  if (!logits || !site.isTraining() || !arguments.has("z_loss"))
    return;
  Ops& ops = site.ops();
  double coefficient = arguments.number("z_loss");
  Size tokens = ir::sizesOf(logits)[0];
  Value z = ops.logSumExp(logits), square = ops.mul(z, z); // (T)
  Value mask = lossMask(site, arguments, tokens);
  if (!mask && !has(arguments, "loss_pool"))
    return site.addLoss("z_loss", ops.reduceAll(ir::ReduceKind::Mean, square), coefficient);
  square = ops.reshape(square, {tokens, 1});
  Value each = mask ? mask : ops.broadcast(number(ops, 1, site.routerElement()), {tokens, 1});
  llvm::SmallVector<Value> sums{sumsOf(ops, mask ? ops.mul(square, mask) : square, 1), sumsOf(ops, each, 1)};
  if (has(arguments, "loss_pool"))
    site.addPooledLoss(arguments.word("loss_pool"), "z_loss", sums, coefficient, meanOfSums);
  else
    site.addLoss("z_loss", meanOfSums(ops, sums), coefficient);
}

void addLosses(Site& site, const Arguments& arguments, Value counted, Value probabilities, Value logits, const Size& groups) {
  if (!site.isTraining())
    return;
  addBalanceLoss(site, arguments, counted, probabilities, groups);
  addZLoss(site, arguments, logits);
}

Parameter lossMaskParameter() {
  return {.name = "loss_mask",
          .type = ParameterType::ValueName,
          .doc = "In training: the name of an input or a block with a number for each token, 1 or 0 (an attention mask): "
                 "the losses are of the tokens with a 1 alone. A row of the batch without one counts as 0 where a loss "
                 "is a mean over rows, and a batch without one has losses of 0. Default: of all.",
          .source = "transformers 5.24 (load_balancing_loss_func: attention_mask)"};
}

Parameter lossPoolParameter() {
  return {.name = "loss_pool",
          .type = ParameterType::Text,
          .doc = "In training: a name. The losses of all gates that have it are one each, of the tokens of all their "
                 "layers together, with one coefficient; in the results they are called by the pool's name. Default: "
                 "this gate's losses are its own.",
          .source = "transformers 5.24 (load_balancing_loss_func, which joins all layers; "
                    "SwitchTransformersForConditionalGeneration, which joins those of the encoder and of the decoder)"};
}

Parameter zLossParameter(std::string fallback, std::string source) {
  std::string without = fallback.empty() ? " Default: there is none." : "";
  return {.name = "z_loss",
          .type = ParameterType::Number,
          .fallback = std::move(fallback),
          .least = 0,
          .most = 1e6,
          .doc = "In training: the coefficient, in the loss, of the mean over tokens of (log of the sum of "
                 "exp(logits))^2, of logits before any noise, and before a jitter that is added to them. The result of "
                 "that name is the value without it." +
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
  Value variance = ops.div(ops.reduce(ir::ReduceKind::Sum, ops.mul(away, away), 0), ops.constant({}, {count - 1}, element));
  Value scale = ops.add(ops.mul(mean, mean), ops.constant({1}, {1e-10}, element));
  return ops.div(variance, ops.reshape(scale, {}));
}

} // namespace moec::models
