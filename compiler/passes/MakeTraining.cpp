// make-training: @loss becomes @train_step, or @accumulate and @apply (docs/decisions/0012-training.md). What a gradient is says backpropagate, what an
// update is the model's optimizer; here stands what goes in and out, and what is kept from call to call.

#include "compiler/passes/Backpropagate.h"
#include "compiler/passes/ChooseRecompute.h"
#include "compiler/passes/Passes.h"
#include "models/optimizers/Optimizers.h"

#include <set>

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

using models::ParameterGradient;

class Training {
public:
  Training(ModuleOp module, func::FuncOp loss, const TrainingOptions& options)
      : module_(module), loss_(loss), options_(options), builder_(loss.getBody().front().getTerminator()) {}

  LogicalResult run() {
    if (failed(addGradients()))
      return failure();
    return options_.accumulate ? makeAccumulation() : makeStep();
  }

private:
  Location place(StringRef path) { return NameLoc::get(builder_.getStringAttr(path), module_.getLoc()); }
  RankedTensorType scalar(Type element) { return RankedTensorType::get({}, element); }

  /// Gradients add up and are applied in the parameter's dtype, those of bf16 in f32.
  Type gradientElement(Type element) { return element.isBF16() ? builder_.getF32Type() : element; }
  Value cast(Value value, Type element) {
    if (mlir::cast<RankedTensorType>(value.getType()).getElementType() == element)
      return value;
    return CastOp::create(builder_, value.getLoc(), value, TypeAttr::get(element));
  }

  /// The gradients of all parameters that the loss depends on, and of the inputs where asked for, behind what computes the loss.
  LogicalResult addGradients() {
    Block& body = loss_.getBody().front();
    Operation* end = body.getTerminator();
    if (end->getNumOperands() == 0)
      return loss_.emitError("@loss gives nothing: its first result is the loss");
    SmallVector<Value> wanted;
    std::set<StringRef> seen;
    for (ReadOp read : body.getOps<ReadOp>())
      if (auto parameter = module_.lookupSymbol<ParameterOp>(read.getState()); parameter && seen.insert(parameter.getSymName()).second) {
        gradients_.push_back({parameter, Value()});
        wanted.push_back(read.getResult());
      }
    for (BlockArgument argument : body.getArguments())
      if (wantsGradientOf(argument))
        wanted.push_back(argument);
    Operation* lastForward = end->getPrevNode();
    SmallVector<bool> reached;
    auto found = backpropagate(end->getOperand(0), wanted, builder_, &reached);
    if (failed(found))
      return failure();
    if (options_.recompute && lastForward && lastForward->getNextNode() != end)
      chooseRecompute(lastForward->getNextNode());
    auto ofInput = found->begin() + gradients_.size();
    SmallVector<ParameterGradient> all = std::move(gradients_);
    gradients_.clear();
    for (auto [entry, gradient, isReached] : llvm::zip(all, *found, reached)) {
      if (!isReached) // the loss does not depend on it: it stays as it is
        continue;
      Type element = mlir::cast<RankedTensorType>(gradient.getType()).getElementType();
      gradients_.push_back({entry.parameter, cast(gradient, gradientElement(element))});
    }
    for (BlockArgument argument : body.getArguments())
      if (wantsGradientOf(argument))
        inputGradients_.emplace_back("gradient." + nameOf(argument), *ofInput++);
    return success();
  }

