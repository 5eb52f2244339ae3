#include "models/Layers.h"

using mlir::Value;

namespace moec::models {

namespace {

/// x (B, N, heads * Dh) by head, those of queries grouped by the head of keys that they read:
/// (B, keyHeads, heads / keyHeads, N, Dh), or (B, heads, N, Dh) where each has its own.
Value byHead(Ops& ops, Value x, int64_t heads, int64_t keyHeads, bool groups) {
  if (!x)
    return {};
  ir::Sizes shape = ir::sizesOf(x);
  Size width = *shape[2].constant() / heads;
  if (!groups)
    return ops.transpose(ops.reshape(x, {shape[0], shape[1], heads, width}), {0, 2, 1, 3});
  return ops.transpose(ops.reshape(x, {shape[0], shape[1], keyHeads, heads / keyHeads, width}), {0, 2, 3, 1, 4});
}

/// 0 where a query sees a key, else so low that its softmax is 0: (1, Nq, Nk). A relative bias tells in which direction
/// a key lies: of its four buckets the last two are of keys behind the query.
Value causalBias(Ops& ops, const Size& queries, const Size& keys, mlir::Type element) {
  Value table = ops.constant({4, 1}, {0, 0, -1e30, -1e30}, element);
  return ops.relativeBias(table, queries, keys, /*maxDistance=*/2, /*bidirectional=*/true);
}

/// A bias (heads or 1, Nq, Nk) in the shape of grouped scores, without the batch.
Value grouped(Ops& ops, Value bias, const Ops::AttentionRule& rule, bool groups) {
  if (!bias || !groups)
    return bias;
  ir::Sizes shape = ir::sizesOf(bias);
  bool isOne = shape[0] == Size(1);
  return ops.reshape(bias, {isOne ? 1 : rule.keyHeads, isOne ? 1 : rule.heads / rule.keyHeads, shape[1], shape[2]});
}

} // namespace

Value attentionWithDropout(Site site, Value q, Value k, Value v, const Ops::AttentionRule& rule, double p) {
  if (!q || !k || !v)
    return {};
  Ops& ops = site.ops();
  mlir::Type element = site.element(), wide = site.routerElement();
  bool groups = rule.keyHeads != rule.heads;
  ir::Sizes shape = ir::sizesOf(q);
  Size keys = ir::sizesOf(k)[1];
  Value queries = byHead(ops, q, rule.heads, rule.keyHeads, groups);
  Value scores = ops.matmul(queries, byHead(ops, k, rule.keyHeads, rule.keyHeads, groups)); // (.., Nq, Nk)
  scores = ops.mul(ops.cast(scores, wide), ops.constant({1}, {rule.scale}, wide));
  if (rule.bias)
    scores = ops.add(scores, grouped(ops, ops.cast(rule.bias, wide), rule, groups));
  if (rule.causal)
    scores = ops.add(scores, grouped(ops, causalBias(ops, shape[1], keys, wide), rule, groups));
  Value weights = ops.cast(dropout(site.part("dropout"), ops.softmax(scores), p), element);
  Value values = byHead(site.ops(), v, rule.keyHeads, rule.keyHeads, groups);
  if (!weights || !values)
    return {};
  Value y = ops.matmul(weights, groups ? ops.transpose(values, {0, 1, 2, 4, 3}) : ops.transpose(values, {0, 1, 3, 2}));
  y = groups ? ops.transpose(y, {0, 3, 1, 2, 4}) : ops.transpose(y, {0, 2, 1, 3}); // (B, Nq, .., Dh)
  Size width = *ir::sizesOf(v)[2].constant() / rule.keyHeads * rule.heads;
  return ops.reshape(y, {shape[0], shape[1], width});
}

} // namespace moec::models
