#include "ir/reference/EvaluateOp.h"

#include "ir/ops/Infer.h"
#include "ir/reference/Evaluate.h"
#include "runtime/core/Error.h"
#include "runtime/core/Philox.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace moec::reference {
namespace {

using Tensors = std::vector<Tensor>;

/// One op with its operands as tensors.
struct Step {
  ArrayRef<Tensor> in;
  Call& call;

  int64_t size(StringRef text) const { return Size::parse({text.data(), text.size()}).evaluate(call.bindings); }
  Shape shape(Value value) const { return shapeOf(value.getType(), call.bindings); }
  std::optional<int64_t> bound(ir::RoutingType type) const { return type.getBound() ? std::optional(ir::rowsOf(type).evaluate(call.bindings)) : std::nullopt; }
  Routing routing(Value value, const Tensor& tensor) const {
    auto type = cast<ir::RoutingType>(value.getType());
    return toRouting(tensor, type.getExperts(), ir::tokensOf(type).evaluate(call.bindings), type.getChoices(), bound(type));
  }
};

const Tensor& lookUp(const Call& call, StringRef name) {
  auto found = call.state.find(std::string_view(name.data(), name.size()));
  if (found == call.state.end())
    throw Error(Fault::Internal, "the state @" + name.str() + " has no value");
  return found->second;
}

Tensors evaluateLayerNorm(ir::LayerNormOp op, const Step& step) {
  const Tensor* weight = op.getWeight() ? &step.in[1] : nullptr;
  const Tensor* bias = op.getBias() ? &step.in.back() : nullptr;
  return {layerNorm(step.in[0], weight, bias, op.getEps().convertToDouble())};
}

template <class Op> AttentionRule attentionRuleOf(Op op) {
  int64_t heads = static_cast<int64_t>(op.getHeads());
  return {heads, op.getKvHeads() ? static_cast<int64_t>(*op.getKvHeads()) : heads, op.getScale().convertToDouble(), op.getCausal(),
          op.getDropout() ? op.getDropout()->convertToDouble() : 0};
}

/// Attention's own operands, of which some may not be there; `first` is q.
template <class Op, class Function> auto withAttentionOf(Op op, const Tensor* first, Function function) {
  const Tensor* bias = op.getBias() ? first + 3 : nullptr;
  const Tensor* draws = op.getDraws() ? first + (bias ? 4 : 3) : nullptr;
  return function(first[0], first[1], first[2], bias, draws, attentionRuleOf(op));
}

/// An i64 [].
int64_t positionOf(const Tensor& tensor) { return *static_cast<const int64_t*>(tensor.data()); }

Tensors evaluateCachedAttention(ir::CachedAttentionOp op, const Step& step) {
  ArrayRef<Tensor> in = step.in;
  int64_t heads = static_cast<int64_t>(op.getHeads());
  AttentionRule rule{heads, op.getKvHeads() ? static_cast<int64_t>(*op.getKvHeads()) : heads, op.getScale().convertToDouble(), true};
  return {cachedAttention(in[0], in[1], in[2], in[3], in[4], positionOf(in[5]), op.getBias() ? &in[6] : nullptr, rule)};
}

Tensors evaluateSliceAt(ir::SliceAtOp op, const Step& step) {
  int64_t position = positionOf(step.in[1]), size = step.size(op.getSize()), rows = step.in[0].shape()[0];
  if (position < 0 || position + size > rows)
    throw Error(Fault::Data, "slice_at: " + std::to_string(size) + " rows at position " + std::to_string(position) + " of " + std::to_string(rows));
  return {slice(step.in[0], 0, position, size)};
}

template <class Op> CrossEntropyRule crossEntropyRuleOf(Op op) { return {op.getSmoothing().convertToDouble(), static_cast<int64_t>(op.getIgnore())}; }

Tensors evaluateRelativeBias(ir::RelativeBiasOp op, const Step& step) {
  int64_t queries = step.size(op.getQueries()), keys = step.size(op.getKeys());
  int64_t first = op.getPosition() ? positionOf(step.in[1]) : keys - queries;
  return {relativeBias(step.in[0], first, queries, keys, static_cast<int64_t>(op.getMaxDistance()), op.getBidirectional())};
}

Tensors evaluateRandom(ir::RandomOp op, const Step& step) {
  DrawKey key{step.call.seed, streamOf(std::string_view(op.getPath().data(), op.getPath().size())), step.call.step};
  Distribution distribution = op.getDistribution() == ir::Distribution::Uniform ? Distribution::Uniform : Distribution::Normal;
  return {random(distribution, dtypeOf(op.getType()), step.shape(op), key)};
}

Tensors evaluateSelect(ir::SelectOp op, const Step& step) {
  Selection selection = select(step.in[0], static_cast<int64_t>(op.getK()));
  return {selection.values, selection.indices};
}

Tensors evaluateAssign(ir::AssignOp op, const Step& step) {
  AssignRule rule{.experts = static_cast<int64_t>(op.getExperts())};
  rule.priority = op.getPriority() == ir::Priority::TokenMajor ? Priority::TokenMajor : Priority::ChoiceMajor;
  if (op.getCapacity())
    rule.capacity = step.size(*op.getCapacity());
  if (op.getGroups())
    rule.groups = step.size(*op.getGroups());
  rule.bound = step.bound(op.getRouting().getType());
  std::optional<Routing> within;
  if (op.getWithin())
    within = step.routing(op.getWithin(), step.in.back());
  return {toTensor(assign(step.in[0], op.getKeep() ? &step.in[1] : nullptr, within ? &*within : nullptr, rule))};
}

Tensors evaluatePlaces(ir::PlacesOp op, const Step& step) {
  PlacesRule rule{.experts = static_cast<int64_t>(op.getExperts())};
  rule.priority = op.getPriority() == ir::Priority::TokenMajor ? Priority::TokenMajor : Priority::ChoiceMajor;
  if (op.getGroups())
    rule.groups = step.size(*op.getGroups());
  return {places(step.in[0], step.in[1], op.getKeep() ? &step.in[2] : nullptr, rule)};
}

// The enums of the dialect and of the evaluators have the same order.
template <class To, class From> To same(From value) { return static_cast<To>(static_cast<uint32_t>(value)); }
static_assert(static_cast<uint32_t>(ir::Predicate::GE) == static_cast<uint32_t>(Comparison::Ge));
static_assert(static_cast<uint32_t>(ir::ReduceKind::Max) == static_cast<uint32_t>(Reduction::Max));

} // namespace

