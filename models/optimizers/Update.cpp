#include "models/optimizers/Update.h"

#include "models/optimizers/Optimizers.h"

#include <cmath>

using namespace mlir;

namespace moec::models {

double Step::numberOf(StringRef word) const { return rule.getAs<FloatAttr>(word).getValueAsDouble(); }
bool Step::flag(StringRef word) const { return rule.getAs<BoolAttr>(word).getValue(); }
std::vector<double> Step::numbers(StringRef word) const {
  std::vector<double> result;
  for (Attribute number : rule.getAs<ArrayAttr>(word))
    result.push_back(cast<FloatAttr>(number).getValueAsDouble());
  return result;
}

Type computeElement(ir::ParameterOp parameter) {
  Type own = cast<RankedTensorType>(parameter.getType()).getElementType();
  return own.isBF16() ? Type(Float32Type::get(own.getContext())) : own;
}

Value scalarConstant(OpBuilder& builder, Location location, double value, Type element) {
  APFloat number(value);
  bool losesInfo = false;
  number.convert(cast<FloatType>(element).getFloatSemantics(), APFloat::rmNearestTiesToEven, &losesInfo);
  return ir::ConstantOp::create(builder, location, DenseElementsAttr::get(RankedTensorType::get({}, element), number));
}

Value sumOfSquares(OpBuilder& builder, Location location, Value x) {
  auto type = cast<RankedTensorType>(x.getType());
  Value row = x;
  if (type.getRank() != 1)
    row = ir::ReshapeOp::create(builder, location, RankedTensorType::get({type.getNumElements()}, type.getElementType()), x);
  return ir::ReduceOp::create(builder, location, ir::ReduceKind::Sum, ir::MulOp::create(builder, location, row, row), 0);
}

Value castTo(OpBuilder& builder, Location location, Value x, Type element) {
  if (cast<RankedTensorType>(x.getType()).getElementType() == element)
    return x;
  return ir::CastOp::create(builder, location, x, element);
}

Update::Update(Step& step, ir::ParameterOp parameter, Value gradient)
    : step_(step), parameter_(parameter), builder_(step.builder), location_(parameter.getLoc()), gradient_(gradient) {
  auto own = cast<RankedTensorType>(parameter.getType());
  type_ = RankedTensorType::get(own.getShape(), computeElement(parameter));
  if (type_ == own)
    value_ = read(parameter.getSymName(), own);
  else
    value_ = declare("master", type_, parameter.getInit(), FlatSymbolRefAttr::get(parameter.getSymNameAttr()));
}

double Update::decay() {
  if (auto patterns = step_.rule.getAs<ArrayAttr>("no_decay"))
    for (auto pattern : patterns.getAsRange<StringAttr>())
      if (matches(pattern.getValue(), parameter_.getSymName()))
        return 0;
  return step_.numberOf("weight_decay");
}

Value Update::declare(StringRef name, Type type, ir::InitAttr init, FlatSymbolRefAttr from) {
  OpBuilder outside(step_.lastState->getContext());
  outside.setInsertionPointAfter(step_.lastState);
  OperationState state(location_, ir::StateOp::getOperationName());
  std::string symbol = nameOf(name);
  state.addAttribute("sym_name", builder_.getStringAttr(symbol));
  state.addAttribute("type", TypeAttr::get(type));
  state.addAttribute("init", init);
  if (from)
    state.addAttribute("from", from);
  step_.lastState = outside.create(state);
  return read(symbol, type);
}

Value Update::read(StringRef symbol, Type type) {
  OperationState state(location_, ir::ReadOp::getOperationName());
  state.addAttribute("state", FlatSymbolRefAttr::get(builder_.getContext(), symbol));
  state.addTypes(type);
  return builder_.create(state)->getResult(0);
}

void Update::writeTo(StringRef symbol, Value value) {
  OperationState state(location_, ir::WriteOp::getOperationName());
  state.addAttribute("state", FlatSymbolRefAttr::get(builder_.getContext(), symbol));
  state.addOperands(value);
  builder_.create(state);
}

Value Update::decayed() {
  double decay = this->decay();
  if (decay == 0)
    return value_;
  return mul(value_, scalar("stays", [&] { return sub(wideConstant(1), mul(step_.learningRate, wideConstant(decay))); }));
}

Value Update::state(StringRef name, ArrayRef<int64_t> shape) {
  auto zero = builder_.getF64FloatAttr(0);
  return declare(name, RankedTensorType::get(shape, type_.getElementType()),
                 ir::InitAttr::get(builder_.getContext(), builder_.getStringAttr("zeros"), zero, zero), {});
}

void Update::write(StringRef name, Value value) { writeTo(nameOf(name), value); }

void Update::writeParameter(Value value) {
  auto own = cast<RankedTensorType>(parameter_.getType());
  if (type_ != own)
    write("master", value);
  if (double stays = step_.rule.get("ema") ? step_.numberOf("ema") : 0; stays > 0) {
    Value average = declare("average", type_, parameter_.getInit(), FlatSymbolRefAttr::get(parameter_.getSymNameAttr()));
    write("average", lerp(average, value, 1 - stays));
  }
  writeTo(parameter_.getSymName(), castTo(builder_, location_, value, own.getElementType()));
}

Value Update::add(Value a, Value b) { return ir::AddOp::create(builder_, location_, a, b); }
Value Update::sub(Value a, Value b) { return ir::SubOp::create(builder_, location_, a, b); }
Value Update::mul(Value a, Value b) { return ir::MulOp::create(builder_, location_, a, b); }
Value Update::div(Value a, Value b) { return ir::DivOp::create(builder_, location_, a, b); }
Value Update::min(Value a, Value b) { return ir::MinOp::create(builder_, location_, a, b); }
Value Update::max(Value a, Value b) { return ir::MaxOp::create(builder_, location_, a, b); }
Value Update::sqrt(Value x) { return ir::SqrtOp::create(builder_, location_, x); }

Value Update::sign(Value x) {
  Value zero = constant(0);
  Value below = ir::CompareOp::create(builder_, location_, ir::Predicate::LT, x, zero);
  Value above = ir::CompareOp::create(builder_, location_, ir::Predicate::GT, x, zero);
  Value rest = ir::WhereOp::create(builder_, location_, below, constant(-1), x);
  return ir::WhereOp::create(builder_, location_, above, constant(1), rest);
}

Value Update::meanAlong(Value x, int64_t axis) {
  auto type = cast<RankedTensorType>(x.getType());
  SmallVector<int64_t> shape(type.getShape());
  shape[static_cast<size_t>(axis)] = 1;
  Value mean = ir::ReduceOp::create(builder_, location_, ir::ReduceKind::Mean, x, static_cast<uint64_t>(axis));
  return ir::ReshapeOp::create(builder_, location_, RankedTensorType::get(shape, type.getElementType()), mean);
}

Value Update::meanOfSquares(Value x, int64_t axis) { return meanAlong(mul(x, x), axis); }

Value Update::sumOfSquares(Value x) { return castTo(builder_, location_, models::sumOfSquares(builder_, location_, x), builder_.getF64Type()); }

Value Update::narrow(Value scalar) { return castTo(builder_, location_, scalar, type_.getElementType()); }

Value Update::lerp(Value from, Value to, double way) {
  Value distance = sub(to, from);
  return way < 0.5 ? add(from, mul(constant(way), distance)) : sub(to, mul(distance, constant(1 - way)));
}

Value Update::constant(double value) { return scalarConstant(builder_, location_, value, type_.getElementType()); }

Value Update::wideScalar(const std::string& name, llvm::function_ref<Value()> make) {
  Value& wide = step_.scalars[{name, builder_.getF64Type().getAsOpaquePointer()}];
  if (!wide)
    wide = make();
  return wide;
}

Value Update::scalar(const std::string& name, llvm::function_ref<Value()> make) {
  Value wide = wideScalar(name, make);
  Value& own = step_.scalars[{name, type_.getElementType().getAsOpaquePointer()}];
  if (!own)
    own = narrow(wide);
  return own;
}

Value Update::learningRate() {
  return scalar("learning_rate", [&] { return step_.learningRate; });
}

Value Update::wideConstant(double value) { return scalarConstant(builder_, location_, value, builder_.getF64Type()); }

Value Update::stepToThe(double exponent) {
  Value number = ir::CastOp::create(builder_, location_, step_.number, builder_.getF64Type());
  return ir::ExpOp::create(builder_, location_, mul(ir::LogOp::create(builder_, location_, number), wideConstant(exponent)));
}

Value Update::biasCorrection(double base) {
  Value number = ir::CastOp::create(builder_, location_, step_.number, builder_.getF64Type());
  Value power = ir::ExpOp::create(builder_, location_, mul(number, wideConstant(std::log(base))));
  return sub(wideConstant(1), power);
}

Value Update::firstOr(double first, double later) {
  auto type = RankedTensorType::get({}, builder_.getI64Type());
  Value one = ir::ConstantOp::create(builder_, location_, DenseElementsAttr::get(type, builder_.getI64IntegerAttr(1)));
  Value isFirst = ir::CompareOp::create(builder_, location_, ir::Predicate::EQ, step_.number, one);
  return ir::WhereOp::create(builder_, location_, isFirst, wideConstant(first), wideConstant(later));
}

} // namespace moec::models
