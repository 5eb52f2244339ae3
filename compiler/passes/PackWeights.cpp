#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// The function that computes prepared state, made at the first need: it stands in front of @forward.
func::FuncOp prepareFunction(ModuleOp module) {
  if (auto prepare = module.lookupSymbol<func::FuncOp>("prepare"))
    return prepare;
  OpBuilder builder(module.lookupSymbol<func::FuncOp>("forward"));
  auto prepare = func::FuncOp::create(builder, module.getLoc(), "prepare", builder.getFunctionType({}, {}));
  Block* body = prepare.addEntryBlock();
  builder.setInsertionPointToEnd(body);
  func::ReturnOp::create(builder, module.getLoc());
  return prepare;
}

/// @"<parameter>.packed.<nr>": the panels of a parameter, packed once however many kernels read them.
FailureOr<PreparedOp> packedState(ModuleOp module, ReadOp read, int64_t nr, codegen::KernelEmitter& emitter) {
  std::string name = read.getState().str() + ".packed." + std::to_string(nr);
  if (auto state = module.lookupSymbol<PreparedOp>(name))
    return state;
  func::FuncOp prepare = prepareFunction(module);
  OpBuilder builder(prepare.getBody().front().getTerminator());
  Location loc = NameLoc::get(builder.getStringAttr(read.getState()), read.getLoc());
  auto plain = ReadOp::create(builder, loc, read.getType(), read.getStateAttr());
  Sizes sizes = sizesOf(plain.getResult());
  Size n = sizes[sizes.size() - 2], k = sizes.back();
  Sizes panels(sizes.begin(), sizes.end() - 2);
  panels.insert(panels.end(), {Size::ceilDiv(n, nr), k, Size(nr)});
  auto type = tensorOf(panels, read.getType().getElementType());
  auto kernel = KernelOp::create(builder, loc, TypeRange{type}, ValueRange{plain.getResult()}, builder.getStringAttr("pack"),
                                 builder.getStringAttr(read.getState()), builder.getStringAttr("weights are packed once, in @prepare"), DictionaryAttr());
  {
    OpBuilder::InsertionGuard guard(builder);
    Block* body = builder.createBlock(&kernel.getBody());
    Value argument = body->addArgument(plain.getType(), loc);
    auto pack = PackOp::create(builder, loc, argument, builder.getI64IntegerAttr(nr));
    YieldOp::create(builder, loc, ValueRange{pack.getResult()});
  }
  DictionaryAttr schedule = emitter.chooseSchedule(kernel);
  if (!schedule)
    return failure();
  kernel.setScheduleAttr(schedule);
  WriteOp::create(builder, loc, FlatSymbolRefAttr::get(module.getContext(), name), kernel.getOutputs().front());

  OpBuilder top(prepare);
  return PreparedOp::create(top, loc, top.getStringAttr(name), TypeAttr::get(type));
}

/// The weight operand of a product, by kernel body argument.
OpOperand* weightOperand(Operation* op) { return isa<MatmulOp, GroupedMatmulOp>(op) ? &op->getOpOperand(1) : nullptr; }

LogicalResult packOperand(ModuleOp module, KernelOp kernel, OpOperand& weight, codegen::KernelEmitter& emitter) {
  auto argument = dyn_cast<BlockArgument>(weight.get());
  if (!argument)
    return success();
  Value outside = kernel.getInputs()[argument.getArgNumber()];
  auto read = outside.getDefiningOp<ReadOp>();
  if (!read || !module.lookupSymbol<ParameterOp>(read.getState()))
    return success();
  auto nr = kernel.getSchedule() ? kernel.getScheduleAttr().getAs<IntegerAttr>("nr") : IntegerAttr();
  if (!nr) // the target's kernels read weights as they are
    return success();
  auto state = packedState(module, read, nr.getInt(), emitter);
  if (failed(state))
    return failure();

  OpBuilder builder(kernel);
  auto packed = ReadOp::create(builder, read.getLoc(), cast<RankedTensorType>(state->getType()), FlatSymbolRefAttr::get(state->getSymNameAttr()));
  Block& body = kernel.getBody().front();
  builder.setInsertionPointToStart(&body);
  Sizes sizes = sizesOf(argument);
  bool onlyUse = argument.hasOneUse();
  Value panels = body.addArgument(packed.getType(), argument.getLoc());
  kernel.getInputsMutable().append(packed.getResult());
  auto plain = UnpackOp::create(builder, weight.getOwner()->getLoc(), panels, builder.getI64IntegerAttr(*sizes[sizes.size() - 2].constant()));
  weight.set(plain.getResult());
  if (onlyUse) {
    unsigned number = argument.getArgNumber();
    kernel.getInputsMutable().erase(number);
    body.eraseArgument(number);
    if (read->use_empty())
      read->erase();
  }
  return success();
}

} // namespace

LogicalResult packWeights(ModuleOp module, codegen::KernelEmitter& emitter) {
  auto forward = module.lookupSymbol<func::FuncOp>("forward");
  for (KernelOp kernel : SmallVector<KernelOp>(forward.getOps<KernelOp>())) {
    SmallVector<OpOperand*> weights;
    for (Operation& op : kernel.getBody().front())
      if (OpOperand* weight = weightOperand(&op))
        weights.push_back(weight);
    for (OpOperand* weight : weights)
      if (failed(packOperand(module, kernel, *weight, emitter)))
        return failure();
  }
  return success();
}

} // namespace moec::compiler
