#include "models/Ops.h"

#include "models/json/Words.h"

#include <fmt/format.h>

using namespace mlir;

namespace moec::models {

namespace {

constexpr int64_t kMostElements = int64_t{1} << 40; // of one parameter

ir::InitAttr initAttr(const Init& init, MLIRContext* context) {
  static constexpr StringRef names[] = {"zeros", "ones", "constant", "uniform", "normal", "orthogonal", "truncated_normal"};
  auto number = [&](double value) { return FloatAttr::get(Float64Type::get(context), value); };
  return ir::InitAttr::get(context, StringAttr::get(context, names[static_cast<size_t>(init.kind)]), number(init.a), number(init.b));
}

bool isTooLarge(const ir::Sizes& sizes) {
  int64_t elements = 1;
  for (const Size& size : sizes)
    if (__builtin_mul_overflow(elements, *size.constant(), &elements) || elements > kMostElements)
      return true;
  return false;
}

} // namespace

Ops::Ops(func::FuncOp function, Diagnostics& diagnostics, bool drawsAsInputs, bool keepsAll)
    : function_(function), builder_(OpBuilder::atBlockEnd(&function.getBody().front())), diagnostics_(diagnostics), drawsAsInputs_(drawsAsInputs),
      keepsAll_(keepsAll), location_(function.getLoc()) {}

void Ops::moveTo(const std::string& path, Position position) {
  position_ = position;
  Location file = FileLineColLoc::get(context(), diagnostics_.file(), position.line, position.column);
  location_ = NameLoc::get(StringAttr::get(context(), path), file);
}

Value Ops::parameter(const std::string& path, const ir::Sizes& sizes, Type element, const Init& init, std::optional<double> signRate) {
  for (const Size& size : sizes)
    if (!size.isConstant()) {
      diagnostics_.error(position_, fmt::format("the parameter {} would have the shape {}; its sizes must be numbers", inQuotes(path), ir::describe(sizes)));
      return {};
    }
  if (isTooLarge(sizes)) {
    diagnostics_.error(position_, fmt::format("the parameter {} of shape {} has more than 2^40 elements", inQuotes(path), ir::describe(sizes)));
    return {};
  }
  RankedTensorType type = ir::tensorOf(sizes, element);
  if (!parameters_.emplace(path, type).second) {
    diagnostics_.error(position_, fmt::format("two parameters would be called {}", inQuotes(path)));
    return {};
  }
  OpBuilder outside(function_);
  OperationState state(location_, ir::ParameterOp::getOperationName());
  state.addAttribute("sym_name", builder_.getStringAttr(path));
  state.addAttribute("type", TypeAttr::get(type));
  state.addAttribute("init", initAttr(init, context()));
  if (signRate)
    state.addAttribute("sign_rate", builder_.getF64FloatAttr(*signRate));
  outside.create(state);
  return known(path);
}

Value Ops::known(const std::string& path) {
  auto parameter = parameters_.find(path);
  if (parameter == parameters_.end())
    return {};
  OperationState read(location_, ir::ReadOp::getOperationName());
  read.addAttribute("state", FlatSymbolRefAttr::get(context(), path));
  read.addTypes(parameter->second);
  return builder_.create(read)->getResult(0);
}

Value Ops::state(const std::string& path, const ir::Sizes& sizes, Type element) {
  if (isTooLarge(sizes)) {
    diagnostics_.error(position_, fmt::format("the state {} of shape {} has more than 2^40 elements", inQuotes(path), ir::describe(sizes)));
    return {};
  }
  RankedTensorType type = ir::tensorOf(sizes, element);
  OpBuilder outside(function_);
  OperationState state(location_, ir::StateOp::getOperationName());
  state.addAttribute("sym_name", builder_.getStringAttr(path));
  state.addAttribute("type", TypeAttr::get(type));
  state.addAttribute("init", initAttr({}, context()));
  outside.create(state);
  return ir::ReadOp::create(builder_, location_, type, path);
}

void Ops::write(const std::string& path, Value value) {
  if (value)
    ir::WriteOp::create(builder_, location_, path, value);
}

std::vector<std::string> Ops::parameters(RankedTensorType type) const {
  std::vector<std::string> paths;
  for (const auto& [path, own] : parameters_)
    if (own == type)
      paths.push_back(path);
  return paths;
}

Value Ops::random(ir::Distribution distribution, const std::string& path, const ir::Sizes& sizes, Type element) {
  RankedTensorType type = ir::tensorOf(sizes, element);
  if (drawsAsInputs_) {
    unsigned index = function_.getNumArguments();
    ir::Sizes given = sizes;
    while (given.size() > 1 && given.back() == Size(1))
      given.pop_back();
    auto attributes = builder_.getDictionaryAttr(
        {builder_.getNamedAttr("moe.input", builder_.getStringAttr(path)), builder_.getNamedAttr("moe.draw", builder_.getUnitAttr())});
    if (failed(function_.insertArgument(index, ir::tensorOf(given, element), attributes, location_)))
      return {};
    return reshape(function_.getArgument(index), sizes);
  }
  OperationState state(location_, ir::RandomOp::getOperationName());
  state.addAttribute("distribution", ir::DistributionAttr::get(context(), distribution));
  state.addAttribute("path", builder_.getStringAttr(path));
  state.addTypes(type);
  return builder_.create(state)->getResult(0);
}

Value Ops::choices(const std::string& name, const ir::Sizes& sizes, int64_t below) {
  auto number = [&](int64_t value) { return builder_.getI64IntegerAttr(value); };
  auto attributes = builder_.getDictionaryAttr({builder_.getNamedAttr("moe.below", number(below)), builder_.getNamedAttr("moe.except", number(-1)),
                                                builder_.getNamedAttr("moe.input", builder_.getStringAttr(name))});
  unsigned index = function_.getNumArguments();
  if (failed(function_.insertArgument(index, ir::tensorOf(sizes, builder_.getI32Type()), attributes, location_)))
    return {};
  return function_.getArgument(index);
}

Value Ops::constant(const std::vector<int64_t>& shape, llvm::ArrayRef<double> values, Type element) {
  if (auto integer = mlir::dyn_cast<IntegerType>(element)) {
    SmallVector<APInt> numbers;
    for (double value : values)
      numbers.emplace_back(integer.getWidth(), static_cast<uint64_t>(static_cast<int64_t>(value)), /*isSigned=*/true);
    auto attribute = DenseElementsAttr::get(RankedTensorType::get(shape, element), numbers);
    return emit(ir::ConstantOp::getOperationName(), {}, {{"value", attribute}});
  }
  SmallVector<APFloat> numbers;
  for (double value : values) {
    APFloat number(value);
    bool losesInfo = false;
    number.convert(cast<FloatType>(element).getFloatSemantics(), APFloat::rmNearestTiesToEven, &losesInfo);
    numbers.push_back(number);
  }
  auto attribute = DenseElementsAttr::get(RankedTensorType::get(shape, element), numbers);
  return emit(ir::ConstantOp::getOperationName(), {}, {{"value", attribute}});
}

Operation* Ops::emitOp(StringRef name, ArrayRef<Value> operands, Attributes attributes) {
  if (llvm::is_contained(operands, Value()))
    return nullptr;
  OperationState state(location_, name);
  state.addOperands(operands);
  for (const auto& [key, value] : attributes)
    state.addAttribute(key, value);
  // What the generated builders do, but for their fatal error when the inference fails.
  RegisteredOperationName info = *RegisteredOperationName::lookup(name, context());
  OpaqueProperties properties(nullptr);
  std::unique_ptr<char[]> storage;
  DictionaryAttr dictionary = state.attributes.getDictionary(context());
  if (int size = info.getOpPropertyByteSize()) {
    storage = std::make_unique<char[]>(static_cast<size_t>(size));
    properties = OpaqueProperties(storage.get());
    info.initOpProperties(properties, OpaqueProperties(nullptr));
    auto complain = [&] { return emitError(location_); };
    if (failed(info.setOpPropertiesFromAttribute(info, properties, dictionary, complain)))
      return nullptr;
  }
  SmallVector<Type> types;
  LogicalResult inferred = info.getInterface<InferTypeOpInterface>()->inferReturnTypes(context(), location_, state.operands, dictionary, properties, {}, types);
  if (properties)
    info.destroyOpProperties(properties);
  if (failed(inferred))
    return nullptr;
  state.addTypes(types);
  return builder_.create(state);
}

Value Ops::emit(StringRef name, ArrayRef<Value> operands, Attributes attributes) {
  Operation* op = emitOp(name, operands, attributes);
  return op ? op->getResult(0) : Value();
}

Value Ops::leakyRelu(Value x, double slope) { return emit(ir::LeakyReluOp::getOperationName(), {x}, {{"slope", builder_.getF64FloatAttr(slope)}}); }

Value Ops::elu(Value x, double alpha) { return emit(ir::EluOp::getOperationName(), {x}, {{"alpha", builder_.getF64FloatAttr(alpha)}}); }

Value Ops::compare(ir::Predicate predicate, Value a, Value b) {
  return emit(ir::CompareOp::getOperationName(), {a, b}, {{"predicate", ir::PredicateAttr::get(context(), predicate)}});
}

Value Ops::where(Value condition, Value a, Value b) { return emit(ir::WhereOp::getOperationName(), {condition, a, b}, {}); }

Value Ops::cast(Value x, Type to) {
  if (!x || mlir::cast<RankedTensorType>(x.getType()).getElementType() == to)
    return x;
  return emit(ir::CastOp::getOperationName(), {x}, {{"to", TypeAttr::get(to)}});
}

Value Ops::reshape(Value x, const ir::Sizes& sizes) {
  if (!x || ir::sizesOf(x) == sizes)
    return x;
  auto type = ir::tensorOf(sizes, mlir::cast<RankedTensorType>(x.getType()).getElementType());
  return ir::ReshapeOp::create(builder_, location_, type, x);
}

Value Ops::transpose(Value x, ArrayRef<int64_t> permutation) {
  return emit(ir::TransposeOp::getOperationName(), {x}, {{"permutation", builder_.getDenseI64ArrayAttr(permutation)}});
}

Value Ops::slice(Value x, int64_t axis, const Size& start, const Size& size) {
  return emit(ir::SliceOp::getOperationName(), {x},
              {{"axis", builder_.getI64IntegerAttr(axis)}, {"start", builder_.getStringAttr(start.str())}, {"size", builder_.getStringAttr(size.str())}});
}

Value Ops::concat(ArrayRef<Value> xs, int64_t axis) { return emit(ir::ConcatOp::getOperationName(), xs, {{"axis", builder_.getI64IntegerAttr(axis)}}); }

Value Ops::broadcast(Value x, const ir::Sizes& sizes) {
  if (!x || ir::sizesOf(x) == sizes)
    return x;
  auto type = ir::tensorOf(sizes, mlir::cast<RankedTensorType>(x.getType()).getElementType());
  return ir::BroadcastOp::create(builder_, location_, type, x);
}

Value Ops::reduce(ir::ReduceKind kind, Value x, int64_t axis) {
  return emit(ir::ReduceOp::getOperationName(), {x}, {{"kind", ir::ReduceKindAttr::get(context(), kind)}, {"axis", builder_.getI64IntegerAttr(axis)}});
}

Value Ops::reduceAll(ir::ReduceKind kind, Value x) {
  for (int64_t axis = x ? static_cast<int64_t>(ir::sizesOf(x).size()) : 0; axis-- > 0;)
    x = reduce(kind, x, axis);
  return x;
}

Value Ops::number(const Size& size, Type element) {
  if (size.isConstant())
    return constant({1}, {static_cast<double>(*size.constant())}, element);
  return emit(ir::SizeOp::getOperationName(), {}, {{"value", builder_.getStringAttr(size.str())}, {"to", TypeAttr::get(element)}});
}

Value Ops::layerNorm(Value x, Value weight, Value bias, double eps) {
  SmallVector<Value> operands{x};
  if (weight)
    operands.push_back(weight);
  if (bias)
    operands.push_back(bias);
  return emit(ir::LayerNormOp::getOperationName(), operands,
              {{"eps", builder_.getF64FloatAttr(eps)}, {"operandSegmentSizes", builder_.getDenseI32ArrayAttr({1, weight ? 1 : 0, bias ? 1 : 0})}});
}

Value Ops::rmsNorm(Value x, Value weight, double eps) {
  SmallVector<Value> operands{x};
  if (weight)
    operands.push_back(weight);
  return emit(ir::RmsNormOp::getOperationName(), operands, {{"eps", builder_.getF64FloatAttr(eps)}});
}

Value Ops::crossEntropy(Value scores, Value labels, double smoothing, int64_t ignore) {
  return emit(ir::CrossEntropyOp::getOperationName(), {scores, labels},
              {{"smoothing", builder_.getF64FloatAttr(smoothing)}, {"ignore", builder_.getI64IntegerAttr(ignore)}});
}

Value Ops::isTop(Value scores, Value labels, int64_t ignore) {
  return emit(ir::IsTopOp::getOperationName(), {scores, labels}, {{"ignore", builder_.getI64IntegerAttr(ignore)}});
}

Value Ops::attention(Value q, Value k, Value v, const AttentionRule& rule) {
  SmallVector<std::pair<StringRef, Attribute>> attributes{{"heads", builder_.getI64IntegerAttr(rule.heads)}, {"scale", builder_.getF64FloatAttr(rule.scale)}};
  if (rule.keyHeads != rule.heads)
    attributes.emplace_back("kv_heads", builder_.getI64IntegerAttr(rule.keyHeads));
  if (rule.causal)
    attributes.emplace_back("causal", builder_.getUnitAttr());
  if (rule.draws)
    attributes.emplace_back("dropout", builder_.getF64FloatAttr(rule.dropout));
  SmallVector<Value> operands{q, k, v};
  for (Value optional : {rule.bias, rule.draws})
    if (optional)
      operands.push_back(optional);
  attributes.emplace_back("operandSegmentSizes", builder_.getDenseI32ArrayAttr({1, 1, 1, rule.bias ? 1 : 0, rule.draws ? 1 : 0}));
  return emit(ir::AttentionOp::getOperationName(), operands, attributes);
}

Value Ops::cachedAttention(Value q, Value k, Value v, Value keys, Value values, Value position, const AttentionRule& rule) {
  SmallVector<std::pair<StringRef, Attribute>> attributes{{"heads", builder_.getI64IntegerAttr(rule.heads)}, {"scale", builder_.getF64FloatAttr(rule.scale)}};
  if (rule.keyHeads != rule.heads)
    attributes.emplace_back("kv_heads", builder_.getI64IntegerAttr(rule.keyHeads));
  SmallVector<Value> operands{q, k, v, keys, values, position};
  if (rule.bias)
    operands.push_back(rule.bias);
  return emit(ir::CachedAttentionOp::getOperationName(), operands, attributes);
}

Value Ops::append(Value cache, Value rows, Value position) { return emit(ir::AppendOp::getOperationName(), {cache, rows, position}, {}); }

Value Ops::sliceAt(Value x, Value position, const Size& size) {
  return emit(ir::SliceAtOp::getOperationName(), {x, position}, {{"size", builder_.getStringAttr(size.str())}});
}

Value Ops::relativeBias(Value table, Value position, const Size& queries, const Size& keys, int64_t maxDistance, bool bidirectional) {
  SmallVector<std::pair<StringRef, Attribute>> attributes{{"queries", builder_.getStringAttr(queries.str())},
                                                          {"keys", builder_.getStringAttr(keys.str())},
                                                          {"max_distance", builder_.getI64IntegerAttr(maxDistance)}};
  if (bidirectional)
    attributes.emplace_back("bidirectional", builder_.getUnitAttr());
  SmallVector<Value> operands{table};
  if (position)
    operands.push_back(position);
  return emit(ir::RelativeBiasOp::getOperationName(), operands, attributes);
}

Value Ops::rotary(Value x, Value position, int64_t heads, double base, bool interleaved) {
  SmallVector<std::pair<StringRef, Attribute>> attributes{{"heads", builder_.getI64IntegerAttr(heads)}, {"base", builder_.getF64FloatAttr(base)}};
  if (interleaved)
    attributes.emplace_back("interleaved", builder_.getUnitAttr());
  SmallVector<Value> operands{x};
  if (position)
    operands.push_back(position);
  return emit(ir::RotaryOp::getOperationName(), operands, attributes);
}

Ops::Selection Ops::select(Value scores, int64_t k) {
  Operation* op = emitOp(ir::SelectOp::getOperationName(), {scores}, {{"k", builder_.getI64IntegerAttr(k)}});
  return op ? Selection{op->getResult(0), op->getResult(1)} : Selection{};
}

Value Ops::assign(Value indices, const Assignment& rule) {
  SmallVector<Value> operands{indices};
  SmallVector<std::pair<StringRef, Attribute>> attributes{{"experts", builder_.getI64IntegerAttr(rule.experts)},
                                                          {"priority", ir::PriorityAttr::get(context(), rule.priority)},
                                                          {"operandSegmentSizes", builder_.getDenseI32ArrayAttr({1, rule.keep ? 1 : 0, rule.within ? 1 : 0})}};
  for (const std::optional<Value>& operand : {rule.keep, rule.within})
    if (operand)
      operands.push_back(*operand);
  if (rule.capacity && !keepsAll_)
    attributes.emplace_back("capacity", builder_.getStringAttr(rule.capacity->str()));
  if (!(rule.groups == Size(1)))
    attributes.emplace_back("groups", builder_.getStringAttr(rule.groups.str()));
  if (rule.bounded && rule.capacity && !keepsAll_)
    attributes.emplace_back("bounded", builder_.getUnitAttr());
  return emit(ir::AssignOp::getOperationName(), operands, attributes);
}

Value Ops::places(Value indices, Value scores, const Order& order) {
  SmallVector<Value> operands{indices, scores};
  SmallVector<std::pair<StringRef, Attribute>> attributes{{"experts", builder_.getI64IntegerAttr(order.experts)},
                                                          {"priority", ir::PriorityAttr::get(context(), order.priority)}};
  if (order.keep)
    operands.push_back(*order.keep);
  if (!(order.groups == Size(1)))
    attributes.emplace_back("groups", builder_.getStringAttr(order.groups.str()));
  return emit(ir::PlacesOp::getOperationName(), operands, attributes);
}

Value Ops::swipe(Value indices, int64_t experts, int64_t workers) {
  return emit(ir::SwipeOp::getOperationName(), {indices}, {{"experts", builder_.getI64IntegerAttr(experts)}, {"workers", builder_.getI64IntegerAttr(workers)}});
}

Value Ops::expertsOf(Value routing, int64_t from, int64_t count) {
  return emit(ir::ExpertsOfOp::getOperationName(), {routing}, {{"from", builder_.getI64IntegerAttr(from)}, {"count", builder_.getI64IntegerAttr(count)}});
}

Value Ops::groupedMatmul(Value rows, Value w, Value routing) { return emit(ir::GroupedMatmulOp::getOperationName(), {rows, w, routing}, {}); }

Value Ops::combine(Value rows, Value routing, Value weights) { return emit(ir::CombineOp::getOperationName(), {rows, routing, weights}, {}); }

} // namespace moec::models