std::vector<Tensor> evaluateOp(Operation* op, ArrayRef<Tensor> operands, Call& call) {
  Step step{operands, call};
  ArrayRef<Tensor> in = operands;
  auto unaryCase = [&](Unary kind, double parameter = 0) -> Tensors { return {unary(kind, in[0], parameter)}; };
  auto binaryCase = [&](Binary kind) -> Tensors { return {binary(kind, in[0], in[1])}; };
  return llvm::TypeSwitch<Operation*, Tensors>(op)
      .Case([&](ir::ReadOp op) -> Tensors { return {lookUp(call, op.getState())}; })
      .Case([&](ir::WriteOp op) -> Tensors {
        call.written[op.getState().str()] = in[0];
        return {};
      })
      .Case([&](ir::NegOp) { return unaryCase(Unary::Neg); })
      .Case([&](ir::DetachOp) -> Tensors { return {in[0]}; })
      .Case([&](ir::ExpOp) { return unaryCase(Unary::Exp); })
      .Case([&](ir::LogOp) { return unaryCase(Unary::Log); })
      .Case([&](ir::SqrtOp) { return unaryCase(Unary::Sqrt); })
      .Case([&](ir::TanhOp) { return unaryCase(Unary::Tanh); })
      .Case([&](ir::SigmoidOp) { return unaryCase(Unary::Sigmoid); })
      .Case([&](ir::SoftplusOp) { return unaryCase(Unary::Softplus); })
      .Case([&](ir::ReluOp) { return unaryCase(Unary::Relu); })
      .Case([&](ir::GeluOp) { return unaryCase(Unary::Gelu); })
      .Case([&](ir::GeluTanhOp) { return unaryCase(Unary::GeluTanh); })
      .Case([&](ir::SiluOp) { return unaryCase(Unary::Silu); })
      .Case([&](ir::ErfOp) { return unaryCase(Unary::Erf); })
      .Case([&](ir::GeluGradOp) { return unaryCase(Unary::GeluGrad); })
      .Case([&](ir::GeluTanhGradOp) { return unaryCase(Unary::GeluTanhGrad); })
      .Case([&](ir::LeakyReluOp op) { return unaryCase(Unary::LeakyRelu, op.getSlope().convertToDouble()); })
      .Case([&](ir::EluOp op) { return unaryCase(Unary::Elu, op.getAlpha().convertToDouble()); })
      .Case([&](ir::AddOp) { return binaryCase(Binary::Add); })
      .Case([&](ir::SubOp) { return binaryCase(Binary::Sub); })
      .Case([&](ir::MulOp) { return binaryCase(Binary::Mul); })
      .Case([&](ir::DivOp) { return binaryCase(Binary::Div); })
      .Case([&](ir::MinOp) { return binaryCase(Binary::Min); })
      .Case([&](ir::MaxOp) { return binaryCase(Binary::Max); })
      .Case([&](ir::CompareOp op) -> Tensors { return {compare(same<Comparison>(op.getPredicate()), in[0], in[1])}; })
      .Case([&](ir::WhereOp) -> Tensors { return {where(in[0], in[1], in[2])}; })
      .Case([&](ir::CastOp op) -> Tensors { return {cast(in[0], ir::dtypeOf(op.getTo()))}; })
      .Case([&](ir::ConstantOp op) -> Tensors { return {toTensor(mlir::cast<DenseElementsAttr>(op.getValue()))}; })
      .Case([&](ir::SizeOp op) -> Tensors { return {cast(Tensor::of<double>({static_cast<double>(step.size(op.getValue()))}, {}), ir::dtypeOf(op.getTo()))}; })
      .Case([&](ir::ReshapeOp op) -> Tensors { return {in[0].reshaped(step.shape(op))}; })
      .Case([&](ir::TransposeOp op) -> Tensors { return {transpose(in[0], op.getPermutation().vec())}; })
      .Case([&](ir::SliceOp op) -> Tensors { return {slice(in[0], static_cast<int64_t>(op.getAxis()), step.size(op.getStart()), step.size(op.getSize()))}; })
      .Case([&](ir::SliceAtOp op) { return evaluateSliceAt(op, step); })
      .Case([&](ir::CachedAttentionOp op) { return evaluateCachedAttention(op, step); })
      .Case([&](ir::AppendOp) -> Tensors { return {append(in[0], in[1], positionOf(in[2]))}; })
      .Case([&](ir::ConcatOp op) -> Tensors { return {concat(in.vec(), static_cast<int64_t>(op.getAxis()))}; })
      .Case([&](ir::BroadcastOp op) -> Tensors { return {broadcast(in[0], step.shape(op))}; })
      .Case([&](ir::ReduceOp op) -> Tensors { return {reduce(same<Reduction>(op.getKind()), in[0], static_cast<int64_t>(op.getAxis()))}; })
      .Case([&](ir::MatmulOp) -> Tensors { return {matmul(in[0], in[1])}; })
      .Case([&](ir::PackOp op) -> Tensors { return {pack(in[0], static_cast<int64_t>(op.getNr()), op.getPairs())}; })
      .Case([&](ir::UnpackOp op) -> Tensors { return {unpack(in[0], static_cast<int64_t>(op.getN()), op.getPairs())}; })
      .Case([&](ir::QuantizeOp op) -> Tensors {
        Quantized result = quantize(in[0], static_cast<int64_t>(op.getGroup()));
        return {result.codes, result.scales};
      })
      .Case([&](ir::DequantizeOp op) -> Tensors { return {dequantize(in[0], in[1], static_cast<int64_t>(op.getGroup()))}; })
      .Case([&](ir::LayerNormOp op) { return evaluateLayerNorm(op, step); })
      .Case([&](ir::RmsNormOp op) -> Tensors { return {rmsNorm(in[0], op.getWeight() ? &in[1] : nullptr, op.getEps().convertToDouble())}; })
      .Case([&](ir::SoftmaxOp) -> Tensors { return {softmax(in[0])}; })
      .Case([&](ir::AttentionOp op) -> Tensors { return {withAttentionOf(op, &in[0], attention)}; })
      .Case(
          [&](ir::AttentionGradOp op) -> Tensors { return withAttentionOf(op, &in[1], [&](auto&&... operands) { return attentionGrad(in[0], operands...); }); })
      .Case([&](ir::LayerNormGradOp op) -> Tensors { return {layerNormGrad(in[0], in[1], op.getWeight() ? &in[2] : nullptr, op.getEps().convertToDouble())}; })
      .Case([&](ir::RmsNormGradOp op) -> Tensors { return {rmsNormGrad(in[0], in[1], op.getWeight() ? &in[2] : nullptr, op.getEps().convertToDouble())}; })
      .Case([&](ir::SoftmaxGradOp) -> Tensors { return {softmaxGrad(in[0], in[1])}; })
      .Case([&](ir::LogSumExpOp) -> Tensors { return {logSumExp(in[0])}; })
      .Case([&](ir::CrossEntropyOp op) -> Tensors { return {crossEntropy(in[0], in[1], crossEntropyRuleOf(op))}; })
      .Case([&](ir::IsTopOp op) -> Tensors { return {isTop(in[0], in[1], static_cast<int64_t>(op.getIgnore()))}; })
      .Case([&](ir::CrossEntropyGradOp op) -> Tensors { return {crossEntropyGrad(in[0], in[1], in[2], crossEntropyRuleOf(op))}; })
      .Case([&](ir::RelativeBiasGradOp op) -> Tensors {
        return {relativeBiasGrad(in[0], {static_cast<int64_t>(op.getBuckets()), static_cast<int64_t>(op.getMaxDistance()), op.getBidirectional()})};
      })
      .Case([&](ir::EmbeddingGradOp op) -> Tensors { return {embeddingGrad(in[0], in[1], static_cast<int64_t>(op.getEntries()))}; })
      .Case([&](ir::SelectGradOp op) -> Tensors { return {selectGrad(in[0], in[1], static_cast<int64_t>(op.getExperts()))}; })
      .Case([&](ir::ChoiceValuesOp op) -> Tensors { return {choiceValues(in[0], step.routing(op.getRouting(), in[1]))}; })
      .Case([&](ir::ExpertSumsOp op) -> Tensors { return {expertSums(in[0], step.routing(op.getRouting(), in[1]))}; })
      .Case([&](ir::GroupedWeightGradOp op) -> Tensors { return {groupedWeightGrad(in[0], in[1], step.routing(op.getRouting(), in[2]))}; })
      .Case([&](ir::RelativeBiasOp op) { return evaluateRelativeBias(op, step); })
      .Case([&](ir::RotaryOp op) -> Tensors {
        int64_t first = op.getPosition() ? positionOf(in[1]) : 0;
        return {rotary(in[0], static_cast<int64_t>(op.getHeads()), op.getBase().convertToDouble(), op.getInterleaved(), op.getInverse(), first)};
      })
      .Case([&](ir::EmbeddingOp) -> Tensors { return {embedding(in[0], in[1])}; })
      .Case([&](ir::RandomOp op) { return evaluateRandom(op, step); })
      .Case([&](ir::SelectOp op) { return evaluateSelect(op, step); })
      .Case([&](ir::TakeOp) -> Tensors { return {take(in[0], in[1])}; })
      .Case([&](ir::PlacesOp op) { return evaluatePlaces(op, step); })
      .Case([&](ir::SwipeOp op) -> Tensors { return {swipe(in[0], static_cast<int64_t>(op.getExperts()), static_cast<int64_t>(op.getWorkers()))}; })
      .Case([&](ir::AssignOp op) { return evaluateAssign(op, step); })
      .Case([&](ir::DropOp op) -> Tensors { return {toTensor(drop(step.routing(op.getRouting(), in[0]), in[1]))}; })
      .Case([&](ir::ExpertsOfOp op) -> Tensors {
        return {toTensor(expertsOf(step.routing(op.getRouting(), in[0]), static_cast<int64_t>(op.getFrom()), static_cast<int64_t>(op.getCount())))};
      })
      .Case([&](ir::ExpertCountsOp op) -> Tensors { return {expertCounts(step.routing(op.getRouting(), in[0]))}; })
      .Case([&](ir::DispatchOp op) -> Tensors { return {dispatch(in[0], step.routing(op.getRouting(), in[1]))}; })
      .Case([&](ir::GroupedMatmulOp op) -> Tensors { return {groupedMatmul(in[0], in[1], step.routing(op.getRouting(), in[2]))}; })
      .Case([&](ir::ExpertRowsOp op) -> Tensors { return {expertRows(in[0], step.routing(op.getRouting(), in[1]))}; })
      .Case([&](ir::RowWeightsOp op) -> Tensors { return {rowWeights(in[0], step.routing(op.getRouting(), in[1]))}; })
      .Case([&](ir::CombineOp op) -> Tensors { return {combine(in[0], step.routing(op.getRouting(), in[1]), in[2])}; })
      .Default([](Operation* other) -> Tensors { throw Error(Fault::Internal, "the reference has no evaluator for it"); });
}

} // namespace moec::reference
