#include "models/gates/Gates.h"

#include "models/gates/Workers.h"

#include <fmt/format.h>

#include <numeric>

using mlir::Value;

namespace moec::models {

mlir::Value routerLayer(Site& site, mlir::Value x, int64_t out, bool bias, const Inits& inits) {
  if (!x)
    return {};
  int64_t width = *ir::sizesOf(x).back().constant();
  mlir::Type element = site.routerElement();
  mlir::Value weight = site.parameter("weight", {out, width}, initOf(inits.weight, width, out, uniformFanIn(width)), element);
  mlir::Value y = site.ops().matmul(x, weight);
  Init biasInit = initOf(inits.bias, width, out, uniformFanIn(width));
  return bias ? site.ops().add(y, site.parameter("bias", {out}, biasInit, element)) : y;
}

mlir::Value routerLogits(Site& site, mlir::Value tokens, int64_t experts, bool bias, const Inits& inits) {
  return site.width(tokens) ? routerLayer(site, site.ops().cast(tokens, site.routerElement()), experts, bias, inits)
                            : mlir::Value();
}

std::optional<Size> fastmoeCapacity(Site& site, Position position, double rate, const Size& tokens, int64_t choices,
                                    int64_t experts) {
  Size::Real product;
  product.factors.push_back({.number = rate, .size = {}, .op = '*'});
  product.factors.push_back({.number = {}, .size = tokens, .op = '*'});
  Size capacity = Size::floorDiv(Size(choices) * Size::ceil(product), Size(experts));
  if (capacity == Size(0) || rate == 0) {
    site.error(
        position,
        fmt::format(
            "a capacity rate of {} leaves no place in {} experts for {} tokens with {} choices: all would be dropped",
            rate, experts, tokens.str(), choices));
    return std::nullopt;
  }
  return capacity;
}

mlir::Value oneHot(Ops& ops, mlir::Value indices, int64_t experts, mlir::Type element) {
  std::vector<double> numbers(static_cast<size_t>(experts));
  std::iota(numbers.begin(), numbers.end(), 0);
  mlir::Value all = ops.constant({1, experts}, numbers, element);
  return ops.cast(ops.compare(ir::Predicate::EQ, ops.cast(indices, element), all), element);
}

mlir::Value balanceLoss(Site& site, mlir::Value chosen, mlir::Value probabilities, const Size& groups,
                        mlir::Value kept) {
  if (!chosen || !probabilities)
    return {};
  Ops& ops = site.ops();
  auto means = [&](mlir::Value x) { return groupMeans(ops, x, groups); };
  int64_t experts = *ir::sizesOf(chosen)[1].constant();
  mlir::Value shares = means(kept ? ops.mul(chosen, kept) : chosen), proxies = means(probabilities);
  if (kept) {
    mlir::Value share = means(kept); // (G, 1)
    shares = ops.div(shares, share), proxies = ops.div(proxies, share);
  }
  mlir::Value mean = ops.reduceAll(ir::ReduceKind::Mean, ops.mul(shares, proxies));
  double square = static_cast<double>(experts) * static_cast<double>(experts);
  return ops.mul(mean, ops.constant({1}, {square}, site.routerElement()));
}

namespace {

Value number(Ops& ops, double value, mlir::Type element) { return ops.constant({1}, {value}, element); }

mlir::Type elementOf(Value x) { return mlir::cast<mlir::RankedTensorType>(x.getType()).getElementType(); }

/// The mask of the losses as (T, 1) of the router's dtype; null without one, or after a report.
Value lossMask(Site& site, const Arguments& arguments, const Size& tokens) {
  if (!arguments.has("loss_mask"))
    return {};
  Value mask = site.named(arguments, "loss_mask");
  if (!mask)
    return {};
  if (!(ir::product(ir::sizesOf(mask)) == tokens))
    return site.error(arguments.at("loss_mask"),
                      fmt::format("{} has {} numbers, and the gate {} tokens; a mask has one for each", arguments.word("loss_mask"),
                                  ir::product(ir::sizesOf(mask)).str(), tokens.str()));
  return site.ops().cast(site.ops().reshape(mask, {tokens, 1}), site.routerElement());
}

/// (T, n) as the groups' sums (G, n).
Value sumsOf(Ops& ops, Value x, const Size& groups) {
  ir::Sizes shape = ir::sizesOf(x);
  return ops.reduce(ir::ReduceKind::Sum, ops.reshape(x, {groups, Size::floorDiv(shape[0], groups), shape[1]}), 1);
}

/// Of the groups' sums of choices (G, E) and probabilities (G, E), and their counts of tokens (G, 1).
Value balanceOfSums(Ops& ops, llvm::ArrayRef<Value> sums) {
  Value mean = ops.reduceAll(ir::ReduceKind::Mean, ops.mul(ops.div(sums[0], sums[2]), ops.div(sums[1], sums[2])));
  double experts = static_cast<double>(*ir::sizesOf(sums[0])[1].constant());
  return ops.mul(mean, number(ops, experts * experts, elementOf(sums[0])));
}

/// Of a sum over tokens (1, 1) and their count (1, 1).
Value meanOfSums(Ops& ops, llvm::ArrayRef<Value> sums) { return ops.div(sums[0], sums[1]); }

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
  if (!arguments.has("loss_pool"))
    return site.addLoss("balance_loss", balanceLoss(site, chosen, probabilities, groups, kept), coefficient);
  mlir::Type element = site.routerElement();
  Value each = kept ? kept : ops.broadcast(number(ops, 1, element), {tokens, 1});
  if (kept)
    chosen = ops.mul(chosen, kept);
  site.addPooledLoss(arguments.word("loss_pool"), "balance_loss",
                     {sumsOf(ops, chosen, groups), sumsOf(ops, probabilities, groups), sumsOf(ops, each, groups)}, coefficient, balanceOfSums);
}

void addZLoss(Site& site, const Arguments& arguments, Value logits) {
  if (!logits || !arguments.has("z_loss"))
    return;
  Ops& ops = site.ops();
  double coefficient = arguments.number("z_loss");
  Size tokens = ir::sizesOf(logits)[0];
  Value z = ops.logSumExp(logits), square = ops.reshape(ops.mul(z, z), {tokens, 1});
  Value mask = lossMask(site, arguments, tokens);
  if (!mask && !arguments.has("loss_pool"))
    return site.addLoss("z_loss", ops.reduceAll(ir::ReduceKind::Mean, square), coefficient);
  Value each = mask ? mask : ops.broadcast(number(ops, 1, site.routerElement()), {tokens, 1});
  std::vector<Value> sums{sumsOf(ops, mask ? ops.mul(square, mask) : square, 1), sumsOf(ops, each, 1)};
  if (arguments.has("loss_pool"))
    site.addPooledLoss(arguments.word("loss_pool"), "z_loss", sums, coefficient, meanOfSums);
  else
    site.addLoss("z_loss", meanOfSums(ops, sums), coefficient);
}

Parameter lossMaskParameter() {
  return {.name = "loss_mask",
          .type = ParameterType::ValueName,
          .doc = "In training: the name of an input or a block with a number for each token, 1 or 0 (an attention mask): the "
                 "losses are of the tokens with a 1 alone. Default: of all.",
          .source = "transformers 5.24 (load_balancing_loss_func: attention_mask)"};
}

Parameter lossPoolParameter() {
  return {.name = "loss_pool",
          .type = ParameterType::Text,
          .doc = "In training: a name. The losses of all gates that have it are one each, of the tokens of all their layers "
                 "together, with one coefficient; in the results they are called by the pool's name. Default: this gate's losses "
                 "are its own.",
          .source = "transformers 5.24 (load_balancing_loss_func, which joins all layers; SwitchTransformersForConditionalGeneration, "
                    "which joins those of the encoder and those of the decoder)"};
}

Parameter zLossParameter() {
  return {.name = "z_loss",
          .type = ParameterType::Number,
          .least = 0,
          .most = 1e6,
          .doc = "In training: the coefficient, in the loss, of the mean over tokens of (log of the sum of "
                 "exp(logits))^2. The result of that name is the value without it. Default: there is none.",
          .source = "transformers 5.24 (router_z_loss_func)"};
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

bool checkChoices(Site& site, const Arguments& arguments, int64_t experts) {
  int64_t choices = arguments.integer("top_k");
  if (choices <= experts)
    return true;
  site.error(arguments.at("top_k"), fmt::format("\"top_k\" is {} of {} experts", choices, experts));
  return false;
}

} // namespace moec::models
