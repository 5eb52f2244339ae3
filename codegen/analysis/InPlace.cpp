#include "codegen/analysis/InPlace.h"

namespace moec::codegen {

std::optional<InPlace> inPlaceOf(ir::KernelOp kernel) {
  mlir::Block& body = kernel.getBody().front();
  if (kernel.getKind() != "rows" || kernel.getNumResults() != 1)
    return std::nullopt;
  ir::CrossEntropyGradOp gradient;
  for (mlir::Operation& op : body.without_terminator()) {
    auto own = mlir::dyn_cast<ir::CrossEntropyGradOp>(op);
    if ((own && gradient) || !(own || ir::isElementwise(&op) || mlir::isa<ir::ConstantOp>(op)))
      return std::nullopt;
    gradient = own ? own : gradient;
  }
  if (!gradient)
    return std::nullopt;
  mlir::Value scores = gradient.getScores();
  if (auto cast = scores.getDefiningOp<ir::CastOp>(); cast && cast->hasOneUse())
    scores = cast.getX();
  auto argument = mlir::dyn_cast<mlir::BlockArgument>(scores);
  if (!argument || !argument.hasOneUse() || argument.getType() != kernel.getResultTypes().front())
    return std::nullopt;
  return InPlace{0, argument.getArgNumber()};
}

} // namespace moec::codegen
