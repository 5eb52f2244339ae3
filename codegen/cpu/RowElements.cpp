// RowProgram: values in registers.
#include "codegen/analysis/Rows.h"
#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/RowProgram.h"

#include "llvm/ADT/TypeSwitch.h"

namespace moec::codegen::cpu {

/// The value's elements at a place; what is 1 wide is the same everywhere.
Value RowProgram::elementAt(mlir::Value value, At& at) {
  if (auto known = at.known.find(value); known != at.known.end())
    return known->second;
  Value element;
  if (widthOf(value) == Size(1)) {
    element = wide(scalarOf(value), at);
  } else if (auto place = memory_.find(value); place != memory_.end()) {
    auto [address, dtype] = place->second;
    element = k_.loadElements(dtype, k_.at(address, at.position, dtype), at.lanes, at.mask);
  } else {
    element = computeAt(value, at);
  }
  at.known[value] = element;
  return element;
}

Value RowProgram::computeAt(mlir::Value value, At& at) {
  mlir::Operation* op = value.getDefiningOp();
  if (Value gradient = gradientAt(op, at))
    return k_.roundTo(dtypeOf(value), gradient);
  return llvm::TypeSwitch<mlir::Operation*, Value>(op)
      .Case([&](ir::ConstantOp constant) { return constantAt(constant, at); })
      .Case([&](ir::SizeOp size) { return numberOf(k_, size); })
      .Case([&](ir::ExpertCountsOp counts) { return expertCountAt(counts, at); })
      .Case([&](ir::RandomOp random) {
        Value first = k_.add(k_.mul(leadingOffset(value), k_.size(widthOf(value))), at.position);
        Value element = k_.add(wide(first, at), k_.iota(k_.i64(), at.lanes));
        return drawAt(k_, random.getDistribution(), dtypeOf(value), streams_.lookup(op), element);
      })
      .Case([&](ir::SliceOp slice) {
        At there{k_.add(at.position, k_.size(Size::parse(slice.getStart().str()))), at.lanes, at.mask};
        return elementAt(slice.getX(), there);
      })
      .Case([&](ir::SoftmaxOp softmax) {
        mlir::Type type = k_.typeOf(dtypeOf(value));
        Value place = k_.at(buffers_.lookup(op), at.position, type);
        type = k_.vectorOf(type, at.lanes);
        Value e = at.mask ? k_.loadMasked(type, place, at.mask) : k_.load(type, place);
        return k_.roundTo(dtypeOf(value), k_.div(e, wide(divisors_.lookup(value), at)));
      })
      .Case([&](ir::LayerNormOp norm) {
        Norm n = norms_.lookup(value);
        Value x = k_.mul(k_.sub(elementAt(norm.getX(), at), wide(n.mean, at)), wide(n.scale, at));
        if (norm.getWeight())
          x = k_.mul(x, elementAt(norm.getWeight(), at));
        if (norm.getBias())
          x = k_.add(x, elementAt(norm.getBias(), at));
        return k_.roundTo(dtypeOf(value), x);
      })
      .Case([&](ir::RmsNormOp norm) {
        Value x = k_.mul(elementAt(norm.getX(), at), wide(norms_.lookup(value).scale, at));
        if (norm.getWeight())
          x = k_.mul(x, elementAt(norm.getWeight(), at));
        return k_.roundTo(dtypeOf(value), x);
      })
      .Case([&](ir::CombineOp combine) { return combineAt(combine, at); })
      .Default([&](mlir::Operation*) {
        llvm::SmallVector<Value> operands;
        for (mlir::Value operand : op->getOperands())
          operands.push_back(elementAt(operand, at));
        return elementwise(k_, op, operands);
      });
}

Value RowProgram::constantAt(ir::ConstantOp op, At& at) {
  DType dtype = dtypeOf(op.getResult());
  auto attr = mlir::cast<mlir::DenseElementsAttr>(op.getValue());
  if (attr.isSplat()) {
    mlir::Type type = k_.vectorOf(k_.typeOf(dtype), at.lanes);
    if (isFloat(dtype))
      return k_.real(type, attr.getSplatValue<llvm::APFloat>().convertToDouble());
    llvm::APInt number = attr.getSplatValue<llvm::APInt>();
    return k_.integer(type, dtype == DType::U8 || dtype == DType::Bool ? number.getZExtValue() : number.getSExtValue());
  }
  Value first = k_.mul(leadingOffset(op.getResult()), k_.size(widthOf(op.getResult())));
  Value address = k_.at(k_.constantData(attr), k_.add(first, at.position), dtype);
  return k_.loadElements(dtype, address, at.lanes, at.mask);
}

/// The one element of a value of width 1.
Value RowProgram::scalarOf(mlir::Value value) {
  if (auto known = scalars_.find(value); known != scalars_.end())
    return known->second;
  At at{k_.index(0), 1, {}};
  Value scalar;
  if (auto place = memory_.find(value); place != memory_.end())
    scalar = k_.loadElements(place->second.dtype, place->second.address, 1);
  else
    scalar = computeAt(value, at);
  return scalars_[value] = scalar;
}

/// Computes what a loop over the value's row will want but does not change in it, so that it stands before the loop.
void RowProgram::hoist(mlir::Value value) {
  if (widthOf(value) == Size(1)) {
    scalarOf(value);
    return;
  }
  if (memory_.contains(value) || !isComputed(value) || isRouted(value.getDefiningOp()))
    return;
  for (mlir::Value operand : value.getDefiningOp()->getOperands())
    hoist(operand);
}

} // namespace moec::codegen::cpu
