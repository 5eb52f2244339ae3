// fuse-gates: scores, choice, weights and assignment of one MoE layer in one kernel, so that a token's scores never leave the core's registers and
// first-level cache. Stands before every other fusion, since the product of the scores would otherwise become a matmul kernel of its own.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// Works on each token by itself.
bool isTokenOp(Operation* op) { return isElementwise(op) || isa<SoftmaxOp, SelectOp, TakeOp, RandomOp, RowWeightsOp>(op) || alongLastAxis(op); }

bool rowsAreTokens(Value value, const Size& tokens) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && type.getRank() >= 1 && type.getRank() <= 2 && sizesOf(type).front() == tokens;
}

/// Adds what `value` is computed from, up to and with the product that makes the scores.
void growBackward(Cluster& cluster, Value value, const Size& tokens) {
  Operation* op = value.getDefiningOp();
  if (!op || !isFree(op) || cluster.contains(op))
    return;
  if (!llvm::all_of(op->getResults(), [&](Value result) { return rowsAreTokens(result, tokens); }))
    return;
  if (isa<MatmulOp>(op)) {
    cluster.add(op);
    return;
  }
  if (!isTokenOp(op))
    return;
  cluster.add(op);
  for (Value operand : op->getOperands())
    growBackward(cluster, operand, tokens);
}

/// What orders the rows of all tokens at once (places, swipe) ends a kernel and is one: first what makes its operands, then the op.
LogicalResult fuseOrders(func::FuncOp function) {
  auto next = [&]() -> Operation* {
    for (Operation& op : function.getOps())
      if (isa<PlacesOp, SwipeOp>(op))
        return &op;
    return nullptr;
  };
  while (Operation* order = next()) {
    Size tokens = sizesOf(order->getOperand(0)).front();
    std::optional<Cluster> makers;
    for (Value operand : order->getOperands())
      if (Operation* maker = operand.getDefiningOp(); maker && isFree(maker) && isTokenOp(maker)) {
        if (!makers)
          makers.emplace(maker), makers->remove(maker);
        growBackward(*makers, operand, tokens);
      }
    if (makers) {
      makers->prune([](Operation*) { return false; });
      if (makers->size() > 0 && failed(makers->outline("gate", "followed by " + nameInWords(order) + ", which needs all tokens")))
        return failure();
    }
    Cluster alone(order);
    if (failed(alone.outline(isa<PlacesOp>(order) ? "places" : "swipe", "it orders the rows of all tokens")))
      return failure();
  }
  return sortBody(function);
}

bool isChoice(Operation* op) { return isa<AssignOp, DropOp>(op); }

/// Where the assignment, or a drop behind it, needs what is made outside of the cluster from the cluster's own, as a sum over many columns of the weights:
/// takes out all that makes it. The kernel then begins behind that.
void cutInFront(Cluster& cluster) {
  auto reach = [](SmallVector<Operation*> work, bool forward) {
    llvm::DenseSet<Operation*> seen(work.begin(), work.end());
    auto visit = [&](Operation* op) {
      if (op && seen.insert(op).second)
        work.push_back(op);
    };
    while (!work.empty()) {
      Operation* op = work.pop_back_val();
      if (forward)
        llvm::for_each(op->getUsers(), visit);
      else
        for (Value operand : op->getOperands())
          visit(operand.getDefiningOp());
    }
    return seen;
  };
  llvm::DenseSet<Operation*> behind = reach(SmallVector<Operation*>(cluster.ops()), true);
  SmallVector<Operation*> needed;
  for (Operation* op : cluster.ops())
    for (Value operand : op->getOperands())
      if (Operation* maker = operand.getDefiningOp(); maker && isChoice(op) && !cluster.contains(maker) && behind.contains(maker))
        needed.push_back(maker);
  for (Operation* op : reach(needed, false))
    if (!isChoice(op))
      cluster.remove(op);
}

} // namespace

LogicalResult fuseGates(func::FuncOp function) {
  if (failed(fuseOrders(function)))
    return failure();
  SmallVector<AssignOp> assigns(function.getOps<AssignOp>());
  for (AssignOp assign : assigns) {
    Size tokens = Size::parse(cast<RoutingType>(assign.getRouting().getType()).getTokens().getValue().str());
    Cluster cluster(assign);
    growBackward(cluster, assign.getIndices(), tokens);
    if (assign.getKeep())
      growBackward(cluster, assign.getKeep(), tokens);
    Value routing = assign.getRouting();
    while (routing.hasOneUse() && isa<DropOp>(*routing.getUsers().begin())) {
      auto drop = cast<DropOp>(*routing.getUsers().begin());
      cluster.add(drop);
      growBackward(cluster, drop.getKeep(), tokens);
      routing = drop.getResult();
    }
    auto addWeights = [&](Value of) {
      for (Operation* user : of.getUsers())
        if (auto combine = dyn_cast<CombineOp>(user))
          growBackward(cluster, combine.getWeights(), tokens);
    };
    addWeights(routing);
    for (Operation* user : routing.getUsers())
      if (isa<ExpertsOfOp>(user))
        addWeights(user->getResult(0));
    // Weights may take a way that a gate's kernel has no op for, as a reshape: the choice then is its end.
    cluster.prune(isChoice);
    if (!cluster.isConvex()) {
      cutInFront(cluster);
      cluster.prune(isChoice);
    }
    if (failed(cluster.outline("gate", "the experts need the whole routing")))
      return failure();
  }
  // The parts of a routing are copies out of it: one kernel makes all of them, when it is complete.
  for (auto parts = function.getOps<ExpertsOfOp>(); !parts.empty(); parts = function.getOps<ExpertsOfOp>()) {
    ExpertsOfOp first = *parts.begin();
    Cluster cluster(first);
    for (Operation* user : first.getRouting().getUsers())
      if (isa<ExpertsOfOp>(user))
        cluster.add(user);
    if (failed(cluster.outline("gate", "each kind of experts has a routing of its own")))
      return failure();
  }
  return sortBody(function);
}

} // namespace moec::compiler
