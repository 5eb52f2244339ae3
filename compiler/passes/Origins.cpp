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
  SmallVector<std::pair<Value, Value>> open{{a, b}};
  llvm::DenseSet<std::pair<Value, Value>> seen;
  while (!open.empty()) {
    auto [one, other] = open.pop_back_val();
    std::pair<Value, Value> pair(originOf(one), originOf(other));
    if (pair.first == pair.second || !seen.insert(pair).second)
      continue;
    Operation *ofOne = pair.first.getDefiningOp(), *ofOther = pair.second.getDefiningOp();
    if (!ofOne || !ofOther || ofOne->getName() != ofOther->getName() || ofOne->getAttrDictionary() != ofOther->getAttrDictionary() ||
        pair.first.getType() != pair.second.getType())
      return false;
    if (!isElementwise(ofOne) && !isa<ExpertRowsOp, ConstantOp>(ofOne))
      return false;
    for (auto [x, y] : llvm::zip(ofOne->getOperands(), ofOther->getOperands()))
      open.emplace_back(x, y);
  }
  return true;
}

} // namespace moec::compiler