  /// Draws are inputs by name alone.
  bool wantsGradientOf(BlockArgument argument) {
    bool isFloat = isa<FloatType>(mlir::cast<RankedTensorType>(argument.getType()).getElementType());
    return options_.inputGradients && isFloat && !loss_.getArgAttr(argument.getArgNumber(), "moe.draw");
  }
  std::string nameOf(BlockArgument argument) {
    auto name = loss_.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "moe.input");
    return name ? name.str() : "argument " + std::to_string(argument.getArgNumber());
  }

  LogicalResult makeStep() {
    Value rate = addInput(loss_, kLearningRateInput, builder_.getF64Type()), step = addInput(loss_, kStepInput, builder_.getI64Type());
    auto norm = models::emitUpdates(module_, builder_, gradients_, rate, step);
    if (failed(norm))
      return failure();
    rename("train_step");
    addResult(loss_, "gradient_norm", *norm);
    addInputGradients();
    return success();
  }

  LogicalResult makeAccumulation() {
    for (ParameterGradient& entry : gradients_) {
      StateOp sum = declareSum(entry);
      Value before = ReadOp::create(builder_, sum.getLoc(), sum.getType(), FlatSymbolRefAttr::get(sum.getSymNameAttr()));
      auto after = AddOp::create(builder_, sum.getLoc(), before, entry.gradient);
      WriteOp::create(builder_, sum.getLoc(), FlatSymbolRefAttr::get(sum.getSymNameAttr()), after.getResult());
    }
    rename("accumulate");
    addInputGradients();
    return makeApply();
  }

  StateOp declareSum(const ParameterGradient& entry) {
    ParameterOp parameter = entry.parameter;
    Location loc = place(parameter.getSymName());
    OpBuilder top(loss_);
    FloatAttr zero = top.getF64FloatAttr(0);
    auto init = InitAttr::get(top.getContext(), top.getStringAttr("zeros"), zero, zero);
    auto sum =
        StateOp::create(top, loc, top.getStringAttr(parameter.getSymName() + ".gradient"), TypeAttr::get(entry.gradient.getType()), init, FlatSymbolRefAttr());
    sums_.push_back(sum);
    return sum;
  }

  /// The mean of what @accumulate added up, then the optimizer; the sums begin again from zeros.
  LogicalResult makeApply() {
    builder_.setInsertionPointToEnd(module_.getBody());
    auto apply = func::FuncOp::create(builder_, module_.getLoc(), "apply", builder_.getFunctionType({}, {}));
    Block* body = apply.addEntryBlock();
    builder_.setInsertionPointToEnd(body);
    auto end = func::ReturnOp::create(builder_, module_.getLoc());
    builder_.setInsertionPoint(end);
    Value rate = addInput(apply, kLearningRateInput, builder_.getF64Type()), step = addInput(apply, kStepInput, builder_.getI64Type());
    Value count = addInput(apply, kCountInput, builder_.getI64Type());
    llvm::DenseMap<Type, Value> counts; // as the dtypes of the sums
    for (auto [entry, sum] : llvm::zip(gradients_, sums_)) {
      auto symbol = FlatSymbolRefAttr::get(sum.getSymNameAttr());
      Type element = mlir::cast<RankedTensorType>(sum.getType()).getElementType();
      Value& divisor = counts[element];
      if (!divisor)
        divisor = cast(count, element);
      Value all = ReadOp::create(builder_, sum.getLoc(), sum.getType(), symbol);
      entry.gradient = DivOp::create(builder_, sum.getLoc(), all, divisor);
      // Zeros in the sum's shape, elementwise; what the sum holds is not looked at.
      auto never = ConstantOp::create(builder_, sum.getLoc(), DenseElementsAttr::get(scalar(builder_.getI1Type()), false));
      auto zero = ConstantOp::create(builder_, sum.getLoc(), DenseElementsAttr::get(scalar(element), builder_.getZeroAttr(element)));
      auto zeros = WhereOp::create(builder_, sum.getLoc(), never.getResult(), all, zero.getResult());
      WriteOp::create(builder_, sum.getLoc(), symbol, zeros.getResult());
    }
    auto norm = models::emitUpdates(module_, builder_, gradients_, rate, step);
    if (failed(norm))
      return failure();
    addResult(apply, "gradient_norm", *norm);
    return success();
  }

  Value addInput(func::FuncOp function, StringRef name, Type element) {
    unsigned number = function.getNumArguments();
    auto attributes = builder_.getDictionaryAttr({builder_.getNamedAttr("moe.input", builder_.getStringAttr(name))});
    if (failed(function.insertArgument(number, scalar(element), attributes, place(name))))
      return {};
    return function.getArgument(number);
  }

  void addResult(func::FuncOp function, const std::string& name, Value value) {
    unsigned number = function.getNumResults();
    auto attributes = builder_.getDictionaryAttr({builder_.getNamedAttr("moe.output", builder_.getStringAttr(name))});
    (void)function.insertResult(number, value.getType(), attributes);
    Operation* end = function.getBody().front().getTerminator();
    end->insertOperands(number, value);
  }

  void addInputGradients() {
    for (auto& [name, gradient] : inputGradients_)
      addResult(loss_, name, gradient);
  }

  void rename(StringRef name) { loss_.setName(name); }

  ModuleOp module_;
  func::FuncOp loss_;
  const TrainingOptions& options_;
  OpBuilder builder_;
  SmallVector<ParameterGradient> gradients_;
  SmallVector<StateOp> sums_; // of each gradient, with `accumulate`
  std::vector<std::pair<std::string, Value>> inputGradients_;
};

/// What only served results that training does not have: a head outside of the loss, zeros for a parameter without a gradient.
void eraseDead(func::FuncOp function) {
  for (Operation& op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
    if (isOpTriviallyDead(&op))
      op.erase();
}

} // namespace

LogicalResult makeTraining(ModuleOp module, const TrainingOptions& options) {
  auto loss = module.lookupSymbol<func::FuncOp>("loss");
  if (!loss)
    return module.emitError("the module has no function @loss");
  // Gradients are of the rows that the loss reads.
  if (failed(hoistSlices(loss)) || failed(Training(module, loss, options).run()))
    return failure();
  for (auto function : module.getOps<func::FuncOp>())
    eraseDead(function);
  return success();
}

} // namespace moec::compiler
