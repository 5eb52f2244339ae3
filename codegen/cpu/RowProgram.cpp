#include "codegen/cpu/RowProgram.h"

#include "codegen/analysis/Rows.h"
#include "codegen/cpu/Elementwise.h"

#include "llvm/ADT/TypeSwitch.h"

namespace moec::codegen::cpu {

namespace {

int64_t rankOf(mlir::Value value) { return mlir::cast<mlir::RankedTensorType>(value.getType()).getRank(); }

} // namespace

RowProgram::RowProgram(KernelBuilder& k, std::vector<mlir::Operation*> ops, ir::Sizes leading) : k_(k), ops_(std::move(ops)), leading_(std::move(leading)) {
  perRow_ = onePerRow(ops_, leading_);
  size_t bytes = 4; // of the widest element in a vector: what is one per row stays a scalar
  auto see = [&](mlir::Value value) {
    if (mlir::isa<mlir::RankedTensorType>(value.getType()) && !(widthOf(value) == Size(1)))
      bytes = std::max(bytes, byteSize(dtypeOf(value)));
  };
  for (mlir::Operation* op : ops_) {
    llvm::for_each(op->getOperands(), see);
    llvm::for_each(op->getResults(), see);
    for (mlir::Value operand : op->getOperands())
      ++uses_[operand];
    for (mlir::Value result : op->getResults())
      computed_.insert(result);
  }
  lanes_ = k_.target().vectorBytes / static_cast<int64_t>(bytes);
  unsigned stream = 0;
  for (mlir::Operation& op : k_.kernel().getBody().front())
    if (mlir::isa<ir::RandomOp>(op))
      streams_[&op] = stream++;
}

void RowProgram::bind(mlir::Value value, Place place) { places_[value].push_back(std::move(place)); }

void RowProgram::bindTensor(mlir::Value value, std::function<Value()> base) {
  bases_[value] = base;
  bind(value, [this, value, base](Value) { return k_.at(base(), k_.mul(leadingOffset(value), k_.size(widthOf(value))), dtypeOf(value)); });
}

Size RowProgram::widthOf(mlir::Value value) const { return perRow_.contains(value) || rankOf(value) == 0 ? Size(1) : ir::sizesOf(value).back(); }

/// The linear index of the current row in the leading dimensions of a tensor, which broadcast to the program's.
Value RowProgram::leadingOffset(mlir::Value value) {
  ir::Sizes own = ir::sizesOf(value);
  if (!perRow_.contains(value))
    own = leadingSizes(own);
  while (own.size() < leading_.size())
    own.insert(own.begin(), Size(1));
  if (own == leading_)
    return row_;
  Value rest = row_, offset = k_.index(0);
  Size stride = 1;
  for (size_t i = own.size(); i-- > 0;) {
    Value coordinate = i == 0 ? rest : k_.rem(rest, k_.size(leading_[i]));
    rest = i == 0 ? rest : k_.div(rest, k_.size(leading_[i]));
    if (own[i] == Size(1))
      continue;
    offset = k_.add(offset, k_.mul(coordinate, k_.size(stride)));
    stride = stride * own[i];
  }
  return offset;
}

mlir::LogicalResult RowProgram::check() {
  for (mlir::Operation* op : ops_) {
    if (!holdsRows(op))
      return k_.kernel().emitError() << "internal: a kernel over rows cannot hold " << op->getName();
    if (isRouted(op) && mlir::failed(checkRouted(op)))
      return mlir::failure();
    for (mlir::Value value : op->getOperands())
      if (!isRouted(op) && !isComputed(value) && places_[value].empty())
        return k_.kernel().emitError() << "internal: an operand of " << op->getName() << " is not bound to memory";
    for (mlir::Value value : op->getResults()) {
      ir::Sizes own = ir::sizesOf(value);
      own = perRow_.contains(value) ? own : leadingSizes(own);
      bool constant = mlir::isa<ir::ConstantOp>(op);
      if (!constant && !(ir::product(own) == ir::product(leading_)) && !(ir::product(own) == Size(1)))
        return k_.kernel().emitError() << "internal: " << op->getName() << " gives " << ir::describe(ir::sizesOf(value)) << " in a kernel over rows "
                                       << ir::describe(leading_);
    }
  }
  return mlir::success();
}

Size RowProgram::operations() const {
  Size total = 0;
  for (mlir::Operation* op : ops_) {
    if (mlir::isa<ir::ConstantOp>(op))
      continue;
    int64_t cost = mlir::isa<ir::SoftmaxOp, ir::LogSumExpOp, ir::CrossEntropyOp, ir::CrossEntropyGradOp>(op) ? 40
                   : mlir::isa<ir::LayerNormOp, ir::RmsNormOp, ir::SoftmaxGradOp>(op)                        ? 10
                   : mlir::isa<ir::LayerNormGradOp, ir::RmsNormGradOp>(op)                                   ? 20
                                                                                                             : elementCost(op);
    if (mlir::isa<ir::IsTopOp>(op))
      cost = 4;
    if (auto select = mlir::dyn_cast<ir::SelectOp>(op))
      cost = 4 * select.getK();
    if (auto combine = mlir::dyn_cast<ir::CombineOp>(op))
      cost = 2 * *ir::sizesOf(combine.getWeights()).back().constant();
    if (auto grad = mlir::dyn_cast<ir::SelectGradOp>(op))
      cost = 3 * ir::sizesOf(grad.getDy()).back().constant().value_or(1);
    bool reads = givesOnePerRow(op) || mlir::isa<ir::SelectOp>(op);
    total = total + widthOf(reads ? op->getOperand(0) : op->getResult(0)) * Size(cost);
  }
  return total;
}

void RowProgram::run(Value row) {
  row_ = row;
  memory_.clear();
  scalars_.clear();
  norms_.clear();
  normGrads_.clear();
  highest_.clear();
  products_.clear();
  labels_.clear();
  choices_.clear();
  divisors_.clear();
  experts_.clear();
  terms_.clear();
  pending_.clear();
  for (mlir::Operation* op : ops_) {
    if (isRouted(op)) {
      runRouted(op);
      continue;
    }
    for (mlir::Value value : op->getOperands())
      if (!isComputed(value) && !memory_.contains(value))
        memory_[value] = {places_[value].front()(row), dtypeOf(value)};
  }
  for (mlir::Operation* op : ops_) {
    for (mlir::Value result : op->getResults())
      if (places_.contains(result))
        pending_.push_back(result);
    llvm::TypeSwitch<mlir::Operation*>(op)
        .Case([&](ir::SoftmaxOp softmax) { runSoftmax(softmax, softmax.getX()); })
        .Case([&](ir::SoftmaxGradOp grad) { runSoftmaxGrad(grad); })
        .Case([&](ir::LogSumExpOp sum) { runLogSumExp(sum); })
        .Case([&](ir::CrossEntropyOp loss) { runCrossEntropy(loss); })
        .Case([&](ir::IsTopOp top) { runIsTop(top); })
        .Case([&](ir::CrossEntropyGradOp grad) { runCrossEntropyGrad(grad); })
        .Case<ir::LayerNormGradOp, ir::RmsNormGradOp>([&](auto grad) { runNormGrad(grad); })
        .Case([&](ir::SelectGradOp grad) { runSelectGrad(grad); })
        .Case([&](ir::ChoiceValuesOp values) { runChoiceValues(values); })
        .Case([&](ir::LayerNormOp norm) { runNorm(norm); })
        .Case([&](ir::RmsNormOp norm) { runRmsNorm(norm); })
        .Case([&](ir::ReduceOp reduce) { runReduce(reduce); })
        .Case([&](ir::SelectOp select) { runSelect(select); })
        .Case([&](ir::TakeOp take) { runTake(take); })
        .Case([&](ir::ConcatOp concat) { runConcat(concat); });
  }
  flush();
}

} // namespace moec::codegen::cpu
