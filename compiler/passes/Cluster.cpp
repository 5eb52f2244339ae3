#include "compiler/passes/Cluster.h"

#include "codegen/analysis/Operands.h"
#include "compiler/passes/RowsOfRoutings.h"

#include "mlir/Analysis/TopologicalSortUtils.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

bool isFree(Operation* op) { return !isa<KernelOp, ReadOp, WriteOp, func::ReturnOp>(op); }

std::string nameInWords(Operation* op) {
  if (auto kernel = dyn_cast<KernelOp>(op))
    return (StringRef("aeiou").contains(kernel.getKind().front()) ? "an " : "a ") + kernel.getKind().str() + " kernel";
  return op->getName().stripDialect().str();
}

void addReason(KernelOp kernel, const std::string& why) {
  std::string before = kernel.getReason().value_or("").str();
  kernel.setReasonAttr(StringAttr::get(kernel.getContext(), before.empty() ? why : before + "; " + why));
}

LogicalResult sortBody(func::FuncOp function) { return success(sortTopologically(&function.getBody().front())); }

bool Cluster::isConvex() const {
  SmallVector<Operation*> work;
  llvm::DenseSet<Operation*> seen;
  for (Operation* op : ops_)
    for (Operation* user : op->getUsers())
      if (!ops_.contains(user) && seen.insert(user).second)
        work.push_back(user);
  while (!work.empty()) {
    Operation* op = work.pop_back_val();
    if (ops_.contains(op))
      return false;
    for (Operation* user : op->getUsers())
      if (seen.insert(user).second)
        work.push_back(user);
  }
  return true;
}

size_t Cluster::buffers() const {
  llvm::DenseSet<Value> inputs;
  size_t results = 0;
  for (Operation* op : ops_) {
    for (Value operand : op->getOperands())
      if (Operation* definition = operand.getDefiningOp(); !definition || !(ops_.contains(definition) || isa<ConstantOp>(definition)))
        inputs.insert(operand);
    for (Value result : op->getResults())
      results += llvm::any_of(result.getUsers(), [&](Operation* user) { return !ops_.contains(user); });
  }
  return inputs.size() + results;
}

void Cluster::prune(llvm::function_ref<bool(Operation*)> kept) {
  for (bool changed = true; changed;) {
    // What is outside and needs the cluster.
    llvm::DenseSet<Operation*> behind;
    SmallVector<Operation*> work;
    auto visit = [&](Operation* op) {
      for (Operation* user : op->getUsers())
        if (!ops_.contains(user) && behind.insert(user).second)
          work.push_back(user);
    };
    for (Operation* op : ops_)
      visit(op);
    while (!work.empty())
      visit(work.pop_back_val());
    changed = ops_.remove_if([&](Operation* op) {
      return !kept(op) && llvm::any_of(op->getOperands(), [&](Value operand) { return operand.getDefiningOp() && behind.contains(operand.getDefiningOp()); });
    });
  }
}

static bool isNumbers(Value value) {
  auto constant = value.getDefiningOp<ConstantOp>();
  return constant && isa<SplatElementsAttr>(constant.getValue());
}

bool alongLastAxis(Operation* op) {
  auto last = [](Value x, uint64_t axis) { return static_cast<int64_t>(axis) + 1 == cast<RankedTensorType>(x.getType()).getRank(); };
  if (auto slice = dyn_cast<SliceOp>(op))
    return last(slice.getX(), slice.getAxis());
  if (auto reduce = dyn_cast<ReduceOp>(op))
    return last(reduce.getX(), reduce.getAxis());
  if (auto concat = dyn_cast<ConcatOp>(op))
    return last(concat.getXs().front(), concat.getAxis());
  return false;
}

bool isMask(Operation* op) {
  return isa_and_nonnull<CompareOp>(op) &&
         llvm::all_of(op->getOperands(), [](Value operand) { return isNumbers(operand) || (operand.getDefiningOp<RandomOp>() && operand.hasOneUse()); });
}

bool isOfMask(Value value) {
  SmallVector<Operation*> open{value.getDefiningOp()};
  llvm::DenseSet<Operation*> seen;
  while (!open.empty()) {
    Operation* op = open.pop_back_val();
    if (isMask(op))
      continue;
    if (!op || !isFree(op) || !isElementwise(op) || llvm::all_of(op->getOperands(), isNumbers))
      return false;
    for (Value operand : op->getOperands())
      if (!isNumbers(operand) && seen.insert(operand.getDefiningOp()).second)
        open.push_back(operand.getDefiningOp());
  }
  return true;
}

