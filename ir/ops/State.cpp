#include "ir/ops/Infer.h"

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
  return success();
}

LogicalResult PreparedOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  if (!type.hasStaticShape())
    return emitError() << "prepared C1: the sizes of prepared state are constants: they are "
                       << describe(sizesOf(type));
  return success();
}

LogicalResult ReadOp::verifySymbolUses(SymbolTableCollection& symbols) {
  Operation* state = symbols.lookupNearestSymbolFrom(*this, getStateAttr());
  if (!isa_and_nonnull<ParameterOp, PreparedOp>(state))
    return emitError() << "read C1: the state is a moe.parameter or moe.prepared of the module: @" << getState()
                       << " is none";
  Type type = isa<ParameterOp>(state) ? cast<ParameterOp>(state).getType() : cast<PreparedOp>(state).getType();
  if (type != getResult().getType())
    return emitError() << "read C2: the result has the state's type: @" << getState() << " is " << type
                       << ", the result is " << getResult().getType();
  return success();
}

LogicalResult WriteOp::verifySymbolUses(SymbolTableCollection& symbols) {
  auto state = symbols.lookupNearestSymbolFrom<PreparedOp>(*this, getStateAttr());
  if (!state)
    return emitError() << "write C1: the state is a moe.prepared of the module: @" << getState() << " is none";
  if (state.getType() != getValue().getType())
    return emitError() << "write C2: the value has the state's type: @" << getState() << " is " << state.getType()
                       << ", the value is " << getValue().getType();
  auto function = (*this)->getParentOfType<func::FuncOp>();
  if (!function || function.getName() != "prepare")
    return emitError() << "write C3: only @prepare writes state: this is in "
                       << (function ? "@" + function.getName().str() : "no function");
  return success();
}

} // namespace moec::ir
