#include "models/losses/Losses.h"

namespace moec::models {

const std::vector<const Kind*>& lossKinds() {
  static const std::vector<const Kind*> kinds{&crossEntropyLoss(), &mseLoss()};
  return kinds;
}

std::string describe(mlir::Value value) {
  auto type = mlir::cast<mlir::RankedTensorType>(value.getType());
  return std::string(name(ir::dtypeOf(type.getElementType()))) + ir::describe(ir::sizesOf(type));
}

} // namespace moec::models