namespace {

/// Behind it bf16 is rounded no more: what is stored before it is half as large, and exact.
bool widensBFloat16(Operation* op) { return isa<CastOp>(op) && dtypeOf(cast<RankedTensorType>(op->getOperand(0).getType()).getElementType()) == DType::BF16; }

/// The first op behind it in the block that is more than elementwise and needs what it makes; null without one.
Operation* firstWorkBehind(Operation* op) {
  Operation* first = nullptr;
  SmallVector<Operation*> open{op};
  llvm::DenseSet<Operation*> seen;
  while (!open.empty())
    for (Operation* user : open.pop_back_val()->getUsers()) {
      if (!seen.insert(user).second || isa<func::ReturnOp>(user))
        continue;
      if (isElementwise(user) || isa<ReshapeOp>(user))
        open.push_back(user);
      else if (!first || user->isBeforeInBlock(first))
        first = user;
    }
  return first;
}

/// The op that goes on with a value in the same kernel: its only user, or the first of several where the others stand behind work that needs its result, as a
/// backward part behind the loss. The value then is a result too, which those read from memory. Null when there is none.
Operation* nextUser(Value value) {
  if (value.hasOneUse())
    return *value.getUsers().begin();
  Operation* first = nullptr;
  for (Operation* user : value.getUsers())
    if (!first || user->isBeforeInBlock(first))
      first = user;
  Operation* work = first && isElementwise(first) ? firstWorkBehind(first) : nullptr;
  // A reduction computes what it sums up by itself.
  bool othersAreFar = work && !isa<ReduceOp>(work) && llvm::all_of(value.getUsers(), [&](Operation* user) {
                        return user == first || (work->isBeforeInBlock(user) && !isa<func::ReturnOp>(user));
                      });
  return othersAreFar ? first : nullptr;
}

/// Longer ways than those of activations are not looked for.
constexpr size_t kMostOpsToJoin = 32;

/// The elementwise ops between a value and the first that all its users lead to, in order and with that one, as the product in x * sigmoid(1.7 x): nobody else
/// reads what they make. Empty without one.
SmallVector<Operation*> wayToJoin(Value value) {
  SmallVector<Operation*> way;
  llvm::SetVector<Operation*> open(value.user_begin(), value.user_end());
  while (!open.empty() && way.size() < kMostOpsToJoin) {
    Operation* op = *llvm::min_element(open, [](Operation* a, Operation* b) { return a->isBeforeInBlock(b); });
    if (!isElementwise(op) || !isFree(op) || widensBFloat16(op) || sizesOf(op->getResult(0)) != sizesOf(value))
      return {};
    open.remove(op);
    way.push_back(op);
    if (open.empty()) {
      // A reduction computes what it sums up by itself.
      Operation* work = firstWorkBehind(op);
      return work && isa<ReduceOp>(work) ? SmallVector<Operation*>() : way;
    }
    open.insert(op->user_begin(), op->user_end());
  }
  return {};
}

/// What is made of a mask, made once more; each value once, as `made` has them.
Value cloneOfMask(Value value, OpBuilder& builder, IRMapping& made) {
  if (Value known = made.lookupOrNull(value))
    return known;
  Operation* op = value.getDefiningOp();
  if (isMask(op) || !isOfMask(value))
    return value;
  for (Value operand : op->getOperands())
    cloneOfMask(operand, builder, made);
  return builder.clone(*op, made)->getResult(0);
}

/// Gives an op factors of its own where they are made of a mask for others too, as the backward part of a dropout: all then read the mask.
void ownFactors(OpOperand& use) {
  if (use.get().hasOneUse() || !isOfMask(use.get()))
    return;
  OpBuilder builder(use.getOwner());
  IRMapping made;
  use.set(cloneOfMask(use.get(), builder, made));
}

/// Uniform draws cost a product's epilogue little; normal ones take as many registers as the product.
bool isCheapDraw(Operation* op) {
  auto random = dyn_cast<RandomOp>(op);
  return random && random.getDistribution() == Distribution::Uniform;
}

/// Whether a value is there before any op that stands free.
bool isInMemory(Value value) {
  while (auto reshape = value.getDefiningOp<ReshapeOp>())
    value = reshape.getX();
  Operation* op = value.getDefiningOp();
  if (auto constant = dyn_cast_or_null<ConstantOp>(op))
    return isa<SplatElementsAttr>(constant.getValue());
  return !op || isa<ReadOp, KernelOp>(op);
}

} // namespace

bool Cluster::collectMakers(Value value, SmallVectorImpl<Operation*>& makers) const {
  Operation* op = value.getDefiningOp();
  if (isInMemory(value) || contains(op) || llvm::is_contained(makers, op))
    return true;
  if (!isFree(op) || !(isElementwise(op) || isCheapDraw(op)) || !(value.hasOneUse() || isOfMask(value)))
    return false;
  makers.push_back(op);
  return llvm::all_of(op->getOperands(),
                      [&](Value operand) { return isInMemory(operand) || (sizesOf(operand) == sizesOf(value) && collectMakers(operand, makers)); });
}

