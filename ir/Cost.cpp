#include "ir/Cost.h"

#include "ir/ops/Infer.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace moec::ir {

Size bytesOf(Type type) {
  if (auto routing = dyn_cast<RoutingType>(type))
    return (Size(routing.getExperts() + 1) + Size(2) * pairsOf(routing)) * Size(4); // RoutingLayout::elements, of i32
  auto tensor = cast<RankedTensorType>(type);
  return product(sizesOf(tensor)) * Size(static_cast<int64_t>(byteSize(dtypeOf(tensor.getElementType()))));
}

static Size countOf(Value value) { return product(sizesOf(value)); }

static Size attentionFlops(AttentionOp op) {
  Sizes q = sizesOf(op.getQ());
  Size pairs = q[0] * q[1] * sizesOf(op.getK())[1];
  // Two products over the width, and softmax's scale, maximum, difference, exponential, sum and quotient per head.
  int64_t perHead = 6 + (op.getBias() ? 1 : 0) + (op.getDraws() ? 2 : 0); // beside it a bias, and dropout's comparison and product
  return pairs * (Size(4) * q[2] + Size(perHead) * Size(static_cast<int64_t>(op.getHeads())));
}

/// As if all of the context were seen: what is, is known at run time alone.
static Size cachedAttentionFlops(CachedAttentionOp op) {
  Sizes q = sizesOf(op.getQ());
  return q[0] * q[1] * sizesOf(op.getKeys())[1] * (Size(4) * q[2] + Size(op.getBias() ? 7 : 6) * Size(static_cast<int64_t>(op.getHeads())));
}

/// Weights that a product reads in another form than the model's: no arithmetic of the model.
static bool isOfWeights(Operation* op) { return isa<CastOp>(op) && op->getOperand(0).getDefiningOp<UnpackOp>(); }

static Size flopsOf(Operation* op) {
  if (isOfWeights(op))
    return Size(0);
  if (isElementwise(op))
    return countOf(op->getResult(0));
  return llvm::TypeSwitch<Operation*, Size>(op)
      .Case([](MatmulOp op) { return Size(2) * countOf(op.getResult()) * sizesOf(op.getA()).back(); })
      .Case([](GroupedMatmulOp op) { return Size(2) * countOf(op.getResult()) * sizesOf(op.getRows()).back(); })
      .Case([](AttentionOp op) { return attentionFlops(op); })
      .Case([](CachedAttentionOp op) { return cachedAttentionFlops(op); })
      .Case([](GroupedWeightGradOp op) { return Size(2) * countOf(op.getDy()) * sizesOf(op.getRows()).back(); })
      .Case([](AttentionGradOp op) {
        // Scores, dP, dV, dQ and dK: five products over the width, where attention has two.
        Sizes q = sizesOf(op.getQ());
        return q[0] * q[1] * sizesOf(op.getK())[1] * (Size(10) * q[2] + Size(op.getDraws() ? 15 : 12) * Size(static_cast<int64_t>(op.getHeads())));
      })
      .Case([](LayerNormGradOp op) { return Size(op.getWeight() ? 14 : 13) * countOf(op.getX()); })
      .Case([](RmsNormGradOp op) { return Size(op.getWeight() ? 9 : 8) * countOf(op.getX()); })
      .Case([](SoftmaxGradOp op) { return Size(4) * countOf(op.getY()); })
      .Case([](LogSumExpOp op) { return Size(4) * countOf(op.getX()); })
      .Case([](CrossEntropyOp op) { return Size(5) * countOf(op.getScores()); })
      .Case([](IsTopOp op) { return Size(2) * countOf(op.getScores()); })
      .Case([](CrossEntropyGradOp op) { return Size(6) * countOf(op.getScores()); })
      .Case([](EmbeddingGradOp op) { return countOf(op.getDy()); })
      .Case([](RelativeBiasGradOp op) { return countOf(op.getDy()); })
      .Case([](ExpertSumsOp op) { return countOf(op.getRows()); })
      .Case([](SoftmaxOp op) { return Size(5) * countOf(op.getX()); })
      .Case([](LayerNormOp op) { return Size(op.getWeight() ? 8 : 6) * countOf(op.getX()); })
      .Case([](RmsNormOp op) { return Size(op.getWeight() ? 5 : 4) * countOf(op.getX()); })
      .Case([](RotaryOp op) { return Size(3) * countOf(op.getX()); })
      .Case([](ReduceOp op) { return countOf(op.getX()); })
      .Case([](SelectOp op) { return countOf(op.getScores()) * Size(static_cast<int64_t>(op.getK())); })
      .Case([](PlacesOp op) { return Size(16) * countOf(op.getScores()); }) // comparisons of a sort of a few thousand
      .Case([](CombineOp op) { return Size(2) * countOf(op.getRows()); })
      .Case([](KernelOp op) {
        Size sum;
        for (Operation& inner : op.getBody().front())
          sum = sum + flopsOf(&inner);
        return sum;
      })
      .Default([](Operation*) { return Size(0); }); // moves, draws and indices
}

