#include "models/blocks/SoftMixture.h"

#include "models/Statistics.h"

#include <fmt/format.h>

#include <cmath>

using mlir::Value;

namespace moec::models {

namespace {

constexpr double kTiny = 1e-12; // torch.nn.functional.normalize: what a length is at least

/// (B, E * S, D) as (E, B * S, D): each expert's slots of the whole batch.
Value byExpert(Ops& ops, Value slots, int64_t experts, const Size& perExpert) {
  ir::Sizes shape = ir::sizesOf(slots);
  slots = ops.transpose(ops.reshape(slots, {shape[0], experts, perExpert, shape[2]}), {1, 0, 2, 3});
  return ops.reshape(slots, {experts, shape[0] * perExpert, shape[2]});
}

/// The inverse.
Value byExample(Ops& ops, Value rows, const ir::Sizes& slots, int64_t experts, const Size& perExpert) {
  rows = ops.transpose(ops.reshape(rows, {experts, slots[0], perExpert, slots[2]}), {1, 0, 2, 3});
  return ops.reshape(rows, slots);
}

} // namespace

Value mixed(Site& site, Mixing mixing) {
  Ops& ops = site.ops();
  if (!mixing.asking || !mixing.keys || !mixing.values)
    return {};
  if (!mixing.keep)
    return ops.attention(mixing.asking, mixing.keys, mixing.values, {.heads = 1, .keyHeads = 1, .scale = 1});
  // One more column, of ones where somebody asks, lowers the products of what is left out so far that it counts only where
  // nothing is kept.
  auto number = [&](double value) { return ops.constant({1, 1, 1}, {value}, site.element()); };
  ir::Sizes shape = ir::sizesOf(mixing.keys), column = ir::sizesOf(mixing.asking);
  column[2] = 1;
  Value asks = mixing.asks ? mixing.asks : ops.broadcast(number(1), column);
  Value asking = mixing.asks ? ops.mul(mixing.asking, asks) : mixing.asking;
  Value lowered = ops.mul(ops.sub(mixing.keep, number(1)), number(1e30));
  Value keys = ops.concat({ops.mul(mixing.keys, mixing.keep), lowered}, 2);
  Value values = ops.concat({mixing.values, ops.broadcast(number(0), ir::sizesOf(mixing.keep))}, 2);
  Value queries = ops.concat({asking, asks}, 2);
  return ops.slice(ops.attention(queries, keys, values, {.heads = 1, .keyHeads = 1, .scale = 1}), 2, 0, shape[2]);
}

void addLoadOfSlots(Site& site, Value products, int64_t experts, const Size& perExpert) {
  if (!site.wantsStatistics() || !products)
    return;
  Ops& ops = site.ops();
  ir::Sizes shape = ir::sizesOf(products);
  Value shares = ops.reshape(ops.softmax(products), {shape[0] * shape[1], shape[2]});
  Value ofSlots = ops.reshape(ops.reduce(ir::ReduceKind::Sum, shares, 0), {1, experts, perExpert});
  addLoad(site, ops.reduce(ir::ReduceKind::Sum, ofSlots, 2));
}

Value expertsOnSlots(Site& site, const Arguments& arguments, Value slots, int64_t experts, const Size& perExpert) {
  if (!slots)
    return {};
  Value rows = byExpert(site.ops(), slots, experts, perExpert);
  ExpertSpace space{.count = experts, .routing = {}};
  Value made = site.expert(arguments, "experts", rows, space, site.part("experts").path());
  if (!made)
    return {};
  if (ir::sizesOf(made) != ir::sizesOf(rows))
    return site.error(arguments.at("experts"), fmt::format("experts of \"{}\" keep the shape: these make {} of {}", arguments.kind().name,
                                                           ir::describe(ir::sizesOf(made)), ir::describe(ir::sizesOf(rows))));
  return byExample(site.ops(), made, ir::sizesOf(slots), experts, perExpert);
}

Value lucidrainsRmsNorm(Site site, Value x) {
  std::optional<int64_t> width = site.width(x);
  return width ? rmsNorm(site, x, kTiny * kTiny / static_cast<double>(*width)) : Value();
}

Value l2Norm(Site& site, Value x) {
  double width = static_cast<double>(*ir::sizesOf(x).back().constant());
  Value scaled = site.ops().rmsNorm(x, {}, kTiny * kTiny / width);
  return site.ops().mul(scaled, site.ops().constant({1}, {1 / std::sqrt(width)}, site.element()));
}

Value keepOf(Site& site, Value mask, const ir::Sizes& tokens) {
  if (!site.expects(mask, 2, "a mask (batch, tokens)"))
    return {};
  if (ir::sizesOf(mask) == ir::Sizes{tokens[0], tokens[1]})
    return site.ops().reshape(mask, {tokens[0], tokens[1], 1});
  return site.error(fmt::format("the mask of \"{}\" on {} is {}, not {}", site.path(), ir::describe(tokens), ir::describe(ir::sizesOf(mask)),
                                ir::describe({tokens[0], tokens[1]})));
}

Value asTokens(Site& site, Value x) {
  if (!x)
    return {};
  ir::Sizes shape = ir::sizesOf(x);
  if (shape.size() == 2)
    return site.ops().reshape(x, {shape[0], 1, shape[1]});
  if (shape.size() == 4)
    return site.ops().reshape(site.ops().transpose(x, {0, 2, 3, 1}), {shape[0], shape[2] * shape[3], shape[1]});
  return x;
}

Value fromTokens(Site& site, Value tokens, const ir::Sizes& shape) {
  if (!tokens)
    return {};
  if (shape.size() != 4)
    return site.ops().reshape(tokens, shape);
  return site.ops().transpose(site.ops().reshape(tokens, {shape[0], shape[2], shape[3], shape[1]}), {0, 3, 1, 2});
}

} // namespace moec::models
