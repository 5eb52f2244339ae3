#include "ir/ops/Infer.h"

#include <limits>

using namespace mlir;

namespace moec::ir {

static LogicalResult checkBias(OptionalLocation location, const std::string& front, Value value, const Shaped& q, const Shaped& k, int64_t heads) {
  if (!value)
    return success();
  FailureOr<Shaped> bias = shaped(location, value);
  if (failed(bias))
    return failure();
  bool fits = bias->element == q.element && bias->rank() == 3 && (bias->sizes[0] == Size(heads) || bias->sizes[0] == Size(1)) && bias->sizes[1] == q.sizes[1] &&
              bias->sizes[2] == k.sizes[1];
  if (fits)
    return success();
  return emitOptionalError(location, front, "attention C10: bias is of q's dtype, (heads or 1, queries, keys): q is ", dtypeName(q.element), q.text(),
                           ", k is ", k.text(), ", bias is ", dtypeName(bias->element), bias->text());
}

static LogicalResult checkDropout(OptionalLocation location, const std::string& front, Value value, FloatAttr dropout, const Shaped& q, const Shaped& k,
                                  int64_t heads) {
  if (!value != !dropout)
    return emitOptionalError(location, front, "attention C11: draws and dropout come together: there ", value ? "are draws" : "is a dropout", " alone");
  if (!value)
    return success();
  FailureOr<Shaped> draws = shaped(location, value);
  if (failed(draws))
    return failure();
  bool fits = draws->element.isF64() == q.element.isF64() && (draws->element.isF64() || draws->element.isF32()) &&
              draws->sizes == Sizes{q.sizes[0], Size(heads), q.sizes[1], k.sizes[1]};
  if (!fits)
    return emitOptionalError(location, front, "attention C12: draws are f64 where q is, else f32, (batch, heads, queries, keys): q is ", dtypeName(q.element),
                             q.text(), ", k is ", k.text(), ", heads is ", heads, ", draws is ", dtypeName(draws->element), draws->text());
  double p = dropout.getValueAsDouble();
  if (!(p >= 0 && p < 1))
    return emitOptionalError(location, front, "attention C13: dropout lies in [0, 1): it is ", p);
  return success();
}

/// The constraints of q, k, v, bias, draws and the numbers, which attention and its gradient share. `front` stands in front of
/// attention's own numbers.
template <class Adaptor> static LogicalResult checkAttention(OptionalLocation location, const std::string& front, Adaptor adaptor) {
  FailureOr<Shaped> q = shaped(location, adaptor.getQ()), k = shaped(location, adaptor.getK()), v = shaped(location, adaptor.getV());
  if (failed(q) || failed(k) || failed(v) || failed(sameElement(location, front + "attention C1", "q", *q, "k", *k)) ||
      failed(sameElement(location, front + "attention C1", "q", *q, "v", *v)) || failed(checkFloat(location, front + "attention C2", "q", *q)))
    return failure();
  if (q->rank() != 3 || k->rank() != 3 || v->rank() != 3)
    return emitOptionalError(location, front, "attention C3: q, k and v have 3 dimensions: they have ", q->rank(), ", ", k->rank(), " and ", v->rank());
  if (k->sizes != v->sizes)
    return emitOptionalError(location, front, "attention C4: k and v have one shape: k is ", k->text(), ", v is ", v->text());
  bool grouped = adaptor.getKvHeads().has_value();
  if (q->sizes[0] != k->sizes[0] || (!grouped && q->last() != k->last()))
    return emitOptionalError(location, front, "attention C5: q and k agree in batch and width: q is ", q->text(), ", k is ", k->text());
  int64_t heads = static_cast<int64_t>(adaptor.getHeads());
  std::optional<int64_t> width = q->last().constant();
  if (heads < 1 || !width || *width % heads != 0)
    return emitOptionalError(location, front, "attention C6: heads divides the width, a constant: the width is ", q->last().str(), ", heads is ", heads);
  if (adaptor.getCausal() && (k->sizes[1] - q->sizes[1]).constant().value_or(0) < 0)
    return emitOptionalError(location, front, "attention C7: causal attention has a key for every query: there are ", q->sizes[1].str(), " queries and ",
                             k->sizes[1].str(), " keys");
  double scale = adaptor.getScale().convertToDouble();
  if (!std::isfinite(scale))
    return emitOptionalError(location, front, "attention C8: scale is finite: it is ", scale);
  if (grouped) {
    int64_t kvHeads = static_cast<int64_t>(*adaptor.getKvHeads());
    if (kvHeads < 1 || heads % kvHeads != 0 || k->last() != Size(kvHeads * (*width / heads)))
      return emitOptionalError(location, front, "attention C9: kv_heads divides heads, and k has as many heads of q's width: q is ", q->text(), ", k is ",
                               k->text(), ", heads is ", heads, ", kv_heads is ", kvHeads);
  }
  if (failed(checkBias(location, front, adaptor.getBias(), *q, *k, heads)) ||
      failed(checkDropout(location, front, adaptor.getDraws(), adaptor.getDropoutAttr(), *q, *k, heads)))
    return failure();
  return success();
}

MOEC_INFER(AttentionOp) {
  if (failed(checkAttention(location, "", adaptor)))
    return failure();
  types.push_back(adaptor.getQ().getType());
  return success();
}

MOEC_INFER(AttentionGradOp) {
  FailureOr<Shaped> dy = shaped(location, adaptor.getDy());
  if (failed(dy) || failed(checkAttention(location, "attention_grad C1: ", adaptor)))
    return failure();
  if (adaptor.getDy().getType() != adaptor.getQ().getType())
    return emitOptionalError(location, "attention_grad C2: dy has q's type: q is ", adaptor.getQ().getType(), ", dy is ", adaptor.getDy().getType());
  types.append({adaptor.getQ().getType(), adaptor.getK().getType(), adaptor.getV().getType()});
  if (adaptor.getBias())
    types.push_back(adaptor.getBias().getType());
  return success();
}

/// The heads of q (.., heads * Dh) and k (.., kv_heads * Dh).
static LogicalResult checkCachedHeads(OptionalLocation location, CachedAttentionOp::Adaptor adaptor, const Shaped& q, const Shaped& k) {
  int64_t heads = static_cast<int64_t>(adaptor.getHeads()), kvHeads = static_cast<int64_t>(adaptor.getKvHeads().value_or(adaptor.getHeads()));
  std::optional<int64_t> width = q.last().constant();
  if (heads < 1 || !width || *width % heads != 0)
    return emitOptionalError(location, "cached_attention C6: heads divides the width, a constant: the width is ", q.last().str(), ", heads is ", heads);
  if (kvHeads < 1 || heads % kvHeads != 0 || k.last() != Size(kvHeads * (*width / heads)))
    return emitOptionalError(location, "cached_attention C7: kv_heads divides heads, and k has as many heads of q's width: q is ", q.text(), ", k is ",
                             k.text(), ", heads is ", heads, ", kv_heads is ", kvHeads);
  return success();
}

MOEC_INFER(CachedAttentionOp) {
  FailureOr<Shaped> q = shaped(location, adaptor.getQ()), k = shaped(location, adaptor.getK()), v = shaped(location, adaptor.getV()),
                    keys = shaped(location, adaptor.getKeys()), values = shaped(location, adaptor.getValues());
  if (failed(q) || failed(k) || failed(v) || failed(keys) || failed(values))
    return failure();
  for (auto [name, other] : {std::pair("k", &*k), std::pair("v", &*v), std::pair("keys", &*keys), std::pair("values", &*values)})
    if (failed(sameElement(location, "cached_attention C1", "q", *q, name, *other)))
      return failure();
  if (failed(checkFloat(location, "cached_attention C2", "q", *q)))
    return failure();
  for (auto [name, operand] : {std::pair("q", &*q), std::pair("k", &*k), std::pair("v", &*v), std::pair("keys", &*keys), std::pair("values", &*values)})
    if (operand->rank() != 3)
      return emitOptionalError(location, "cached_attention C3: q, k, v, keys and values have 3 dimensions: ", name, " has ", operand->rank());
  if (k->sizes != v->sizes || keys->sizes != values->sizes)
    return emitOptionalError(location, "cached_attention C4: k and v have one shape, keys and values too: k is ", k->text(), ", v is ", v->text(), ", keys is ",
                             keys->text(), ", values is ", values->text());
  if (q->sizes[0] != k->sizes[0] || q->sizes[0] != keys->sizes[0] || q->sizes[1] != k->sizes[1] || k->last() != keys->last())
    return emitOptionalError(location, "cached_attention C5: all agree in batch, k with q in tokens and with keys in width: q is ", q->text(), ", k is ",
                             k->text(), ", keys is ", keys->text());
  if (failed(checkCachedHeads(location, adaptor, *q, *k)))
    return failure();
  double scale = adaptor.getScale().convertToDouble();
  if (!std::isfinite(scale))
    return emitOptionalError(location, "cached_attention C8: scale is finite: it is ", scale);
  if (failed(checkPosition(location, "cached_attention C9", adaptor.getPosition())))
    return failure();
  if (Value value = adaptor.getBias()) {
    FailureOr<Shaped> bias = shaped(location, value);
    if (failed(bias))
      return failure();
    Size heads(static_cast<int64_t>(adaptor.getHeads()));
    bool fits = bias->element == q->element && bias->rank() == 3 && (bias->sizes[0] == heads || bias->sizes[0] == Size(1)) && bias->sizes[1] == q->sizes[1] &&
                bias->sizes[2] == keys->sizes[1];
    if (!fits)
      return emitOptionalError(location, "cached_attention C10: bias is of q's dtype, (heads or 1, tokens, context): q is ", dtypeName(q->element), q->text(),
                               ", keys is ", keys->text(), ", bias is ", dtypeName(bias->element), bias->text());
  }
  types.push_back(adaptor.getQ().getType());
  return success();
}

MOEC_INFER(AppendOp) {
  FailureOr<Shaped> cache = shaped(location, adaptor.getCache()), rows = shaped(location, adaptor.getRows());
  if (failed(cache) || failed(rows))
    return failure();
  if (cache->element != rows->element || cache->rank() != 3 || rows->rank() != 3)
    return emitOptionalError(location, "append C1: cache and rows share one dtype and have 3 dimensions: cache is ", dtypeName(cache->element), cache->text(),
                             ", rows is ", dtypeName(rows->element), rows->text());
  if (cache->sizes[0] != rows->sizes[0] || cache->last() != rows->last())
    return emitOptionalError(location, "append C2: cache and rows agree in batch and width: cache is ", cache->text(), ", rows is ", rows->text());
  if (failed(checkPosition(location, "append C3", adaptor.getPosition())))
    return failure();
  if ((cache->sizes[1] - rows->sizes[1]).constant().value_or(0) < 0)
    return emitOptionalError(location, "append C4: the cache has room for the rows: cache is ", cache->text(), ", rows is ", rows->text());
  types.push_back(adaptor.getCache().getType());
  return success();
}

MOEC_INFER(RelativeBiasOp) {
  FailureOr<Shaped> table = shaped(location, adaptor.getTable());
  if (failed(table) || failed(checkFloat(location, "relative_bias C1", "table", *table)))
    return failure();
  if (table->rank() != 2 || !table->sizes[0].constant() || !table->last().constant())
    return emitOptionalError(location, "relative_bias C1: table has 2 dimensions, constants: it is ", table->text());
  for (StringRef text : {adaptor.getQueries(), adaptor.getKeys()})
    if (!isCanonicalSize(text))
      return emitOptionalError(location, "relative_bias C2: queries and keys are canonical size texts: one is \"", text, "\"");
  // In one direction half of the buckets are single distances.
  int64_t buckets = *table->sizes[0].constant(), oneWay = adaptor.getBidirectional() ? buckets / 2 : buckets;
  if (oneWay < 2 || (adaptor.getBidirectional() && buckets % 2 != 0))
    return emitOptionalError(location,
                             "relative_bias C3: there are at least 2 buckets, of each direction, and as many of one as "
                             "of the other: there are ",
                             buckets);
  int64_t distance = static_cast<int64_t>(adaptor.getMaxDistance());
  if (distance <= oneWay / 2 || distance > std::numeric_limits<int32_t>::max())
    return emitOptionalError(location, "relative_bias C4: max_distance is over half of a direction's buckets, ", oneWay / 2, ", and at most 2147483647: it is ",
                             distance);
  if (failed(checkPosition(location, "relative_bias C5", adaptor.getPosition())))
    return failure();
  auto size = [](StringRef text) { return Size::parse(text.str()); };
  types.push_back(tensorOf({table->last(), size(adaptor.getQueries()), size(adaptor.getKeys())}, table->element));
  return success();
}

MOEC_INFER(RelativeBiasGradOp) {
  FailureOr<Shaped> dy = shaped(location, adaptor.getDy());
  if (failed(dy) || failed(checkFloat(location, "relative_bias_grad C1", "dy", *dy)))
    return failure();
  if (dy->rank() != 3 || !dy->sizes[0].constant())
    return emitOptionalError(location, "relative_bias_grad C1: dy has 3 dimensions, the first a constant: it is ", dy->text());
  int64_t buckets = static_cast<int64_t>(adaptor.getBuckets()), oneWay = adaptor.getBidirectional() ? buckets / 2 : buckets;
  if (oneWay < 2 || (adaptor.getBidirectional() && buckets % 2 != 0))
    return emitOptionalError(location, "relative_bias_grad C2: there are at least 2 buckets, of each direction, and as many of one as of the other: there are ",
                             buckets);
  int64_t distance = static_cast<int64_t>(adaptor.getMaxDistance());
  if (distance <= oneWay / 2 || distance > std::numeric_limits<int32_t>::max())
    return emitOptionalError(location, "relative_bias_grad C3: max_distance is over half of a direction's buckets, ", oneWay / 2,
                             ", and at most 2147483647: it is ", distance);
  types.push_back(tensorOf({Size(buckets), dy->sizes[0]}, dy->element));
  return success();
}

MOEC_INFER(RotaryOp) {
  FailureOr<Shaped> x = shaped(location, adaptor.getX());
  if (failed(x) || failed(checkFloat(location, "rotary C1", "x", *x)))
    return failure();
  if (x->rank() != 3)
    return emitOptionalError(location, "rotary C1: x has 3 dimensions: it has ", x->rank());
  int64_t heads = static_cast<int64_t>(adaptor.getHeads());
  std::optional<int64_t> width = x->last().constant();
  if (heads < 1 || !width || *width % (2 * heads) != 0)
    return emitOptionalError(location, "rotary C2: the width, a constant, is heads of an even width: the width is ", x->last().str(), ", heads is ", heads);
  double base = adaptor.getBase().convertToDouble();
  if (!(base > 0) || !std::isfinite(base))
    return emitOptionalError(location, "rotary C3: base is finite and over 0: it is ", base);
  if (failed(checkPosition(location, "rotary C4", adaptor.getPosition())))
    return failure();
  types.push_back(adaptor.getX().getType());
  return success();
}

} // namespace moec::ir
