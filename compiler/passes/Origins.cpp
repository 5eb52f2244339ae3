#include "compiler/passes/Origins.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

Value outside(KernelOp kernel, Value inner) {
  auto argument = dyn_cast_or_null<BlockArgument>(inner);
  return kernel && argument && argument.getOwner()->getParentOp() == kernel ? kernel.getInputs()[argument.getArgNumber()] : Value();
}

Value originOf(Value value) {
  for (;;) {
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      Value given = outside(dyn_cast<KernelOp>(argument.getOwner()->getParentOp()), value);
      if (!given)
        return value;
      value = given;
    } else if (auto kernel = value.getDefiningOp<KernelOp>()) {
      value = kernel.getBody().front().getTerminator()->getOperand(cast<OpResult>(value).getResultNumber());
    } else {
      return value;
    }
  }
}

bool isMadeAlike(Value a, Value b) {
  a = originOf(a);
  b = originOf(b);
  if (a == b)
    return true;
  Operation *ofA = a.getDefiningOp(), *ofB = b.getDefiningOp();
  if (!ofA || !ofB || ofA->getName() != ofB->getName() || ofA->getAttrDictionary() != ofB->getAttrDictionary() || a.getType() != b.getType())
    return false;
  if (!isElementwise(ofA) && !isa<ExpertRowsOp, ConstantOp>(ofA))
    return false;
  return llvm::all_of(llvm::zip(ofA->getOperands(), ofB->getOperands()),
                      [](auto operands) { return isMadeAlike(std::get<0>(operands), std::get<1>(operands)); });
}

} // namespace moec::compiler