bool Cluster::mayGive(Value mask, Operation* user) const {
  RowsOfRoutings rows(root_->getParentOfType<func::FuncOp>());
  // The kernel's rows end where those do that its members make: also behind a choice between rows and numbers, whose rows are all defined by themselves.
  llvm::SetVector<Operation*> way;
  way.insert(user);
  for (size_t i = 0; i < way.size(); ++i) {
    if (Value routing = rows.routingOf(way[i]->getResult(0)); routing && rows.isReadBehindCount(mask, routing))
      return false;
    if (isElementwise(way[i]) || isa<ReshapeOp>(way[i]))
      for (Value operand : way[i]->getOperands())
        if (Operation* maker = operand.getDefiningOp(); maker && contains(maker))
          way.insert(maker);
  }
  return true;
}

void Cluster::addMakers(Operation* user) {
  for (OpOperand& use : user->getOpOperands()) {
    ownFactors(use);
    Value operand = use.get();
    if (auto rows = operand.getDefiningOp<ExpertRowsOp>(); rows && rows->hasOneUse())
      add(rows);
    SmallVector<Operation*> makers;
    if (sizesOf(operand) != sizesOf(user->getResult(0)) || !collectMakers(operand, makers))
      continue;
    // Among what is made of a mask, one may use another more than once; but nobody else does.
    auto isOwn = [&](Operation* maker) {
      return llvm::all_of(maker->getUsers(), [&](Operation* by) { return contains(by) || llvm::is_contained(makers, by); });
    };
    if (llvm::all_of(makers, [&](Operation* maker) { return isOwn(maker) || (isMask(maker) && mayGive(maker->getResult(0), user)); }))
      ops_.insert_range(makers);
  }
}

Value Cluster::growForward(Value value, std::string& reason) {
  // Where the cluster gives more than `value`, what joins it may need what comes behind it.
  bool givesMore = llvm::any_of(ops_, [&](Operation* op) {
    return llvm::any_of(op->getResults(),
                        [&](Value result) { return result != value && llvm::any_of(result.getUsers(), [&](Operation* user) { return !contains(user); }); });
  });
  while (true) {
    Operation* user = nextUser(value);
    SmallVector<Operation*> way = user ? SmallVector<Operation*>{user} : wayToJoin(value);
    if (way.empty()) {
      reason = value.use_empty() ? "its result is not used" : "its result is used more than once";
      return value;
    }
    bool joins = !user;
    user = way.back();
    std::string name = nameInWords(user);
    if (isa<func::ReturnOp>(user)) {
      reason = "its result is an output";
      return value;
    }
    if (!isElementwise(user) || !isFree(user) || widensBFloat16(user)) {
      reason = "followed by " + name;
      return value;
    }
    if (sizesOf(user->getResult(0)) != sizesOf(value)) {
      reason = "followed by " + name + " of another shape";
      return value;
    }
    givesMore |= !joins && !value.hasOneUse();
    llvm::SetVector<Operation*> before = ops_;
    ops_.insert_range(way);
    llvm::for_each(way, [&](Operation* op) { addMakers(op); });
    givesMore |= llvm::any_of(ArrayRef(ops()).drop_front(before.size()), [](Operation* op) { return isMask(op) && !op->hasOneUse(); });
    if (givesMore && !isConvex()) {
      ops_ = std::move(before);
      reason = "followed by " + name + ", which needs what comes behind it";
      return value;
    }
    value = user->getResult(0);
  }
}

namespace {

bool exchangesLastTwo(TransposeOp transpose) {
  auto rank = static_cast<int64_t>(transpose.getPermutation().size());
  for (auto [i, from] : llvm::enumerate(transpose.getPermutation()))
    if (auto to = static_cast<int64_t>(i); from != (to + 2 < rank ? to : 2 * rank - 3 - to))
      return false;
  return rank >= 2;
}

} // namespace

void Cluster::addOwn(OpOperand& operand) {
  Operation* op = operand.get().getDefiningOp();
  if (!op->hasOneUse()) {
    OpBuilder builder(operand.getOwner());
    op = builder.clone(*op);
    operand.set(op->getResult(0));
  }
  add(op);
}

void Cluster::addExchange(OpOperand& operand) {
  if (auto transpose = operand.get().getDefiningOp<TransposeOp>(); transpose && exchangesLastTwo(transpose))
    addOwn(operand);
}

void Cluster::addRowsOfWeight(OpOperand& operand) {
  auto exchange = operand.get().getDefiningOp<TransposeOp>();
  OpOperand& rows = exchange && contains(exchange) ? exchange.getXMutable() : operand;
  if (SliceOp slice = codegen::rowsSlice(rows.get()); slice && slice.getX().getDefiningOp<ReadOp>())
    addOwn(rows);
}

