// assign-buffers: every launch gets its last place, and every value a buffer. Launches wait for their first reader where that costs no memory
// (DelayLaunches.h), and those of updates stand behind all that read what they write (Updates.h). A reshape shares its operand's; what a called function
// returns lives in memory of its own, a parameter or state in one place, which kernels of updates write; everything else between launches in one arena, from
// the launch that writes it to the last that reads it. What dies in a kernel that can write a result over it gives that its memory.

#include "codegen/analysis/InPlace.h"
#include "compiler/passes/BufferTable.h"
#include "compiler/passes/DelayLaunches.h"
#include "compiler/passes/Functions.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/Updates.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

class Assignment {
public:
  explicit Assignment(ModuleOp module) : module_(module), builder_(module.getContext()) {}

  LogicalResult run() {
    int launches = 0; // of @prepare they count by themselves
    if (func::FuncOp prepare = functionOf(module_, LaunchList::Prepare); prepare && failed(assign(prepare, launches)))
      return failure();
    launches = 0;
    for (func::FuncOp function : calledFunctions(module_)) {
      delayLaunches(function);
      assignArguments(function);
      if (failed(placeUpdates(function)) || failed(assign(function, launches)) || failed(assignResults(function)))
        return failure();
    }
    for (StateOp state : module_.getOps<StateOp>())
      stateBuffer(state.getSymName(), cast<RankedTensorType>(state.getType()));
    SmallVector<Attribute> table;
    for (const BufferInfo& buffer : buffers_)
      table.push_back(toAttribute(buffer, module_.getContext()));
    module_->setAttr(buffersName, builder_.getArrayAttr(table));
    return success();
  }

private:
  void assignArguments(func::FuncOp function) {
    for (auto [index, argument] : llvm::enumerate(function.getArguments())) {
      auto name = function.getArgAttrOfType<StringAttr>(index, "moe.input");
      if (argument.use_empty())
        continue;
      of_[argument] = add(argument.getType(), BufferKind::Input, name ? name.str() : "argument " + std::to_string(index));
      function.setArgAttr(index, bufferName, builder_.getI64IntegerAttr(of_[argument]));
    }
  }

  LogicalResult assignResults(func::FuncOp function) {
    Operation* end = function.getBody().front().getTerminator();
    for (auto [index, value] : llvm::enumerate(end->getOperands())) {
      int buffer = of_.at(value);
      std::vector<Size> shape = sizesOf(cast<RankedTensorType>(value.getType()));
      if (buffers_[buffer].kind == BufferKind::Temporary) {
        buffers_[buffer].kind = BufferKind::Output;
        buffers_[buffer].firstLaunch = buffers_[buffer].lastLaunch = -1;
        buffers_[buffer].shape = shape; // as the caller sees it: a kernel that wrote it may call it (tokens, width)
      } else if (buffers_[buffer].shape != shape) {
        return end->emitError("an output is another shape of '")
               << buffers_[buffer].name << "', which is an input, a weight or an output itself: not supported";
      } else if (isWritten(function, buffer)) {
        return end->emitError("an output is '") << buffers_[buffer].name << "' as it was before the call, which writes it: not supported";
      }
      function.setResultAttr(index, bufferName, builder_.getI64IntegerAttr(buffer));
    }
    return success();
  }

  bool isWritten(func::FuncOp function, int buffer) {
    return llvm::any_of(function.getOps<WriteOp>(), [&](WriteOp write) { return states_.at(write.getState().str()) == buffer; });
  }

  int add(Type type, BufferKind kind, std::string name) {
    BufferInfo buffer;
    buffer.name = std::move(name);
    buffer.kind = kind;
    if (auto routing = dyn_cast<RoutingType>(type)) {
      Size rows = Size::parse(routing.getTokens().str()) * routing.getChoices();
      buffer.isRouting = true;
      buffer.experts = routing.getExperts();
      buffer.choices = routing.getChoices();
      buffer.dtype = DType::I32;
      buffer.shape = {rows * 2 + (routing.getExperts() + 1)};
    } else {
      auto tensor = cast<RankedTensorType>(type);
      buffer.dtype = dtypeOf(tensor.getElementType());
      buffer.shape = sizesOf(tensor);
    }
    buffers_.push_back(std::move(buffer));
    return static_cast<int>(buffers_.size()) - 1;
  }

