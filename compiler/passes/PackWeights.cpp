// pack-weights: the panels that the products' schedules ask for. Where calls leave the parameters as they are, @prepare packs them once. For training they
// change with every call: a kernel of the function packs what gates and experts multiply by, and a matmul packs its operands itself. What @prepare packs it
// also converts, where that is asked for.

#include "codegen/analysis/Operands.h"
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

/// How a schedule reads panels.
struct PanelForm {
  int64_t nr;
  bool inPairs;

  auto operator<=>(const PanelForm&) const = default;
};

/// What packs `matrix` (.., N, K) in a kernel: panels of nr rows, converted where `as` says so.
SmallVector<Value> pack(Value matrix, const PanelForm& form, const std::optional<WeightsAs>& as, OpBuilder& builder) {
  Location loc = matrix.getLoc();
  auto panels = [&](Value plain) -> Value { return PackOp::create(builder, loc, plain, form.nr, form.inPairs); };
  if (!as)
    return {panels(matrix)};
  if (as->kind == WeightsAs::Kind::BF16)
    return {panels(CastOp::create(builder, loc, matrix, TypeAttr::get(builder.getBF16Type())))};
  auto quantized = QuantizeOp::create(builder, loc, matrix, builder.getI64IntegerAttr(as->group));
  return {panels(quantized.getCodes()), panels(quantized.getScales())};
}

/// The plain matrix (.., n, K) of what pack() made.
Value unpack(ValueRange packed, int64_t n, const PanelForm& form, const std::optional<WeightsAs>& as, Location loc, OpBuilder& builder) {
  auto plain = [&](Value panels) -> Value { return UnpackOp::create(builder, loc, panels, n, form.inPairs); };
  if (!as)
    return plain(packed[0]);
  if (as->kind == WeightsAs::Kind::BF16)
    return CastOp::create(builder, loc, plain(packed[0]), TypeAttr::get(builder.getF32Type()));
  Value codes = plain(packed[0]), scales = plain(packed[1]);
  return DequantizeOp::create(builder, loc, codes, scales, builder.getI64IntegerAttr(as->group));
}

/// The kernel that packs a value (.., N, K) into panels; with `rows`, rows of it alone. With `exchange`, the value is (.., K, N).
FailureOr<SmallVector<Value>> packKernel(Value plain, SliceOp rows, TransposeOp exchange, const PanelForm& form, const std::optional<WeightsAs>& as,
                                         StringRef label, StringRef reason, OpBuilder& builder, ScheduleSource& source) {
  Location loc = plain.getLoc();
  auto body = std::make_unique<Block>();
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToEnd(body.get());
    Value matrix = body->addArgument(plain.getType(), loc);
    if (rows)
      matrix = SliceOp::create(builder, loc, matrix, rows.getAxisAttr(), rows.getStartAttr(), rows.getSizeAttr());
    if (exchange)
      matrix = TransposeOp::create(builder, loc, matrix, exchange.getPermutation());
    YieldOp::create(builder, loc, pack(matrix, form, as, builder));
  }
  auto kernel = KernelOp::create(builder, loc, body->getTerminator()->getOperandTypes(), ValueRange{plain}, builder.getStringAttr("pack"),
                                 builder.getStringAttr(label), builder.getStringAttr(reason), DictionaryAttr());
  kernel.getBody().push_back(body.release());
  if (failed(source.choose(kernel)))
    return failure();
  return SmallVector<Value>(kernel.getOutputs());
}

/// @"<parameter>.packed.<nr>", or ".packed.<nr>.pairs", or ".packed.<nr>.bf16", or ".packed.<nr>.int8:<group>" and its ".scales": panels of a parameter, packed
/// once however many kernels read them. Of rows of it, @"<parameter>.rows.<first>:<count>.packed.<nr>".
FailureOr<SmallVector<PreparedOp>> packedState(ModuleOp module, ReadOp read, SliceOp rows, const PanelForm& form, const std::optional<WeightsAs>& as,
                                               ScheduleSource& source) {
  std::string part = rows ? (".rows." + rows.getStart() + ":" + rows.getSize()).str() : "";
  std::string name = read.getState().str() + part + ".packed." + std::to_string(form.nr) + (form.inPairs ? ".pairs" : "") + (as ? "." + as->str() : "");
  SmallVector<std::string> names{name};
  if (as && as->kind == WeightsAs::Kind::Int8)
    names.push_back(name + ".scales");
  SmallVector<PreparedOp> states;
  if (module.lookupSymbol<PreparedOp>(name)) {
    for (const std::string& known : names)
      states.push_back(module.lookupSymbol<PreparedOp>(known));
    return states;
  }
  func::FuncOp prepare = prepareFunction(module);
  OpBuilder builder(prepare.getBody().front().getTerminator()), top(prepare);
  Location loc = NameLoc::get(builder.getStringAttr(read.getState()), read.getLoc());
  auto plain = ReadOp::create(builder, loc, read.getType(), read.getStateAttr());
  std::string reason = as ? "weights are packed once, in @prepare, as " + as->str() : "weights are packed once, in @prepare";
  auto panels = packKernel(plain, rows, nullptr, form, as, read.getState(), reason, builder, source);
  if (failed(panels))
    return failure();
  for (auto [known, value] : llvm::zip(names, *panels)) {
    WriteOp::create(builder, loc, FlatSymbolRefAttr::get(module.getContext(), known), value);
    states.push_back(PreparedOp::create(top, loc, top.getStringAttr(known), TypeAttr::get(value.getType())));
  }
  return states;
}

/// Panels of a weight as a kernel reads them: values of its function, and how they are converted.
struct Packed {
  SmallVector<Value> values; // none: the weight stays plain
  std::optional<WeightsAs> as = {};
};