bool Cluster::addIfConvex(Operation* op) {
  if (contains(op))
    return true;
  add(op);
  if (isConvex())
    return true;
  ops_.remove(op);
  return false;
}

ReduceOp sumOfRows(Operation* op) {
  auto reduce = dyn_cast<ReduceOp>(op);
  bool isSum = reduce && isFree(op) && reduce.getKind() == ReduceKind::Sum && reduce.getAxis() == 0 && sizesOf(reduce.getX()).size() == 2;
  return isSum ? reduce : ReduceOp();
}

void Cluster::addSumsOfRows(Value rows) {
  Sizes sizes = sizesOf(rows);
  if (sizes.size() != 2)
    return;
  Value whole = rows;
  while (auto reshape = whole.getDefiningOp<ReshapeOp>())
    whole = reshape.getX();
  SmallVector<ReduceOp> sums;
  SmallVector<Value> views{whole};
  while (!views.empty())
    for (Operation* user : views.pop_back_val().getUsers()) {
      if (isa<ReshapeOp>(user))
        views.push_back(user->getResult(0));
      else if (ReduceOp sum = sumOfRows(user); sum && sizesOf(sum.getX()) == sizes)
        sums.push_back(sum);
    }
  for (ReduceOp sum : sums) {
    Value before = sum.getX();
    sum.getXMutable().set(rows);
    if (!addIfConvex(sum))
      sum.getXMutable().set(before);
  }
}

void Cluster::gather() {
  auto isBefore = [](Operation* a, Operation* b) { return a->isBeforeInBlock(b); };
  Operation *first = *llvm::min_element(ops_, isBefore), *last = *llvm::max_element(ops_, isBefore), *behind = last;
  llvm::SmallPtrSet<Operation*, 8> needsMembers;
  SmallVector<Operation*> span;
  for (Operation* op = first; op != last; op = op->getNextNode())
    span.push_back(op);
  for (Operation* op : span) {
    if (contains(op)) {
      needsMembers.insert(op);
    } else if (llvm::any_of(op->getOperands(), [&](Value operand) { return needsMembers.contains(operand.getDefiningOp()); })) {
      needsMembers.insert(op);
      op->moveAfter(behind);
      behind = op;
    } else {
      op->moveBefore(first);
    }
  }
}

FailureOr<KernelOp> Cluster::outline(StringRef kind, StringRef reason) {
  if (!isConvex())
    return root_->emitError("internal: the ops chosen for a '") << kind << "' kernel depend on what comes after it";
  SmallVector<Operation*> order;
  for (Operation& op : *root_->getBlock())
    if (ops_.contains(&op))
      order.push_back(&op);

  llvm::SetVector<Value> inputs;
  llvm::SetVector<Operation*> constants;
  SmallVector<Value> outputs;
  for (Operation* op : order) {
    for (Value operand : op->getOperands()) {
      Operation* definition = operand.getDefiningOp();
      if (definition && ops_.contains(definition))
        continue;
      if (isa_and_nonnull<ConstantOp>(definition) || (isa_and_nonnull<SizeOp>(definition) && (kind == "loops" || kind == "rows")))
        constants.insert(definition);
      else
        inputs.insert(operand);
    }
    for (Value result : op->getResults())
      if (llvm::any_of(result.getUsers(), [&](Operation* user) { return !ops_.contains(user); }))
        outputs.push_back(result);
  }

  OpBuilder builder(order.back());
  SmallVector<Type> types(llvm::map_range(outputs, [](Value value) { return value.getType(); }));
  auto kernel = KernelOp::create(builder, root_->getLoc(), types, inputs.getArrayRef(), builder.getStringAttr(kind),
                                 builder.getStringAttr(pathOf(root_->getLoc())), builder.getStringAttr(reason), DictionaryAttr());
  Block* body = builder.createBlock(&kernel.getBody());
  IRMapping mapping;
  for (Value input : inputs)
    mapping.map(input, body->addArgument(input.getType(), input.getLoc()));
  for (Operation* constant : constants)
    builder.clone(*constant, mapping);
  for (Operation* op : order)
    builder.clone(*op, mapping);
  SmallVector<Value> yielded(llvm::map_range(outputs, [&](Value value) { return mapping.lookup(value); }));
  YieldOp::create(builder, root_->getLoc(), yielded);

  for (auto [output, result] : llvm::zip(outputs, kernel.getOutputs()))
    output.replaceUsesWithIf(result, [&](OpOperand& use) { return !ops_.contains(use.getOwner()); });
  for (Operation* op : llvm::reverse(order))
    op->erase();
  for (Operation* constant : constants)
    if (constant->use_empty())
      constant->erase();
  return kernel;
}

} // namespace moec::compiler
