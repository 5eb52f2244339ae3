// pack-weights: the panels that the products' schedules ask for. Where calls leave the parameters as they are, @prepare packs them once. For training they
// change with every call: a kernel of the function packs what gates and experts multiply by, and a matmul packs its operands itself.

#include "compiler/passes/Functions.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// The function that computes prepared state, made at the first need: it stands in front of what calls run.
func::FuncOp prepareFunction(ModuleOp module) {
  if (auto prepare = module.lookupSymbol<func::FuncOp>("prepare"))
    return prepare;
  OpBuilder builder(functionOf(module, LaunchList::Forward));
  auto prepare = func::FuncOp::create(builder, module.getLoc(), "prepare", builder.getFunctionType({}, {}));
  Block* body = prepare.addEntryBlock();
  builder.setInsertionPointToEnd(body);
  func::ReturnOp::create(builder, module.getLoc());
  return prepare;
}

/// The kernel that packs a value (.., N, K) into panels of nr rows. With `exchange`, the value is (.., K, N).
FailureOr<Value> packKernel(Value plain, TransposeOp exchange, int64_t nr, StringRef label, StringRef reason, OpBuilder& builder, ScheduleSource& source) {
  Location loc = plain.getLoc();
  Sizes sizes = exchange ? sizesOf(exchange.getResult()) : sizesOf(plain);
  Size n = sizes[sizes.size() - 2], k = sizes.back();
  Sizes panels(sizes.begin(), sizes.end() - 2);
  panels.insert(panels.end(), {Size::ceilDiv(n, nr), k, Size(nr)});
  auto type = tensorOf(panels, cast<RankedTensorType>(plain.getType()).getElementType());
  auto kernel = KernelOp::create(builder, loc, TypeRange{type}, ValueRange{plain}, builder.getStringAttr("pack"), builder.getStringAttr(label),
                                 builder.getStringAttr(reason), DictionaryAttr());
  {
    OpBuilder::InsertionGuard guard(builder);
    Block* body = builder.createBlock(&kernel.getBody());
    Value matrix = body->addArgument(plain.getType(), loc);
    if (exchange)
      matrix = TransposeOp::create(builder, loc, matrix, exchange.getPermutation());
    auto pack = PackOp::create(builder, loc, matrix, builder.getI64IntegerAttr(nr));
    YieldOp::create(builder, loc, ValueRange{pack.getResult()});
  }
  if (failed(source.choose(kernel)))
    return failure();
  return kernel.getOutputs().front();
}

/// @"<parameter>.packed.<nr>": the panels of a parameter, packed once however many kernels read them.
FailureOr<PreparedOp> packedState(ModuleOp module, ReadOp read, int64_t nr, ScheduleSource& source) {
  std::string name = read.getState().str() + ".packed." + std::to_string(nr);
  if (auto state = module.lookupSymbol<PreparedOp>(name))
    return state;
  func::FuncOp prepare = prepareFunction(module);
  OpBuilder builder(prepare.getBody().front().getTerminator());
  Location loc = NameLoc::get(builder.getStringAttr(read.getState()), read.getLoc());
  auto plain = ReadOp::create(builder, loc, read.getType(), read.getStateAttr());
  auto panels = packKernel(plain, nullptr, nr, read.getState(), "weights are packed once, in @prepare", builder, source);
  if (failed(panels))
    return failure();
  WriteOp::create(builder, loc, FlatSymbolRefAttr::get(module.getContext(), name), *panels);

  OpBuilder top(prepare);
  return PreparedOp::create(top, loc, top.getStringAttr(name), TypeAttr::get(panels->getType()));
}

/// The panels of each value, or of its exchange, that kernels of one function multiply by.
using Panels = std::map<std::tuple<void*, bool, int64_t>, Value>;

