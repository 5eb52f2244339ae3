// make-plan: the module after `emit` as plain data. Reads only attributes and images, so an edited dump is as good as the module in memory.

#include "compiler/passes/BufferTable.h"
#include "compiler/passes/Functions.h"
#include "compiler/passes/Passes.h"
#include "ir/Cost.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

int bufferAttribute(Attribute attribute) {
  auto index = dyn_cast_or_null<IntegerAttr>(attribute);
  return index ? static_cast<int>(index.getInt()) : -1;
}

std::vector<double> doubles(Attribute attribute) {
  std::vector<double> values;
  if (auto dense = dyn_cast_or_null<DenseF64ArrayAttr>(attribute))
    values.assign(dense.asArrayRef().begin(), dense.asArrayRef().end());
  else if (auto array = dyn_cast_or_null<ArrayAttr>(attribute))
    for (Attribute value : array)
      if (auto number = dyn_cast<FloatAttr>(value))
        values.push_back(number.getValueAsDouble());
  return values;
}

InputInfo inputOf(func::FuncOp function, unsigned index) {
  auto attribute = [&](StringRef name) { return function.getArgAttr(index, name); };
  auto type = cast<RankedTensorType>(function.getArgumentTypes()[index]);
  InputInfo input;
  if (auto name = dyn_cast_or_null<StringAttr>(attribute("moe.input")))
    input.name = name.str();
  input.dtype = dtypeOf(type.getElementType());
  input.shape = sizesOf(type);
  input.buffer = bufferAttribute(attribute(bufferName));
  if (auto photo = dyn_cast_or_null<DictionaryAttr>(attribute("moe.photo"))) {
    PhotoRule rule;
    auto resize = photo.getAs<StringAttr>("resize");
    rule.resize = resize && resize.getValue() == "stretch" ? PhotoRule::Resize::Stretch : PhotoRule::Resize::None;
    rule.mean = doubles(photo.get("mean"));
    rule.std = doubles(photo.get("std"));
    input.photo = rule;
  }
  if (auto below = dyn_cast_or_null<IntegerAttr>(attribute("moe.below")))
    input.below = below.getInt();
  if (auto except = dyn_cast_or_null<IntegerAttr>(attribute("moe.except")))
    input.except = except.getInt();
  input.forLoss = attribute("moe.for_loss") != nullptr;
  input.isDraw = attribute("moe.draw") != nullptr;
  return input;
}

Init initOf(InitAttr attribute) {
  constexpr std::pair<llvm::StringLiteral, Init::Kind> words[] = {
      {"zeros", Init::Kind::Zeros},
      {"ones", Init::Kind::Ones},
      {"constant", Init::Kind::Constant},
      {"uniform", Init::Kind::Uniform},
      {"normal", Init::Kind::Normal},
      {"orthogonal", Init::Kind::Orthogonal},
      {"truncated_normal", Init::Kind::TruncatedNormal},
  };
  Init init;
  for (auto& [word, kind] : words)
    if (attribute.getKind().getValue() == word)
      init.kind = kind;
  init.a = attribute.getA().getValueAsDouble();
  init.b = attribute.getB().getValueAsDouble();
  return init;
}

std::string scheduleText(DictionaryAttr schedule) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  for (NamedAttribute field : schedule) {
    stream << (text.empty() ? "" : " ") << field.getName().getValue() << '=';
    if (auto number = dyn_cast<IntegerAttr>(field.getValue()))
      stream << number.getInt();
    else if (auto word = dyn_cast<StringAttr>(field.getValue()))
      stream << word.getValue();
    else
      field.getValue().print(stream, /*elideType=*/true);
  }
  return text;
}

class PlanMaker {
public:
  explicit PlanMaker(const Compilation& compilation) : compilation_(compilation), module_(*compilation.module) {}

