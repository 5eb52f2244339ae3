// assign-buffers: every value gets a buffer. A reshape shares its operand's; what @forward returns lives in memory of its own, everything else
// between launches in one arena, from the launch that writes it to the last that reads it.

#include "compiler/passes/BufferTable.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

class Assignment {
public:
  explicit Assignment(ModuleOp module) : module_(module), builder_(module.getContext()) {}

  LogicalResult run() {
    if (auto prepare = module_.lookupSymbol<func::FuncOp>("prepare"))
      if (failed(assign(prepare)))
        return failure();
    auto forward = module_.lookupSymbol<func::FuncOp>("forward");
    for (auto [index, argument] : llvm::enumerate(forward.getArguments())) {
      auto name = forward.getArgAttrOfType<StringAttr>(index, "moe.input");
      if (argument.use_empty())
        continue;
      int buffer = add(argument, BufferKind::Input, name ? name.str() : "argument " + std::to_string(index));
      forward.setArgAttr(index, bufferName, builder_.getI64IntegerAttr(buffer));
    }
    if (failed(assign(forward)))
      return failure();
    Operation* end = forward.getBody().front().getTerminator();
    for (auto [index, value] : llvm::enumerate(end->getOperands())) {
      int buffer = of_.at(value);
      std::vector<Size> shape = sizesOf(cast<RankedTensorType>(value.getType()));
      if (buffers_[buffer].kind == BufferKind::Temporary) {
        buffers_[buffer].kind = BufferKind::Output;
        buffers_[buffer].firstLaunch = buffers_[buffer].lastLaunch = -1;
        buffers_[buffer].shape = shape; // as the caller sees it: a kernel that wrote it may call it (tokens, width)
      } else if (buffers_[buffer].shape != shape) {
        return end->emitError("an output is another shape of '") << buffers_[buffer].name << "', which is an input, a weight or an output itself: not supported";
      }
      forward.setResultAttr(index, bufferName, builder_.getI64IntegerAttr(buffer));
    }
    SmallVector<Attribute> table;
    for (const BufferInfo& buffer : buffers_)
      table.push_back(toAttribute(buffer, module_.getContext()));
    module_->setAttr(buffersName, builder_.getArrayAttr(table));
    return success();
  }

private:
  int add(Value value, BufferKind kind, std::string name) {
    BufferInfo buffer;
    buffer.name = std::move(name);
    buffer.kind = kind;
    if (auto routing = dyn_cast<RoutingType>(value.getType())) {
      Size rows = Size::parse(routing.getTokens().str()) * routing.getChoices();
      buffer.isRouting = true;
      buffer.experts = routing.getExperts();
      buffer.choices = routing.getChoices();
      buffer.dtype = DType::I32;
      buffer.shape = {rows * 2 + (routing.getExperts() + 1)};
    } else {
      auto type = cast<RankedTensorType>(value.getType());
      buffer.dtype = dtypeOf(type.getElementType());
      buffer.shape = sizesOf(type);
    }
    of_[value] = static_cast<int>(buffers_.size());
    buffers_.push_back(std::move(buffer));
    return of_[value];
  }

  LogicalResult assign(func::FuncOp function) {
    int launch = 0;
    for (Operation& op : function.getBody().front()) {
      if (auto read = dyn_cast<ReadOp>(op)) {
        stateBuffer(read.getState(), read.getResult());
      } else if (auto reshape = dyn_cast<ReshapeOp>(op)) {
        of_[reshape.getResult()] = of_.at(reshape.getX());
      } else if (auto write = dyn_cast<WriteOp>(op)) {
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

  void stateBuffer(StringRef state, Value value) {
    auto known = states_.find(state.str());
    if (known == states_.end()) {
      bool parameter = module_.lookupSymbol<ParameterOp>(state) != nullptr;
      states_[state.str()] = add(value, parameter ? BufferKind::Parameter : BufferKind::Prepared, state.str());
      if (auto op = module_.lookupSymbol<ParameterOp>(state))
        op->setAttr(bufferName, builder_.getI64IntegerAttr(of_[value]));
    } else {
      of_[value] = known->second;
    }
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
    for (auto [output, value] : llvm::zip(kernel.getOutputs(), yield->getOperands())) {
      int buffer = add(output, BufferKind::Temporary, kernel.getLabel().str() + " " + kernel.getKind().str());
      buffers_[buffer].firstLaunch = buffers_[buffer].lastLaunch = launch;
      if (auto routing = ragged.find(value); routing != ragged.end())
        buffers_[buffer].raggedBy = routing->second;
      writes.push_back(buffer);
    }
    kernel->setAttr(readsName, builder_.getDenseI64ArrayAttr(reads));
    kernel->setAttr(writesName, builder_.getDenseI64ArrayAttr(writes));
  }

  /// Values of the kernel whose rows are those of a routing in memory, with its buffer: rows behind its count are undefined.
  llvm::DenseMap<Value, int> raggedValues(KernelOp kernel) {
    llvm::DenseMap<Value, int> ragged;
    Block& body = kernel.getBody().front();
    auto bufferOf = [&](Value argument) { return of_.at(kernel.getInputs()[cast<BlockArgument>(argument).getArgNumber()]); };
    for (BlockArgument argument : body.getArguments())
      if (auto routing = buffers_[bufferOf(argument)].raggedBy)
        ragged[argument] = *routing;
    for (Operation& op : body.without_terminator()) {
      if (isa<CombineOp>(op)) // its result has a row for each token
        continue;
      for (Value operand : op.getOperands())
        if (isa<DispatchOp, GroupedMatmulOp, ExpertRowsOp>(op) && isa<RoutingType>(operand.getType()) && isa<BlockArgument>(operand))
          ragged[op.getResult(0)] = bufferOf(operand);
      for (Value operand : op.getOperands())
        if (auto known = ragged.find(operand); known != ragged.end()) {
          int routing = known->second;
          for (Value result : op.getResults())
            if (auto type = dyn_cast<RankedTensorType>(result.getType()); type && type.getRank() > 0 && sizesOf(type)[0] == sizesOf(operand)[0])
              ragged.try_emplace(result, routing);
        }
    }
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