/// What reads the panels of `outside`, in front of the kernel; null when it stays plain.
FailureOr<Value> panelsOf(Value outside, TransposeOp exchange, int64_t nr, KernelOp kernel, Panels& known, ScheduleSource& source) {
  auto module = kernel->getParentOfType<ModuleOp>();
  auto read = outside.getDefiningOp<ReadOp>();
  OpBuilder builder(kernel);
  if (purposeOf(module) != Purpose::Training) {
    if (!read || exchange || !module.lookupSymbol<ParameterOp>(read.getState()))
      return Value();
    auto state = packedState(module, read, nr, source);
    if (failed(state))
      return failure();
    return Value(ReadOp::create(builder, read.getLoc(), cast<RankedTensorType>(state->getType()), FlatSymbolRefAttr::get(state->getSymNameAttr())));
  }
  if (kernel.getKind() == "matmul" || !cast<RankedTensorType>(outside.getType()).hasStaticShape()) // it packs for itself
    return Value();
  Value& panels = known[{outside.getAsOpaquePointer(), static_cast<bool>(exchange), nr}];
  if (panels)
    return panels;
  auto packed = packKernel(outside, exchange, nr, kernel.getLabel(), "weights change with every call", builder, source);
  if (succeeded(packed))
    panels = *packed;
  return packed;
}

/// The weight operand of a product, by kernel body argument.
OpOperand* weightOperand(Operation* op) { return isa<MatmulOp, GroupedMatmulOp>(op) ? &op->getOpOperand(1) : nullptr; }

LogicalResult packOperand(KernelOp kernel, OpOperand& weight, Panels& known, ScheduleSource& source) {
  auto exchange = weight.get().getDefiningOp<TransposeOp>();
  auto argument = dyn_cast<BlockArgument>(exchange ? exchange.getX() : weight.get());
  DictionaryAttr schedule = kernel.getScheduleAttr();
  auto nr = schedule ? schedule.getAs<IntegerAttr>("nr") : IntegerAttr();
  if (auto ofScores = schedule && isa<MatmulOp>(weight.getOwner()) ? schedule.getAs<IntegerAttr>("score_nr") : IntegerAttr()) // the gate's within a layer
    nr = ofScores;
  if (!argument || !nr) // the target's kernels read weights as they are
    return success();
  Value outside = kernel.getInputs()[argument.getArgNumber()];
  auto packed = panelsOf(outside, exchange, nr.getInt(), kernel, known, source);
  if (failed(packed) || !*packed)
    return packed;

  OpBuilder builder(kernel);
  Block& body = kernel.getBody().front();
  builder.setInsertionPointToStart(&body);
  Sizes sizes = sizesOf(weight.get());
  Value panels = body.addArgument(packed->getType(), argument.getLoc());
  kernel.getInputsMutable().append(*packed);
  auto plain = UnpackOp::create(builder, weight.getOwner()->getLoc(), panels, builder.getI64IntegerAttr(*sizes[sizes.size() - 2].constant()));
  weight.set(plain.getResult());
  if (exchange && exchange->use_empty())
    exchange->erase();
  if (argument.use_empty()) {
    unsigned number = argument.getArgNumber();
    kernel.getInputsMutable().erase(number);
    body.eraseArgument(number);
    if (auto read = outside.getDefiningOp<ReadOp>(); read && read->use_empty())
      read->erase();
  }
  return success();
}

} // namespace

LogicalResult packWeights(ModuleOp module, ScheduleSource& source) {
  for (func::FuncOp function : calledFunctions(module)) {
    Panels known;
    for (KernelOp kernel : SmallVector<KernelOp>(function.getOps<KernelOp>())) {
      SmallVector<OpOperand*> weights;
      for (Operation& op : kernel.getBody().front())
        if (OpOperand* weight = weightOperand(&op))
          weights.push_back(weight);
      for (OpOperand* weight : weights)
        if (failed(packOperand(kernel, *weight, known, source)))
          return failure();
    }
  }
  return success();
}

} // namespace moec::compiler
