// Products, norms, softmax, losses, embeddings.

#include "ir/gradients/Rules.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace moec::ir {

namespace {

/// y (T, N) = a (T, K) . b (N, K)^T, all rows of a in one dimension: da = dy . b, db = dy^T . a.
void emitMatrixProduct(Rule& rule, Value a, Value b) {
  Sizes sizes = sizesOf(a);
  Size rows = product(Sizes(sizes.begin(), sizes.end() - 1));
  Value dy = rule.reshape(rule.dy(), {rows, sizesOf(b)[0]});
  rule.give(0, rule.reshape(rule.matmul(dy, rule.transpose(b)), sizes));
  Value settledDy = rule.reshape(rule.withoutUndefinedRows(rule.dy()), {rows, sizesOf(b)[0]});
  Value settledA = rule.reshape(rule.withoutUndefinedRows(a), {rows, sizes.back()});
  rule.give(1, rule.matmul(rule.transpose(settledDy), rule.transpose(settledA)));
}

/// The same for each matrix of the leading dimensions, summed over those that an operand was repeated along.
void emitMatmul(Rule& rule, MatmulOp op) {
  Value a = op.getA(), b = op.getB(), dy = rule.dy();
  if (sizesOf(b).size() == 2)
    return emitMatrixProduct(rule, a, b);
  rule.giveSummed(0, rule.matmul(dy, rule.transpose(b)));
  // Rows of a matrix a are dimension -2 of dy, whose first one is not ragged: both lose them.
  if (Value routing = sizesOf(a).size() == 2 ? raggedRouting(a) : Value()) {
    a = rule.withoutRowsBehind(routing, a, 0);
    dy = rule.withoutRowsBehind(routing, dy, sizesOf(dy).size() - 2);
  }
  rule.giveSummed(1, rule.matmul(rule.transpose(dy), rule.transpose(a)));
}

void emitLayerNorm(Rule& rule, LayerNormOp op) {
  Value dy = rule.dy(), x = op.getX();
  rule.give(0, rule.create<LayerNormGradOp>(dy, x, op.getWeight(), op.getEps()));
  if (op.getWeight()) {
    Value normal = rule.create<LayerNormOp>(x, Value(), Value(), op.getEps());
    rule.give(1, rule.sumRows(rule.mul(dy, normal)));
  }
  if (op.getBias())
    rule.give(op.getWeight() ? 2 : 1, rule.sumRows(dy));
}

void emitRmsNorm(Rule& rule, RmsNormOp op) {
  Value dy = rule.dy(), x = op.getX();
  rule.give(0, rule.create<RmsNormGradOp>(dy, x, op.getWeight(), op.getEps()));
  if (op.getWeight())
    rule.give(1, rule.sumRows(rule.mul(dy, rule.create<RmsNormOp>(x, Value(), op.getEps()))));
}

void emitLogSumExp(Rule& rule, LogSumExpOp op) {
  Sizes column = sizesOf(rule.dy());
  column.push_back(1);
  rule.give(0, rule.mul(rule.create<SoftmaxOp>(op.getX()), rule.reshape(rule.dy(), column)));
}

LogicalResult emitEmbedding(Rule& rule, EmbeddingOp op) {
  std::optional<int64_t> entries = sizesOf(op.getTable())[0].constant();
  if (!entries)
    return op.emitError() << "the gradient of a table needs a constant number of entries: it has " << sizesOf(op.getTable())[0].str();
  rule.give(1, rule.create<EmbeddingGradOp>(op.getIds(), rule.dy(), static_cast<uint64_t>(*entries)));
  return success();
}

} // namespace

std::optional<LogicalResult> emitLayerGradient(Rule& rule) {
  if (auto embedding = dyn_cast<EmbeddingOp>(rule.op()))
    return emitEmbedding(rule, embedding);
  bool known = true;
  llvm::TypeSwitch<Operation*>(rule.op())
      .Case([&](MatmulOp op) { emitMatmul(rule, op); })
      .Case([&](LayerNormOp op) { emitLayerNorm(rule, op); })
      .Case([&](RmsNormOp op) { emitRmsNorm(rule, op); })
      .Case([&](SoftmaxOp op) { rule.give(0, rule.create<SoftmaxGradOp>(rule.dy(), op.getResult())); })
      .Case([&](LogSumExpOp op) { emitLogSumExp(rule, op); })
      .Case([&](CrossEntropyOp op) {
        rule.give(0, rule.create<CrossEntropyGradOp>(rule.dy(), op.getScores(), op.getLabels(), op.getSmoothing(), op.getIgnore()));
      })
      .Default([&](Operation*) { known = false; });
  return known ? std::optional(success()) : std::nullopt;
}

} // namespace moec::ir
