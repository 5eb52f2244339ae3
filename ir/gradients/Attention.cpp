// Attention and what tells it of positions.

#include "ir/gradients/Rules.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace moec::ir {

namespace {

/// One op gives all of dq, dk, dv and dbias, in the order of attention's operands. It reads the draws of a dropout again: they have no gradient.
void emitAttention(Rule& rule, AttentionOp op) {
  auto gradient = rule.create<AttentionGradOp>(rule.dy(), op.getQ(), op.getK(), op.getV(), op.getBias(), op.getDraws(), op.getHeadsAttr(), op.getKvHeadsAttr(),
                                               op.getScaleAttr(), op.getCausalAttr(), op.getDropoutAttr());
  for (auto [index, result] : llvm::enumerate(gradient->getResults()))
    rule.give(static_cast<unsigned>(index), result);
}

void emitRelativeBias(Rule& rule, RelativeBiasOp op) {
  int64_t buckets = *sizesOf(op.getTable())[0].constant();
  rule.give(0, rule.create<RelativeBiasGradOp>(rule.dy(), static_cast<uint64_t>(buckets), op.getMaxDistance(), op.getBidirectional()));
}

/// A turn's transpose is the turn back.
void emitRotary(Rule& rule, RotaryOp op) {
  rule.give(0, rule.create<RotaryOp>(rule.dy(), op.getPosition(), op.getHeads(), op.getBase(), op.getInterleaved(), !op.getInverse()));
}

} // namespace

std::optional<LogicalResult> emitAttentionGradient(Rule& rule) {
  bool known = true;
  llvm::TypeSwitch<Operation*>(rule.op())
      .Case([&](AttentionOp op) { emitAttention(rule, op); })
      .Case([&](RelativeBiasOp op) {
        if (op.getPosition()) // of generation, which has no loss
          known = false;
        else
          emitRelativeBias(rule, op);
      })
      .Case([&](RotaryOp op) { emitRotary(rule, op); })
      .Default([&](Operation*) { known = false; });
  return known ? std::optional(success()) : std::nullopt;
}

} // namespace moec::ir
