// join-layers: the gate and the experts of one MoE layer become one kernel of kind `moe_layer`, where the target's emitter says that one launch is better than
// theirs. The region is those of the parts, one behind the other. Why a layer is one launch or is not stands in the reason of its kernel or of its gate.
// In a step of training the rows of the experts that the way back reads are results; the combine then stands in a kernel of kind `rows`.
// Stands behind the fusions, which make the parts and are the same for every target, and behind join-gradients, which leaves few such rows; before
// choose-schedules, which gives the new kernel its own.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Origins.h"
#include "compiler/passes/Passes.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// Whether the kernel combines rows of the routing, and makes something of that alone.
bool combines(KernelOp kernel, Value routing) {
  auto ops = llvm::to_vector(kernel.getBody().getOps<CombineOp>());
  return (kernel.getKind() == "expert_down" || kernel.getKind() == "rows") && ops.size() == 1 && outside(kernel, ops[0].getRouting()) == routing;
}

/// A gate's kernel and the kernels of experts that use its routing, in order.
class Layer {
public:
  /// `mayGiveRows`: rows of the experts may be results, and the combine may stand in a kernel of other kind than its product.
  Layer(KernelOp gate, bool mayGiveRows) : gate_(gate), mayGiveRows_(mayGiveRows) {
    parts_.push_back(gate);
    SmallVector<KernelOp> ends;
    for (Value output : gate.getOutputs())
      if (isa<RoutingType>(output.getType()))
        for (Operation* user : output.getUsers())
          if (auto kernel = dyn_cast<KernelOp>(user); kernel && combines(kernel, output) && !llvm::is_contained(ends, kernel))
            ends.push_back(kernel);
    // In a step of training the gradient of x is combined by the same routing later: the first combine is the layer's.
    llvm::sort(ends, [](KernelOp a, KernelOp b) { return a->isBeforeInBlock(b); });
    if (mayGiveRows && ends.size() > 1)
      ends.resize(1);
    ends_ = ends.size();
    parts_.append(ends);
    // What they combine, and what that is made of.
    for (size_t i = 1; i < parts_.size(); ++i)
      for (Value input : parts_[i].getInputs())
        if (auto kernel = input.getDefiningOp<KernelOp>(); kernel && isOfExperts(kernel) && !isPart(kernel))
          parts_.push_back(kernel);
    llvm::sort(parts_, [](KernelOp a, KernelOp b) { return a->isBeforeInBlock(b); });
  }

  bool hasExperts() const { return parts_.size() > 1; }
  /// Why the parts cannot be one kernel on any target; empty when they can.
  std::string obstacle();
  /// Puts the parts one behind the other: what stands between them goes before the gate, or behind the last part where it needs one of them. Where obstacle()
  /// is empty. So the kernels have the same order on every target, whichever joins the layer, and a check of two targets finds them.
  void gather();
  /// The kernel that the parts would be, beside them.
  KernelOp joined();
  void replaceBy(KernelOp layer);
  void note(const std::string& why) { addReason(gate_, "not one launch with its experts: " + why); }

private:
  bool isPart(Operation* op) const {
    return llvm::any_of(parts_, [&](KernelOp part) { return part.getOperation() == op; });
  }
  bool isOfExperts(KernelOp kernel) {
    return kernel.getKind().starts_with("expert_") &&
           llvm::any_of(kernel.getInputs(), [&](Value input) { return isa<RoutingType>(input.getType()) && input.getDefiningOp() == gate_.getOperation(); });
  }
  bool isUsedOutside(Value value) const {
    return llvm::any_of(value.getUsers(), [&](Operation* user) { return !isPart(user); });
  }
  std::string between() const;

  KernelOp gate_;
  bool mayGiveRows_;
  SmallVector<KernelOp> parts_;
  size_t ends_; // parts that combine
};

/// The first op that stands on a way out of the layer and back into it.
std::string Layer::between() const {
  for (KernelOp part : parts_)
    for (Operation* first : part->getUsers()) {
      SmallVector<Operation*> work;
      llvm::DenseSet<Operation*> seen;
      if (!isPart(first))
        work.push_back(first);
      while (!work.empty())
        for (Operation* user : work.pop_back_val()->getUsers()) {
          if (isPart(user))
            return nameInWords(first);
          if (seen.insert(user).second)
            work.push_back(user);
        }
    }
  return {};
}

