#include "codegen/cpu/LaneStores.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"

#include <optional>

using namespace llvm;

namespace moec::codegen::cpu {
namespace {

/// The only lane of a constant mask.
std::optional<unsigned> singleLane(const Value* mask) {
  const auto* constant = dyn_cast<Constant>(mask);
  if (!constant)
    return std::nullopt;
  std::optional<unsigned> lane;
  for (unsigned i = 0; i < cast<FixedVectorType>(mask->getType())->getNumElements(); ++i) {
    const auto* bit = dyn_cast_or_null<ConstantInt>(constant->getAggregateElement(i));
    if (!bit || (bit->isOne() && lane))
      return std::nullopt;
    if (bit->isOne())
      lane = i;
  }
  return lane;
}

} // namespace

void storeSingleLanes(Module& module) {
  for (Function& function : module)
    for (Instruction& instruction : make_early_inc_range(instructions(function))) {
      auto* store = dyn_cast<IntrinsicInst>(&instruction);
      if (!store || store->getIntrinsicID() != Intrinsic::masked_store)
        continue;
      Value *vector = store->getArgOperand(0), *address = store->getArgOperand(1);
      std::optional<unsigned> lane = singleLane(store->getArgOperand(2));
      if (!lane)
        continue;
      IRBuilder<> builder(store);
      Type* element = vector->getType()->getScalarType();
      uint64_t bytes = element->getScalarSizeInBits() / 8;
      Value* place = builder.CreateConstInBoundsGEP1_64(element, address, *lane);
      builder.CreateAlignedStore(builder.CreateExtractElement(vector, *lane), place, commonAlignment(store->getParamAlign(1).valueOrOne(), *lane * bytes));
      store->eraseFromParent();
    }
}

} // namespace moec::codegen::cpu
