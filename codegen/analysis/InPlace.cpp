#include "codegen/analysis/InPlace.h"

#include "llvm/ADT/SetVector.h"

namespace moec::codegen {

namespace {

llvm::SmallVector<InPlace> ofRows(ir::KernelOp kernel) {
  if (kernel.getNumResults() != 1)
    return {};
  ir::CrossEntropyGradOp gradient;
  for (mlir::Operation& op : kernel.getBody().front().without_terminator()) {
    auto own = mlir::dyn_cast<ir::CrossEntropyGradOp>(op);
    if ((own && gradient) || !(own || ir::isElementwise(&op) || mlir::isa<ir::ConstantOp>(op)))
      return {};
    gradient = own ? own : gradient;
  }
  if (!gradient)
    return {};
  mlir::Value scores = gradient.getScores();
  if (auto cast = scores.getDefiningOp<ir::CastOp>(); cast && cast->hasOneUse())
    scores = cast.getX();
  auto argument = mlir::dyn_cast<mlir::BlockArgument>(scores);
  if (!argument || !argument.hasOneUse() || argument.getType() != kernel.getResultTypes().front())
    return {};
  return {InPlace{0, argument.getArgNumber()}};
}

/// Read by elementwise ops alone, element by element of their results.
bool isReadElementwise(mlir::BlockArgument argument) {
  return !argument.use_empty() && llvm::all_of(argument.getUsers(), [&](mlir::Operation* user) {
    return ir::isElementwise(user) && ir::sizesOf(user->getResult(0)) == ir::sizesOf(argument);
  });
}

llvm::SmallVector<InPlace> behindProduct(ir::KernelOp kernel) {
  llvm::SmallVector<InPlace> places;
  for (mlir::BlockArgument argument : kernel.getBody().front().getArguments())
    for (mlir::OpResult output : kernel->getResults())
      if (argument.getType() == output.getType() && isReadElementwise(argument) &&
          llvm::none_of(places, [&](const InPlace& place) { return place.output == output.getResultNumber(); })) {
        places.push_back({output.getResultNumber(), argument.getArgNumber()});
        break;
      }
  return places;
}

} // namespace

llvm::SmallVector<InPlace> inPlaceOf(ir::KernelOp kernel) {
  if (kernel.getKind() == "rows")
    return ofRows(kernel);
  llvm::StringRef kind = kernel.getKind();
  if (kind == "expert_up" || kind == "expert_mid" || kind == "layer_grad")
    return behindProduct(kernel);
  return {};
}

SharedMemory sharedMemoryOf(ir::KernelOp kernel) {
  llvm::SmallSetVector<unsigned, 4> inputs, outputs;
  for (const InPlace& place : inPlaceOf(kernel)) {
    inputs.insert(place.input);
    outputs.insert(place.output);
  }
  if (kernel.getKind() == "weight_update")
    for (mlir::BlockArgument argument : kernel.getBody().front().getArguments())
      for (mlir::OpResult output : kernel->getResults())
        if (argument.getType() == output.getType()) {
          inputs.insert(argument.getArgNumber());
          outputs.insert(output.getResultNumber());
        }
  return {inputs.takeVector(), outputs.takeVector()};
}

} // namespace moec::codegen