  LogicalResult assign(func::FuncOp function, int& launch) {
    for (Operation& op : function.getBody().front()) {
      if (auto read = dyn_cast<ReadOp>(op)) {
        of_[read.getResult()] = stateBuffer(read.getState(), read.getType());
      } else if (auto reshape = dyn_cast<ReshapeOp>(op)) {
        of_[reshape.getResult()] = of_.at(reshape.getX());
      } else if (auto write = dyn_cast<WriteOp>(op)) {
        if (listOf(function) != LaunchList::Prepare) // written in place
          continue;
        // What was made as a temporary of @prepare is the state itself.
        int buffer = of_.at(write.getValue());
        buffers_[buffer].kind = BufferKind::Prepared;
        buffers_[buffer].name = write.getState().str();
        buffers_[buffer].firstLaunch = buffers_[buffer].lastLaunch = -1;
        states_[write.getState().str()] = buffer;
      } else if (auto kernel = dyn_cast<KernelOp>(op)) {
        assign(kernel, launch++);
      } else if (!isa<func::ReturnOp>(op)) {
        return op.emitError("internal: an op without a buffer stands in @") << function.getSymName() << " after fuse";
      }
    }
    return success();
  }

  /// The one buffer of a parameter, state or prepared state.
  int stateBuffer(StringRef name, RankedTensorType type) {
    auto known = states_.find(name.str());
    if (known != states_.end())
      return known->second;
    Operation* state = SymbolTable::lookupSymbolIn(module_, name);
    int buffer = add(type, isa<ParameterOp>(state) ? BufferKind::Parameter : isa<StateOp>(state) ? BufferKind::State : BufferKind::Prepared, name.str());
    if (isa<ParameterOp, StateOp>(state))
      state->setAttr(bufferName, builder_.getI64IntegerAttr(buffer));
    return states_[name.str()] = buffer;
  }

  /// Whether an input's memory is free for a result of the same rows: made by a launch, nobody reads it behind the kernel, and neither is what a caller gets.
  bool diesIn(KernelOp kernel, unsigned input, Value output, std::optional<int> raggedBy) {
    Value made = kernel.getInputs()[input];
    while (auto reshape = made.getDefiningOp<ReshapeOp>())
      made = reshape.getX();
    int buffer = of_.at(made);
    if (buffers_[buffer].kind != BufferKind::Temporary || buffers_[buffer].raggedBy != raggedBy ||
        llvm::count_if(kernel.getInputs(), [&](Value value) { return of_.at(value) == buffer; }) != 1)
      return false;
    auto isReadBehind = [&](Value value) { return isUsed(value, [&](Operation* user) { return user != kernel && kernel->isBeforeInBlock(user); }); };
    auto isGiven = [&](Value value) { return isUsed(value, [](Operation* user) { return isa<func::ReturnOp>(user); }); };
    return !isReadBehind(made) && !isGiven(output);
  }

  /// By an op that is no view, in any shape.
  static bool isUsed(Value value, llvm::function_ref<bool(Operation*)> by) {
    return llvm::any_of(value.getUsers(), [&](Operation* user) { return isa<ReshapeOp>(user) ? isUsed(user->getResult(0), by) : by(user); });
  }

  void assign(KernelOp kernel, int launch) {
    SmallVector<int64_t> reads, writes;
    for (Value input : kernel.getInputs()) {
      int buffer = of_.at(input);
      reads.push_back(buffer);
      if (buffers_[buffer].kind == BufferKind::Temporary)
        buffers_[buffer].lastLaunch = launch;
    }
    Operation* yield = kernel.getBody().front().getTerminator();
    llvm::DenseMap<Value, int> ragged = raggedValues(kernel);
    SmallVector<codegen::InPlace> places = codegen::inPlaceOf(kernel);
    bool writesInPlace = listOf(kernel->getParentOfType<func::FuncOp>()) != LaunchList::Prepare;
    for (auto [number, output, value] : llvm::enumerate(kernel.getOutputs(), yield->getOperands())) {
      if (WriteOp write = writesInPlace ? writeOf(output) : nullptr) {
        writes.push_back(of_[output] = stateBuffer(write.getState(), cast<RankedTensorType>(output.getType())));
        continue;
      }
      auto routing = ragged.find(value);
      std::optional<int> raggedBy = routing != ragged.end() ? std::optional(routing->second) : std::nullopt;
      auto place = llvm::find_if(places, [&](const codegen::InPlace& one) { return one.output == number; });
      if (place != places.end() && diesIn(kernel, place->input, output, raggedBy)) {
        writes.push_back(of_[output] = of_.at(kernel.getInputs()[place->input]));
        continue;
      }
      int buffer = of_[output] = add(output.getType(), BufferKind::Temporary, kernel.getLabel().str() + " " + kernel.getKind().str());
      buffers_[buffer].firstLaunch = buffers_[buffer].lastLaunch = launch;
      buffers_[buffer].raggedBy = raggedBy;
      writes.push_back(buffer);
    }
    // Rows of a routing that the kernel makes.
    for (auto [value, routing] : raggedValues(kernel))
      for (auto [output, yielded] : llvm::zip(kernel.getOutputs(), yield->getOperands()))
        if (BufferInfo& buffer = buffers_[of_.at(output)]; yielded == value && buffer.kind == BufferKind::Temporary && buffer.firstLaunch == launch)
          buffer.raggedBy = routing;
    kernel->setAttr(readsName, builder_.getDenseI64ArrayAttr(reads));
    kernel->setAttr(writesName, builder_.getDenseI64ArrayAttr(writes));
  }

