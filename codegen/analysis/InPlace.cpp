#include "codegen/analysis/InPlace.h"

#include "llvm/ADT/SetVector.h"

namespace moec::codegen {

namespace {

llvm::SmallVector<InPlace> ofRows(ir::KernelOp kernel) {
  mlir::Block& body = kernel.getBody().front();
  ir::CrossEntropyGradOp gradient;
  for (mlir::Operation& op : body.without_terminator()) {
    if (auto own = mlir::dyn_cast<ir::CrossEntropyGradOp>(op)) {
      if (gradient)
        return {};
      gradient = own;
    } else if (mlir::isa<ir::CrossEntropyOp, ir::IsTopOp>(op)) { // one number of the whole row, in front of the gradient
      if (gradient)
        return {};
    } else if (!(ir::isElementwise(&op) || mlir::isa<ir::ConstantOp>(op))) {
      return {};
    }
  }
  if (!gradient)
    return {};
  auto readsScores = [&](mlir::Operation* user) { return mlir::isa<ir::CrossEntropyOp, ir::IsTopOp, ir::CrossEntropyGradOp>(user); };
  mlir::Value scores = gradient.getScores();
  if (!llvm::all_of(scores.getUsers(), readsScores))
    return {};
  if (auto cast = scores.getDefiningOp<ir::CastOp>(); cast && cast.getX().hasOneUse())
    scores = cast.getX();
  auto argument = mlir::dyn_cast<mlir::BlockArgument>(scores);
  if (!argument)
    return {};
  // Of what is as large as the scores there is one result: what else is given is one number of each row.
  llvm::SmallVector<unsigned> large;
  for (mlir::OpResult output : kernel->getResults())
    if (ir::sizesOf(output).size() == ir::sizesOf(argument).size())
      large.push_back(output.getResultNumber());
  if (large.size() != 1 || kernel->getResult(large.front()).getType() != argument.getType())
    return {};
  return {InPlace{large.front(), argument.getArgNumber()}};
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
