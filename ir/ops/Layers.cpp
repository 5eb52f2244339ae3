#include "ir/ops/Infer.h"

using namespace mlir;

namespace moec::ir {

static LogicalResult checkRank(OptionalLocation location, StringRef constraint, StringRef name, const Shaped& x, int64_t least) {
  if (x.rank() >= least)
    return success();
  return emitOptionalError(location, constraint, ": ", name, " has at least ", least, " dimensions: it has ", x.rank());
}

MOEC_INFER(MatmulOp) {
  FailureOr<Shaped> a = shaped(location, adaptor.getA()), b = shaped(location, adaptor.getB());
  if (failed(a) || failed(b) || failed(sameElement(location, "matmul C1", "a", *a, "b", *b)) || failed(checkFloat(location, "matmul C2", "a", *a)) ||
      failed(checkRank(location, "matmul C3", "a", *a, 2)) || failed(checkRank(location, "matmul C3", "b", *b, 2)))
    return failure();
  if (a->last() != b->last())
    return emitOptionalError(location, "matmul C4: the last dimensions of a and b agree: a has ", a->last().str(), ", b has ", b->last().str());
  Sizes result(a->sizes.begin(), a->sizes.end() - 1);
  if (b->rank() > 2) {
    Sizes aLeading(a->sizes.begin(), a->sizes.end() - 2), bLeading(b->sizes.begin(), b->sizes.end() - 2);
    std::optional<Sizes> leading = broadcastSizes(aLeading, bLeading);
    if (!leading)
      return emitOptionalError(location, "matmul C5: the leading dimensions of a and b broadcast: a has ", describe(aLeading), ", b has ", describe(bLeading));
    result = *leading;
    result.push_back(a->sizes[a->rank() - 2]);
  }
  result.push_back(b->sizes[b->rank() - 2]);
  types.push_back(tensorOf(result, a->element));
  return success();
}

/// Pairs are whole ones.
static LogicalResult checkPairs(OptionalLocation location, StringRef constraint, bool pairs, const Size& depth) {
  if (!pairs || (depth.isConstant() && *depth.constant() % 2 == 0))
    return success();
  return emitOptionalError(location, constraint, ": what lies in pairs has a constant, even depth: it is ", depth.str());
}

MOEC_INFER(PackOp) {
  FailureOr<Shaped> w = shaped(location, adaptor.getW());
  if (failed(w) || failed(checkRank(location, "pack C1", "w", *w, 2)))
    return failure();
  int64_t nr = static_cast<int64_t>(adaptor.getNr());
  if (nr < 1)
    return emitOptionalError(location, "pack C2: nr is at least 1: it is ", nr);
  if (failed(checkPairs(location, "pack C3", adaptor.getPairs(), w->last())))
    return failure();
  Sizes sizes(w->sizes.begin(), w->sizes.end() - 2);
  sizes.push_back(Size::ceilDiv(w->sizes[w->rank() - 2], nr));
  sizes.push_back(w->last());
  sizes.push_back(nr);
  types.push_back(tensorOf(sizes, w->element));
  return success();
}

MOEC_INFER(UnpackOp) {
  FailureOr<Shaped> panels = shaped(location, adaptor.getPanels());
  if (failed(panels) || failed(checkRank(location, "unpack C1", "panels", *panels, 3)))
    return failure();
  int64_t n = static_cast<int64_t>(adaptor.getN());
  const Size& count = panels->sizes[panels->rank() - 3];
  Size needed = Size::ceilDiv(n, panels->last());
  if (n < 1 || needed != count)
    return emitOptionalError(location, "unpack C2: n rows fill the panels, ceil(n / nr) of them: n is ", n, ", nr is ", panels->last().str(), ", there are ",
                             count.str(), " panels");
  if (failed(checkPairs(location, "unpack C3", adaptor.getPairs(), panels->sizes[panels->rank() - 2])))
    return failure();
  Sizes sizes(panels->sizes.begin(), panels->sizes.end() - 3);
  sizes.push_back(n);
  sizes.push_back(panels->sizes[panels->rank() - 2]);
  types.push_back(tensorOf(sizes, panels->element));
  return success();
}

static LogicalResult checkScale(OptionalLocation location, StringRef constraint, StringRef name, Value value, const Shaped& x) {
  if (!value)
    return success();
  FailureOr<Shaped> scale = shaped(location, value);
  if (failed(scale))
    return failure();
  if (scale->sizes != Sizes{x.last()} || scale->element != x.element)
    return emitOptionalError(location, constraint, ": ", name, " has one number of x's dtype for each of x's last dimension: x is ", dtypeName(x.element),
                             x.text(), ", ", name, " is ", dtypeName(scale->element), scale->text());
  return success();
}

MOEC_INFER(LayerNormOp) {
  FailureOr<Shaped> x = shaped(location, adaptor.getX());
  if (failed(x) || failed(checkFloat(location, "layer_norm C1", "x", *x)) || failed(checkRank(location, "layer_norm C1", "x", *x, 1)) ||
      failed(checkScale(location, "layer_norm C2", "weight", adaptor.getWeight(), *x)) ||
      failed(checkScale(location, "layer_norm C3", "bias", adaptor.getBias(), *x)))
    return failure();
  double eps = adaptor.getEps().convertToDouble();
  if (!(eps >= 0) || !std::isfinite(eps))
    return emitOptionalError(location, "layer_norm C4: eps is finite and not negative: it is ", eps);
  types.push_back(adaptor.getX().getType());
  return success();
}

MOEC_INFER(RmsNormOp) {
  FailureOr<Shaped> x = shaped(location, adaptor.getX());
  if (failed(x) || failed(checkFloat(location, "rms_norm C1", "x", *x)) || failed(checkRank(location, "rms_norm C1", "x", *x, 1)) ||
      failed(checkScale(location, "rms_norm C2", "weight", adaptor.getWeight(), *x)))
    return failure();
  double eps = adaptor.getEps().convertToDouble();
  if (!(eps >= 0) || !std::isfinite(eps))
    return emitOptionalError(location, "rms_norm C3: eps is finite and not negative: it is ", eps);
  types.push_back(adaptor.getX().getType());
  return success();
}

MOEC_INFER(SoftmaxOp) {
  FailureOr<Shaped> x = shaped(location, adaptor.getX());
  if (failed(x) || failed(checkFloat(location, "softmax C1", "x", *x)) || failed(checkRank(location, "softmax C1", "x", *x, 1)))
    return failure();
  types.push_back(adaptor.getX().getType());
  return success();
}

MOEC_INFER(EmbeddingOp) {
  FailureOr<Shaped> ids = shaped(location, adaptor.getIds()), table = shaped(location, adaptor.getTable());
  if (failed(ids) || failed(table))
    return failure();
  if (!ids->element.isSignlessInteger(32) && !ids->element.isSignlessInteger(64))
    return emitOptionalError(location, "embedding C1: ids are i64 or i32: they are ", dtypeName(ids->element));
  if (table->rank() != 2)
    return emitOptionalError(location, "embedding C2: table has 2 dimensions: it has ", table->rank());
  Sizes sizes = ids->sizes;
  sizes.push_back(table->last());
  types.push_back(tensorOf(sizes, table->element));
  return success();
}

/// What a gradient op's dy must be: of x's shape and dtype.
static LogicalResult checkLike(OptionalLocation location, StringRef constraint, StringRef name, const Shaped& value, StringRef likeName, const Shaped& like) {
  if (value.sizes == like.sizes && value.element == like.element)
    return success();
  return emitOptionalError(location, constraint, ": ", name, " has ", likeName, "'s shape and dtype: ", likeName, " is ", dtypeName(like.element), like.text(),
                           ", ", name, " is ", dtypeName(value.element), value.text());
}

template <class Adaptor> static LogicalResult inferNormGrad(OptionalLocation location, StringRef op, Adaptor adaptor, Types& types) {
  FailureOr<Shaped> dy = shaped(location, adaptor.getDy()), x = shaped(location, adaptor.getX());
  std::string name = op.str();
  if (failed(dy) || failed(x) || failed(checkFloat(location, name + " C1", "x", *x)) || failed(checkRank(location, name + " C1", "x", *x, 1)) ||
      failed(checkLike(location, name + " C2", "dy", *dy, "x", *x)) || failed(checkScale(location, name + " C3", "weight", adaptor.getWeight(), *x)))
    return failure();
  double eps = adaptor.getEps().convertToDouble();
  if (!(eps >= 0) || !std::isfinite(eps))
    return emitOptionalError(location, name + " C4: eps is finite and not negative: it is ", eps);
  types.push_back(adaptor.getX().getType());
  return success();
}

// Their constraints: layer_norm_grad C1, layer_norm_grad C2, layer_norm_grad C3, layer_norm_grad C4,
// rms_norm_grad C1, rms_norm_grad C2, rms_norm_grad C3, rms_norm_grad C4.
MOEC_INFER(LayerNormGradOp) { return inferNormGrad(location, "layer_norm_grad", adaptor, types); }
MOEC_INFER(RmsNormGradOp) { return inferNormGrad(location, "rms_norm_grad", adaptor, types); }

MOEC_INFER(LogSumExpOp) {
  FailureOr<Shaped> x = shaped(location, adaptor.getX());
  if (failed(x) || failed(checkFloat(location, "log_sum_exp C1", "x", *x)) || failed(checkRank(location, "log_sum_exp C1", "x", *x, 1)))
    return failure();
  types.push_back(tensorOf(Sizes(x->sizes.begin(), x->sizes.end() - 1), x->element));
  return success();
}

MOEC_INFER(SoftmaxGradOp) {
  FailureOr<Shaped> dy = shaped(location, adaptor.getDy()), y = shaped(location, adaptor.getY());
  if (failed(dy) || failed(y) || failed(checkFloat(location, "softmax_grad C1", "y", *y)) || failed(checkRank(location, "softmax_grad C1", "y", *y, 1)) ||
      failed(checkLike(location, "softmax_grad C2", "dy", *dy, "y", *y)))
    return failure();
  types.push_back(adaptor.getY().getType());
  return success();
}

/// Scores (.., V) and labels (..).
template <class Adaptor> static LogicalResult checkRowLabels(OptionalLocation location, const std::string& op, Adaptor adaptor, const Shaped& scores) {
  FailureOr<Shaped> labels = shaped(location, adaptor.getLabels());
  if (failed(labels) || failed(checkFloat(location, op + " C1", "scores", scores)) || failed(checkRank(location, op + " C1", "scores", scores, 1)))
    return failure();
  if (!labels->element.isSignlessInteger(32) && !labels->element.isSignlessInteger(64))
    return emitOptionalError(location, op + " C2: labels are i64 or i32: they are ", dtypeName(labels->element));
  if (labels->sizes != Sizes(scores.sizes.begin(), scores.sizes.end() - 1))
    return emitOptionalError(location, op + " C3: there is a label for each row of scores: scores is ", scores.text(), ", labels is ", labels->text());
  return success();
}

/// The same with a smoothing, which cross entropy and its gradient take.
template <class Adaptor> static LogicalResult checkLabels(OptionalLocation location, const std::string& op, Adaptor adaptor, const Shaped& scores) {
  if (failed(checkRowLabels(location, op, adaptor, scores)))
    return failure();
  double smoothing = adaptor.getSmoothing().convertToDouble();
  if (!(smoothing >= 0 && smoothing < 1))
    return emitOptionalError(location, op + " C4: smoothing lies in [0, 1): it is ", smoothing);
  return success();
}

// Its constraints: is_top C1, is_top C2, is_top C3.
MOEC_INFER(IsTopOp) {
  FailureOr<Shaped> scores = shaped(location, adaptor.getScores());
  if (failed(scores) || failed(checkRowLabels(location, "is_top", adaptor, *scores)))
    return failure();
  types.push_back(tensorOf(Sizes(scores->sizes.begin(), scores->sizes.end() - 1), IntegerType::get(context, 1)));
  return success();
}

// Their constraints: cross_entropy C1, cross_entropy C2, cross_entropy C3, cross_entropy C4,
// cross_entropy_grad C1, cross_entropy_grad C2, cross_entropy_grad C3, cross_entropy_grad C4.
MOEC_INFER(CrossEntropyOp) {
  FailureOr<Shaped> scores = shaped(location, adaptor.getScores());
  if (failed(scores) || failed(checkLabels(location, "cross_entropy", adaptor, *scores)))
    return failure();
  types.push_back(tensorOf(Sizes(scores->sizes.begin(), scores->sizes.end() - 1), scores->element));
  return success();
}

MOEC_INFER(CrossEntropyGradOp) {
  FailureOr<Shaped> dy = shaped(location, adaptor.getDy()), scores = shaped(location, adaptor.getScores());
  if (failed(dy) || failed(scores) || failed(checkLabels(location, "cross_entropy_grad", adaptor, *scores)))
    return failure();
  if (dy->element != scores->element || dy->sizes != Sizes(scores->sizes.begin(), scores->sizes.end() - 1))
    return emitOptionalError(location, "cross_entropy_grad C5: dy has a number of scores' dtype for each row: scores is ", dtypeName(scores->element),
                             scores->text(), ", dy is ", dtypeName(dy->element), dy->text());
  types.push_back(adaptor.getScores().getType());
  return success();
}

MOEC_INFER(EmbeddingGradOp) {
  FailureOr<Shaped> ids = shaped(location, adaptor.getIds()), dy = shaped(location, adaptor.getDy());
  if (failed(ids) || failed(dy))
    return failure();
  if (!ids->element.isSignlessInteger(32) && !ids->element.isSignlessInteger(64))
    return emitOptionalError(location, "embedding_grad C1: ids are i64 or i32: they are ", dtypeName(ids->element));
  if (failed(checkFloat(location, "embedding_grad C2", "dy", *dy)))
    return failure();
  if (dy->rank() != ids->rank() + 1 || Sizes(dy->sizes.begin(), dy->sizes.end() - 1) != ids->sizes)
    return emitOptionalError(location, "embedding_grad C3: dy has a row for each id: ids is ", ids->text(), ", dy is ", dy->text());
  int64_t entries = static_cast<int64_t>(adaptor.getEntries());
  if (entries < 1)
    return emitOptionalError(location, "embedding_grad C4: entries is at least 1: it is ", entries);
  types.push_back(tensorOf({Size(entries), dy->last()}, dy->element));
  return success();
}

LogicalResult RandomOp::verify() {
  Type element = getResult().getType().getElementType();
  if (!element.isF32() && !element.isF64())
    return emitError() << "random C1: draws are f64 or f32: the result is " << dtypeName(element);
  if (getPath().empty())
    return emitError() << "random C2: the path names the draw: it is empty";
  return success();
}

} // namespace moec::ir