  /// Values of the kernel whose rows are those of a routing in memory, with its buffer: rows behind its count are undefined. A routing that the kernel makes
  /// is in memory once the kernel's results have buffers.
  llvm::DenseMap<Value, int> raggedValues(KernelOp kernel) {
    llvm::DenseMap<Value, int> ragged;
    Block& body = kernel.getBody().front();
    auto bufferOf = [&](Value value) -> std::optional<int> {
      if (auto argument = dyn_cast<BlockArgument>(value))
        return of_.at(kernel.getInputs()[argument.getArgNumber()]);
      for (auto [output, yielded] : llvm::zip(kernel.getOutputs(), body.getTerminator()->getOperands()))
        if (auto known = of_.find(output); yielded == value && known != of_.end())
          return known->second;
      return std::nullopt;
    };
    for (BlockArgument argument : body.getArguments())
      if (auto routing = buffers_[*bufferOf(argument)].raggedBy)
        ragged[argument] = *routing;
    auto mark = [&](Value value, Value like, int routing) {
      auto type = dyn_cast<RankedTensorType>(value.getType());
      if (type && type.getRank() > 0 && sizesOf(type)[0] == sizesOf(like)[0])
        ragged.try_emplace(value, routing);
    };
    auto markForwards = [&] {
      for (Operation& op : body.without_terminator()) {
        if (isa<CombineOp, ChoiceValuesOp, ExpertCountsOp, ExpertSumsOp, GroupedWeightGradOp>(op)) // their results have a row for each token or expert
          continue;
        for (Value operand : op.getOperands())
          if (isa<DispatchOp, GroupedMatmulOp, ExpertRowsOp>(op) && isa<RoutingType>(operand.getType()))
            if (auto routing = bufferOf(operand))
              ragged[op.getResult(0)] = *routing;
        for (Value operand : op.getOperands())
          if (auto known = ragged.find(operand); known != ragged.end())
            for (int routing = known->second; Value result : op.getResults())
              mark(result, operand, routing);
      }
    };
    markForwards();
    // What is made here for such rows alone, like a mask of random numbers, has no others either; nor has what is made of that.
    auto isRagged = [&](Operation* user) {
      return user->hasTrait<OpTrait::IsTerminator>() || (user->getNumResults() > 0 && ragged.contains(user->getResult(0)));
    };
    for (Operation& op : llvm::reverse(body.without_terminator())) {
      auto known = ragged.find(op.getResult(0));
      if (!isElementwise(&op) || known == ragged.end())
        continue;
      for (int routing = known->second; Value operand : op.getOperands())
        if (!isa<BlockArgument>(operand) && llvm::all_of(operand.getUsers(), isRagged) && sizesOf(operand).size() == sizesOf(op.getResult(0)).size())
          mark(operand, op.getResult(0), routing);
    }
    markForwards();
    // A gate whose tokens are rows of an outer routing looks at those that this has.
    for (auto assign : body.getOps<AssignOp>())
      if (Value within = assign.getWithin(); within && isa<BlockArgument>(within))
        for (Value value : body.getTerminator()->getOperands())
          if (auto type = dyn_cast<RankedTensorType>(value.getType()); type && type.getRank() > 0 && sizesOf(type)[0] == sizesOf(assign.getIndices())[0])
            ragged.try_emplace(value, *bufferOf(within));
    return ragged;
  }

  ModuleOp module_;
  Builder builder_;
  std::vector<BufferInfo> buffers_;
  llvm::DenseMap<Value, int> of_;
  std::map<std::string, int> states_;
};

} // namespace

LogicalResult assignBuffers(ModuleOp module) { return Assignment(module).run(); }

} // namespace moec::compiler