  FailureOr<Plan> run() {
    plan_.target = compilation_.target;
    plan_.purpose = purposeOf(module_);
    auto table = module_->getAttrOfType<ArrayAttr>(buffersName);
    if (!table)
      return module_.emitError("the module has no '") << buffersName << "': phase `plan` has not run on it";
    for (Attribute entry : table) {
      auto buffer = bufferFrom(entry, module_.getLoc());
      if (!buffer)
        return failure();
      plan_.buffers.push_back(std::move(*buffer));
    }
    for (func::FuncOp function : calledFunctions(module_))
      addSurface(function);
    for (ParameterOp parameter : module_.getOps<ParameterOp>())
      plan_.parameters.push_back(parameterOf(parameter));
    for (StateOp state : module_.getOps<StateOp>()) {
      StateInfo info{parameterOf(state), {}};
      if (state.getFrom())
        info.from = state.getFrom()->str();
      plan_.states.push_back(std::move(info));
    }
    if (auto words = module_->getAttrOfType<StringAttr>(weightsAsName))
      plan_.weightsAs = words.str();
    plan_.nonFinite = module_->hasAttr("moe.finite_logits") ? NonFiniteLogits::Error : NonFiniteLogits::Count;
    if (auto check = module_->getAttrOfType<DictionaryAttr>("moe.check"))
      for (NamedAttribute entry : check)
        if (auto size = dyn_cast<IntegerAttr>(entry.getValue()))
          plan_.checkSizes[entry.getName().str()] = size.getInt();
    if (auto limits = module_->getAttrOfType<DictionaryAttr>("moe.at_most"))
      for (NamedAttribute entry : limits)
        plan_.rules.push_back({cast<IntegerAttr>(entry.getValue()).getInt() == 0 ? "what equal runs leave over of the tokens" : "the number of positions",
                               Size::parse(entry.getName().str()),
                               {},
                               cast<IntegerAttr>(entry.getValue()).getInt()});
    module_.walk([&](AssignOp assign) {
      // An expert that may take nobody would drop every token without a word.
      if (auto capacity = assign.getCapacity())
        if (Size size = Size::parse(capacity->str()); !size.isConstant())
          plan_.rules.push_back({"the capacity of '" + pathOf(assign.getLoc()) + "'", size, 1, {}});
    });
    for (auto [list, launches] :
         {std::pair(LaunchList::Prepare, &plan_.prepare), std::pair(LaunchList::Forward, &plan_.forward), std::pair(LaunchList::Apply, &plan_.apply)})
      if (func::FuncOp function = functionOf(module_, list); function && failed(addLaunches(function, *launches)))
        return failure();
    return std::move(plan_);
  }

private:
  /// What a called function takes and gives.
  void addSurface(func::FuncOp function) {
    LaunchList list = *listOf(function);
    for (unsigned index = 0; index < function.getNumArguments(); ++index) {
      plan_.inputs.push_back(inputOf(function, index));
      plan_.inputs.back().list = list;
    }
    for (auto [index, type] : llvm::enumerate(function.getResultTypes())) {
      OutputInfo output;
      if (auto name = function.getResultAttrOfType<StringAttr>(index, "moe.output"))
        output.name = name.str();
      output.dtype = dtypeOf(cast<RankedTensorType>(type).getElementType());
      output.shape = sizesOf(cast<RankedTensorType>(type));
      output.buffer = bufferAttribute(function.getResultAttr(index, bufferName));
      output.list = list;
      plan_.outputs.push_back(std::move(output));
    }
  }

  template <class Op> static ParameterInfo parameterOf(Op op) {
    ParameterInfo parameter;
    auto type = cast<RankedTensorType>(op.getType());
    parameter.name = op.getSymName().str();
    parameter.dtype = dtypeOf(type.getElementType());
    parameter.shape.assign(type.getShape().begin(), type.getShape().end());
    parameter.init = initOf(op.getInit());
    parameter.buffer = bufferAttribute(op->getAttr(bufferName));
    return parameter;
  }

  LogicalResult addLaunches(func::FuncOp function, std::vector<LaunchInfo>& list) {
    bool inArena = listOf(function) != LaunchList::Prepare;
    size_t before = listOf(function) == LaunchList::Apply ? plan_.forward.size() : 0; // lives count the launches of both
    for (KernelOp kernel : function.getOps<KernelOp>()) {
      auto symbol = kernel->getAttrOfType<StringAttr>(symbolName);
      auto reads = kernel->getAttrOfType<DenseI64ArrayAttr>(readsName);
      auto writes = kernel->getAttrOfType<DenseI64ArrayAttr>(writesName);
      if (!symbol || !reads || !writes)
        return kernel.emitError("a kernel has no '") << symbolName << "', '" << readsName << "' or '" << writesName << "'";
      auto image = compilation_.images.find(symbol.str());
      if (image == compilation_.images.end())
        return kernel.emitError("there is no image of kernel '") << symbol.getValue() << "'";
      LaunchInfo launch;
      launch.kernel = symbol.str();
      launch.label = kernel.getLabel().str();
      launch.kind = kernel.getKind().str();
      launch.inputs.assign(reads.asArrayRef().begin(), reads.asArrayRef().end());
      launch.outputs.assign(writes.asArrayRef().begin(), writes.asArrayRef().end());
      launch.sizes = image->second.sizes;
      launch.streams = codegen::streamsOf(kernel);
      launch.stages = image->second.stages;
      for (Operation& op : kernel.getBody().front())
        if (!isa<YieldOp, UnpackOp, ConstantOp>(op))
          launch.ops.push_back(op.getName().stripDialect().str());
      launch.reason = kernel.getReason().value_or("").str();
      launch.schedule = kernel.getSchedule() ? scheduleText(*kernel.getSchedule()) : "";
      launch.isTuned = kernel->hasAttr(tunedName);
      plan_.usesTiles |= kernel.getSchedule() && kernel.getSchedule()->contains("tiles");
      Cost cost = costOf(kernel);
      launch.flops = cost.flops;
      launch.bytes = cost.bytes;
      for (const Size& bytes : image->second.workspaces)
        launch.workspaces.push_back(workspace(launch, bytes, static_cast<int>(before + list.size())));
      if (!inArena && !launch.workspaces.empty())
        return kernel.emitError("internal: a kernel of @prepare asks for a workspace");
      list.push_back(std::move(launch));
    }
    return success();
  }

  int workspace(const LaunchInfo& launch, const Size& bytes, int index) {
    BufferInfo buffer;
    buffer.name = launch.label + " " + launch.kind + " workspace";
    buffer.kind = BufferKind::Temporary;
    buffer.dtype = DType::U8;
    buffer.shape = {bytes};
    buffer.firstLaunch = buffer.lastLaunch = index;
    plan_.buffers.push_back(std::move(buffer));
    return static_cast<int>(plan_.buffers.size()) - 1;
  }

  const Compilation& compilation_;
  ModuleOp module_;
  Plan plan_;
};

} // namespace

FailureOr<Plan> makePlan(const Compilation& compilation) { return PlanMaker(compilation).run(); }

} // namespace moec::compiler