std::string Layer::obstacle() {
  for (AssignOp assign : gate_.getBody().front().getOps<AssignOp>()) {
    if (assign.getWithin())
      return "its routing is within another";
    if (assign.getGroups())
      return "its routing is by groups";
    if (assign.getBounded())
      return "its rows are fewer than its choices";
  }
  if (ends_ != 1 || parts_.front() != gate_)
    return "its experts do not end in one combine";
  if (!mayGiveRows_ && parts_.back().getKind() != "expert_down")
    return "its experts do not end in one expert_down kernel";
  for (KernelOp part : parts_) {
    if (part.getSchedule())
      return "its " + part.getKind().str() + " kernel has a schedule already";
    if (!mayGiveRows_ && part != gate_ && part != parts_.back() && llvm::any_of(part.getOutputs(), [&](Value output) { return isUsedOutside(output); }))
      return "its experts' rows are used elsewhere";
  }
  if (std::string name = between(); !name.empty())
    return name + " stands between its parts";
  return {};
}

void Layer::gather() {
  Cluster parts(gate_);
  for (KernelOp part : parts_)
    parts.add(part);
  parts.gather();
}

KernelOp Layer::joined() {
  llvm::SetVector<Value> inputs;
  SmallVector<Value> outputs;
  for (KernelOp part : parts_) {
    for (Value input : part.getInputs())
      if (!isPart(input.getDefiningOp()))
        inputs.insert(input);
    for (Value output : part.getOutputs())
      if (isUsedOutside(output))
        outputs.push_back(output);
  }
  KernelOp last = parts_.back();
  OpBuilder builder(last);
  SmallVector<Type> types(llvm::map_range(outputs, [](Value value) { return value.getType(); }));
  auto layer = KernelOp::create(builder, last.getLoc(), types, inputs.getArrayRef(), builder.getStringAttr("moe_layer"), last.getLabelAttr(),
                                last.getReasonAttr(), DictionaryAttr());
  Block* body = builder.createBlock(&layer.getBody());
  IRMapping mapping;
  for (Value input : inputs)
    mapping.map(input, body->addArgument(input.getType(), input.getLoc()));
  for (KernelOp part : parts_) {
    Block& ops = part.getBody().front();
    for (auto [argument, input] : llvm::zip(ops.getArguments(), part.getInputs()))
      mapping.map(argument, mapping.lookup(input));
    for (Operation& op : ops.without_terminator())
      builder.clone(op, mapping);
    for (auto [output, value] : llvm::zip(part.getOutputs(), ops.getTerminator()->getOperands()))
      mapping.map(output, mapping.lookup(value));
  }
  SmallVector<Value> yielded(llvm::map_range(outputs, [&](Value value) { return mapping.lookup(value); }));
  YieldOp::create(builder, last.getLoc(), yielded);
  return layer;
}

void Layer::replaceBy(KernelOp layer) {
  auto output = layer.getOutputs().begin();
  for (KernelOp part : parts_)
    for (Value before : part.getOutputs())
      if (isUsedOutside(before))
        before.replaceUsesWithIf(*output++, [&](OpOperand& use) { return !isPart(use.getOwner()); });
  for (KernelOp part : llvm::reverse(parts_))
    part.erase();
}

} // namespace

LogicalResult joinLayers(func::FuncOp function, codegen::KernelEmitter& emitter, bool mayGiveRows) {
  SmallVector<KernelOp> gates;
  for (KernelOp kernel : function.getOps<KernelOp>())
    if (kernel.getKind() == "gate")
      gates.push_back(kernel);
  for (KernelOp gate : gates) {
    Layer layer(gate, mayGiveRows);
    if (!layer.hasExperts())
      continue;
    if (std::string why = layer.obstacle(); !why.empty()) {
      layer.note(why);
      continue;
    }
    layer.gather();
    KernelOp joined = layer.joined();
    codegen::LayerChoice choice = emitter.chooseLayer(joined);
    if (!choice.joined) {
      joined.erase();
      layer.note(choice.reason);
      continue;
    }
    addReason(joined, "one launch: " + choice.reason);
    layer.replaceBy(joined);
  }
  return sortBody(function);
}

} // namespace moec::compiler
