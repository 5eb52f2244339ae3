#include "models/optimizers/Optimizers.h"

#include "models/optimizers/Update.h"

using namespace mlir;

namespace moec::models {

std::vector<Parameter> withCommonParameters(std::vector<Parameter> own) {
  own.push_back({.name = "no_decay",
                 .type = ParameterType::Patterns,
                 .doc = "Parameters that weight_decay leaves alone: their names, or what names end with (\"bias\" is "
                        "every name of which that is the last part), or patterns in which * stands for any text."});
  own.push_back({.name = "clip_norm",
                 .type = ParameterType::Number,
                 .least = 0,
                 .most = 1e9,
                 .doc = "All gradients are multiplied by clip_norm / (norm + 1e-6), but by 1 at most; norm is the square "
                        "root of the sum of their squares. Default: they stay as they are.",
                 .source = "PyTorch 2.15 (torch.nn.utils.clip_grad_norm_)"});
  own.push_back({.name = "ema",
                 .type = ParameterType::Number,
                 .least = 0,
                 .most = 0.999999999,
                 .doc = "Each parameter has an average over the steps, which it begins as, and of which so much stays in "
                        "each: ema * average + (1 - ema) * parameter. It changes nothing else. State: p.average. 0, and "
                        "the default: there is none.",
                 .source = "PyTorch 2.15 (torch.optim.swa_utils.get_ema_multi_avg_fn)"});
  return own;
}

Parameter weightDecayParameter(std::string fallback, std::string doc) {
  return {.name = "weight_decay", .type = ParameterType::Number, .fallback = std::move(fallback), .least = 0, .most = 1e6, .doc = std::move(doc)};
}

/// `*` is any text.
static bool matchesWhole(StringRef pattern, StringRef name) {
  size_t star = pattern.find('*');
  if (star == StringRef::npos)
    return pattern == name;
  if (!name.consume_front(pattern.take_front(star)))
    return false;
  for (pattern = pattern.drop_front(star + 1);; name = name.drop_front()) {
    if (matchesWhole(pattern, name))
      return true;
    if (name.empty())
      return false;
  }
}

bool matches(StringRef pattern, StringRef name) {
  if (pattern.contains('*'))
    return matchesWhole(pattern, name);
  return name == pattern || (name.size() > pattern.size() && name.ends_with(pattern) && name[name.size() - pattern.size() - 1] == '.');
}

namespace {

/// The last parameter or state, behind which states go.
Operation* lastState(ModuleOp module) {
  Operation* last = nullptr;
  for (Operation& op : *module.getBody())
    if (isa<ir::ParameterOp, ir::StateOp>(op))
      last = &op;
  return last;
}

/// The root of the sum of all squares, f64 []: each parameter's sum in its compute dtype, over its elements in a row.
Value normOf(OpBuilder& builder, Location location, ArrayRef<std::pair<Value, Location>> gradients) {
  Value sum = scalarConstant(builder, location, 0, builder.getF64Type());
  for (const auto& [gradient, place] : gradients) {
    Value square = castTo(builder, place, sumOfSquares(builder, place, gradient), builder.getF64Type());
    sum = ir::AddOp::create(builder, location, sum, square);
  }
  return ir::SqrtOp::create(builder, location, sum);
}

/// sign_rate * sign(gradient) is taken away, whatever the rule.
void takeSign(Update& update, double rate) {
  Value change = update.mul(update.sign(update.gradient()), update.constant(rate));
  update.writeParameter(update.sub(update.parameter(), change));
}

/// What each gradient is multiplied by so that their norm is `most` at most, f64 [].
Value clipping(OpBuilder& builder, Location location, Value norm, double most) {
  auto number = [&](double value) { return scalarConstant(builder, location, value, builder.getF64Type()); };
  Value enlarged = ir::AddOp::create(builder, location, norm, number(1e-6));
  Value factor = ir::DivOp::create(builder, location, number(most), enlarged);
  return ir::MinOp::create(builder, location, factor, number(1));
}

} // namespace

FailureOr<Value> emitUpdates(ModuleOp module, OpBuilder& builder, ArrayRef<ParameterGradient> gradients, Value learningRate, Value step) {
  auto rule = module->getAttrOfType<DictionaryAttr>("moe.optimizer");
  if (!rule || !rule.getAs<StringAttr>("kind"))
    return module.emitError("the module has no moe.optimizer: no rule by which parameters change"), failure();
  StringRef word = rule.getAs<StringAttr>("kind").getValue();
  const Kind* kind = findKind(Family::Optimizer, std::string_view(word.data(), word.size()));
  if (!kind)
    return module.emitError() << "moe.optimizer names the kind \"" << word << "\", which is no optimizer's", failure();

  Step shared{.builder = builder, .rule = rule, .learningRate = learningRate, .number = step, .lastState = lastState(module)};
  Location location = module.getLoc();
  SmallVector<std::pair<Value, Location>> wide, normal; // normal: without those whose sign alone counts
  for (const ParameterGradient& each : gradients) {
    ir::ParameterOp parameter = each.parameter;
    wide.emplace_back(castTo(builder, parameter.getLoc(), each.gradient, computeElement(parameter)), parameter.getLoc());
    if (!parameter.getSignRate())
      normal.push_back(wide.back());
  }
  Value norm = normOf(builder, location, normal);
  Value factor = rule.get("clip_norm") ? clipping(builder, location, norm, shared.numberOf("clip_norm")) : Value();
  for (auto [each, gradient] : llvm::zip(gradients, wide)) {
    Value own = gradient.first;
    if (auto rate = ir::ParameterOp(each.parameter).getSignRate()) {
      Update update(shared, each.parameter, own);
      takeSign(update, rate->convertToDouble());
      continue;
    }
    if (factor) {
      Type element = computeElement(each.parameter);
      Value& scaled = shared.scalars[{"clipping", element.getAsOpaquePointer()}];
      if (!scaled)
        scaled = castTo(builder, location, factor, element);
      own = ir::MulOp::create(builder, gradient.second, own, scaled);
    }
    Update update(shared, each.parameter, own);
    kind->update(update);
  }
  return norm;
}

} // namespace moec::models