/// The panels of each value, or of its exchange, that kernels of one function multiply by.
using Panels = std::map<std::tuple<void*, bool, PanelForm>, SmallVector<Value>>;

/// How a kernel's product by a parameter reads it, when `wanted` is asked for. Gates choose experts by the model's own weights.
std::optional<WeightsAs> conversionOf(ParameterOp parameter, KernelOp kernel, const std::optional<WeightsAs>& wanted) {
  bool chooses = kernel.getKind() == "gate" || parameter->hasAttr(kRouterName);
  return chooses || !cast<RankedTensorType>(parameter.getType()).getElementType().isF32() ? std::nullopt : wanted;
}

/// What reads the panels of `outside`, in front of the kernel.
FailureOr<Packed> panelsOf(Value outside, SliceOp rows, TransposeOp exchange, const PanelForm& form, KernelOp kernel, const std::optional<WeightsAs>& wanted,
                           Panels& known, ScheduleSource& source) {
  auto module = kernel->getParentOfType<ModuleOp>();
  auto read = outside.getDefiningOp<ReadOp>();
  OpBuilder builder(kernel);
  Packed packed;
  if (purposeOf(module) != Purpose::Training) {
    auto parameter = read && !exchange ? module.lookupSymbol<ParameterOp>(read.getState()) : nullptr;
    if (!parameter)
      return packed;
    packed.as = conversionOf(parameter, kernel, wanted);
    auto states = packedState(module, read, rows, form, packed.as, source);
    if (failed(states))
      return failure();
    for (PreparedOp state : *states)
      packed.values.push_back(ReadOp::create(builder, read.getLoc(), cast<RankedTensorType>(state.getType()), FlatSymbolRefAttr::get(state.getSymNameAttr())));
    return packed;
  }
  if (rows || kernel.getKind() == "matmul" || !cast<RankedTensorType>(outside.getType()).hasStaticShape()) // it packs for itself, and no other reads rows
    return packed;
  SmallVector<Value>& panels = known[{outside.getAsOpaquePointer(), static_cast<bool>(exchange), form}];
  if (panels.empty()) {
    auto made = packKernel(outside, nullptr, exchange, form, std::nullopt, kernel.getLabel(), "weights change with every call", builder, source);
    if (failed(made))
      return failure();
    panels = *made;
  }
  packed.values = panels;
  return packed;
}

/// The weight operand of a product, by kernel body argument.
OpOperand* weightOperand(Operation* op) { return isa<MatmulOp, GroupedMatmulOp>(op) ? &op->getOpOperand(1) : nullptr; }

LogicalResult packOperand(KernelOp kernel, OpOperand& weight, const std::optional<WeightsAs>& wanted, Panels& known, ScheduleSource& source) {
  auto exchange = weight.get().getDefiningOp<TransposeOp>();
  SliceOp rows = codegen::rowsSlice(exchange ? exchange.getX() : weight.get());
  auto argument = dyn_cast<BlockArgument>(rows ? rows.getX() : exchange ? exchange.getX() : weight.get());
  DictionaryAttr schedule = kernel.getScheduleAttr();
  auto nr = schedule ? schedule.getAs<IntegerAttr>("nr") : IntegerAttr();
  if (auto ofScores = schedule && isa<MatmulOp>(weight.getOwner()) ? schedule.getAs<IntegerAttr>("score_nr") : IntegerAttr()) // the gate's within a layer
    nr = ofScores;
  if (!argument || !nr) // the target's kernels read weights as they are
    return success();
  PanelForm form{nr.getInt(), schedule.contains("tiles")};
  Value outside = kernel.getInputs()[argument.getArgNumber()];
  auto packed = panelsOf(outside, rows, exchange, form, kernel, wanted, known, source);
  if (failed(packed) || packed->values.empty())
    return failure(failed(packed));

  OpBuilder builder(kernel);
  Block& body = kernel.getBody().front();
  builder.setInsertionPointToStart(&body);
  Sizes sizes = sizesOf(weight.get());
  SmallVector<Value> panels;
  for (Value value : packed->values) {
    panels.push_back(body.addArgument(value.getType(), argument.getLoc()));
    kernel.getInputsMutable().append(value);
  }
  weight.set(unpack(panels, *sizes[sizes.size() - 2].constant(), form, packed->as, weight.getOwner()->getLoc(), builder));
  for (Operation* op : {exchange.getOperation(), rows.getOperation()})
    if (op && op->use_empty())
      op->erase();
  if (argument.use_empty()) {
    unsigned number = argument.getArgNumber();
    kernel.getInputsMutable().erase(number);
    body.eraseArgument(number);
    if (auto read = outside.getDefiningOp<ReadOp>(); read && read->use_empty())
      read->erase();
  }
  if (!packed->as)
    return success();
  kernel->getParentOfType<ModuleOp>()->setAttr(weightsAsName, builder.getStringAttr(packed->as->str()));
  return source.choose(kernel); // what is read less of is cut in other slices
}

} // namespace

LogicalResult packWeights(ModuleOp module, ScheduleSource& source, const std::optional<WeightsAs>& as) {
  for (func::FuncOp function : calledFunctions(module)) {
    Panels known;
    for (KernelOp kernel : SmallVector<KernelOp>(function.getOps<KernelOp>())) {
      SmallVector<OpOperand*> weights;
      for (Operation& op : kernel.getBody().front())
        if (OpOperand* weight = weightOperand(&op))
          weights.push_back(weight);
      for (OpOperand* weight : weights)
        if (failed(packOperand(kernel, *weight, as, known, source)))
          return failure();
    }
  }
  return success();
}

} // namespace moec::compiler
