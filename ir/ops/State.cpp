#include "ir/ops/Infer.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace moec::ir {

LogicalResult ParameterOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  if (!type.hasStaticShape())
    return emitError() << "parameter C1: the sizes of a parameter are constants: they are " << describe(sizesOf(type));
  if (!isa<FloatType>(type.getElementType()))
    return emitError() << "parameter C2: a parameter is f64, f32 or bf16: it is " << dtypeName(type.getElementType());
  if (getInit().getKind() == "orthogonal" && type.getRank() < 2)
    return emitError() << "parameter C3: an orthogonal parameter has at least 2 dimensions: it has " << type.getRank();
  if (getSignRate() && !(getSignRate()->isFinite() && getSignRate()->convertToDouble() > 0))
    return emitError() << "parameter C4: sign_rate is finite and over 0: it is " << getSignRate()->convertToDouble();
  return success();
}

LogicalResult StateOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  if (!type.hasStaticShape())
    return emitError() << "state C1: the sizes of a state are constants: they are " << describe(sizesOf(type));
  if (!isa<FloatType>(type.getElementType()))
    return emitError() << "state C2: a state is f64, f32 or bf16: it is " << dtypeName(type.getElementType());
  if (!getFrom() && getInit().getKind() == "orthogonal")
    return emitError() << "state C3: a state begins as zeros, ones, a constant or draws: not orthogonal";
  return success();
}

LogicalResult StateOp::verifySymbolUses(SymbolTableCollection& symbols) {
  if (!getFrom())
    return success();
  auto parameter = symbols.lookupNearestSymbolFrom<ParameterOp>(*this, getFromAttr());
  if (!parameter)
    return emitError() << "state C4: what it begins from is a moe.parameter of the module: @" << *getFrom() << " is none";
  Sizes own = sizesOf(cast<RankedTensorType>(getType())), other = sizesOf(cast<RankedTensorType>(parameter.getType()));
  if (own != other || getInit() != parameter.getInit())
    return emitError() << "state C5: it has the shape and the init of the parameter that it begins from: @" << *getFrom() << " is " << describe(other) << " "
                       << parameter.getInit() << ", the state " << describe(own) << " " << getInit();
  return success();
}

/// The type of what a symbol names; null when it is no state of any kind.
static Type typeOfState(Operation* state) {
  return llvm::TypeSwitch<Operation*, Type>(state).Case<ParameterOp, StateOp, PreparedOp>([](auto op) { return op.getType(); }).Default([](Operation*) {
    return Type();
  });
}

LogicalResult PreparedOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  if (!type.hasStaticShape())
    return emitError() << "prepared C1: the sizes of prepared state are constants: they are " << describe(sizesOf(type));
  return success();
}

LogicalResult ReadOp::verifySymbolUses(SymbolTableCollection& symbols) {
  Operation* state = symbols.lookupNearestSymbolFrom(*this, getStateAttr());
  if (!isa_and_nonnull<ParameterOp, StateOp, PreparedOp>(state))
    return emitError() << "read C1: the state is a moe.parameter, moe.state or moe.prepared of the module: @" << getState() << " is none";
  if (Type type = typeOfState(state); type != getResult().getType())
    return emitError() << "read C2: the result has the state's type: @" << getState() << " is " << type << ", the result is " << getResult().getType();
  return success();
}

LogicalResult WriteOp::verifySymbolUses(SymbolTableCollection& symbols) {
  Operation* state = symbols.lookupNearestSymbolFrom(*this, getStateAttr());
  if (!isa_and_nonnull<ParameterOp, StateOp, PreparedOp>(state))
    return emitError() << "write C1: the state is a moe.parameter, moe.state or moe.prepared of the module: @" << getState() << " is none";
  if (Type type = typeOfState(state); type != getValue().getType())
    return emitError() << "write C2: the value has the state's type: @" << getState() << " is " << type << ", the value is " << getValue().getType();
  auto function = (*this)->getParentOfType<func::FuncOp>();
  bool inPrepare = function && function.getName() == "prepare";
  if (!function || inPrepare != isa<PreparedOp>(state))
    return emitError() << "write C3: prepared state is written in @prepare, other state in other functions: @" << getState() << " is written in "
                       << (function ? "@" + function.getName().str() : "no function");
  for (auto other : function.getOps<WriteOp>())
    if (other != *this && other.getState() == getState())
      return emitError() << "write C4: a function writes a state once: @" << getState() << " is written twice";
  return success();
}

} // namespace moec::ir