/// The new rows, read and written: the other rows of the states stay as they are.
static Size appendBytes(KernelOp kernel) {
  Size bytes;
  for (auto append : kernel.getBody().front().getOps<AppendOp>())
    bytes = bytes + Size(2) * bytesOf(append.getRows().getType());
  return bytes;
}

/// Rows of a kernel's value, along its first dimension, that its ops can reach at most; nothing where some op reads all of them.
static std::optional<Size> reachedRows(Value value) {
  if (value.use_empty())
    return {};
  Size sum;
  for (OpOperand& use : value.getUses()) {
    std::optional<Size> reached;
    Operation* op = use.getOwner();
    if (auto grouped = dyn_cast<GroupedMatmulOp>(op); grouped && grouped.getW() == value && grouped.getRows() != value)
      reached = pairsOf(cast<RoutingType>(grouped.getRouting().getType()));
    else if (auto rows = dyn_cast<ExpertRowsOp>(op); rows && rows.getTable() == value)
      reached = pairsOf(cast<RoutingType>(rows.getRouting().getType()));
    else if (auto embedding = dyn_cast<EmbeddingOp>(op); embedding && embedding.getTable() == value && embedding.getIds() != value)
      reached = countOf(embedding.getIds());
    else if (auto transpose = dyn_cast<TransposeOp>(op); transpose && transpose.getPermutation().front() == 0)
      reached = reachedRows(transpose.getResult());
    else if (auto unpack = dyn_cast<UnpackOp>(op); unpack && sizesOf(value).size() > 3) // its panels lie behind the first dimension
      reached = reachedRows(unpack.getResult());
    else if (isOfWeights(op) || (isa<DequantizeOp>(op) && sizesOf(value).size() > 2))
      reached = reachedRows(op->getResult(0));
    if (!reached)
      return {};
    sum = sum + *reached;
  }
  return sum;
}

static Size argumentBytes(BlockArgument argument) {
  Size all = bytesOf(argument.getType());
  std::optional<Size> reached = reachedRows(argument);
  if (!reached)
    return all;
  Sizes sizes = sizesOf(argument);
  Size first = sizes.front();
  if (!first.isConstant() || first == Size(0))
    return all;
  return Size::floorDiv(all, first) * Size::min(first, *reached);
}

Cost costOf(Operation* op) {
  if (auto kernel = dyn_cast<KernelOp>(op); kernel && kernel.getKind() == "append")
    return {Size(0), appendBytes(kernel)};
  Size bytes;
  if (auto kernel = dyn_cast<KernelOp>(op))
    for (BlockArgument argument : kernel.getBody().getArguments())
      bytes = bytes + argumentBytes(argument);
  else
    for (Type type : op->getOperandTypes())
      bytes = bytes + bytesOf(type);
  for (Type type : op->getResultTypes())
    bytes = bytes + bytesOf(type);
  return {flopsOf(op), bytes};
}

} // namespace moec::ir
