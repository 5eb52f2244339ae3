// join-gradients: the way back through the experts of one MoE layer becomes one kernel of kind `layer_grad`, where the target's emitter says that one launch is
// better than its parts:
//   rows         dy of each row by its choice's weight; the weight's gradient: the row of dy times the row that was combined
//   weight_grad  of the last weight and bias
//   expert_mid   times the last weight, through the activation; of gated experts through two ways, in kernels of elementwise ops behind it
//   weight_grad  of the first weights and biases, one or, of gated experts, two; rows of x by the list, which no other kernel then needs
// What was combined, h W + b of the hidden rows h, is not read: dy (h W + b) is (dy W^T) h + dy b, and dy W^T is made anyhow. So it need not be kept from the
// way there.
// Stands behind the fusions, which make the parts and are the same for every target, and before choose-schedules, which gives the new kernel its own.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Origins.h"
#include "compiler/passes/Passes.h"

#include "mlir/IR/IRMapping.h"

#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// What a kernel yields for a value, and the kernel; nulls where no kernel makes it.
std::pair<KernelOp, Value> madeIn(Value value) {
  auto kernel = value.getDefiningOp<KernelOp>();
  if (!kernel)
    return {};
  return {kernel, kernel.getBody().front().getTerminator()->getOperand(cast<OpResult>(value).getResultNumber())};
}

/// The value outside that a dispatch in a kernel of the routing gathers; null where it is none.
Value gathered(KernelOp kernel, Value rows, Value routing) {
  auto dispatch = rows.getDefiningOp<DispatchOp>();
  return dispatch && outside(kernel, dispatch.getRouting()) == routing ? outside(kernel, dispatch.getX()) : Value();
}

/// What a weight is an exchange of, where it is one; else itself.
Value withoutExchange(Value weight) {
  auto exchange = weight.getDefiningOp<TransposeOp>();
  return exchange ? exchange.getX() : weight;
}

/// A kernel's one product; null where it has none or several.
GroupedMatmulOp onlyProduct(KernelOp kernel) {
  auto products = llvm::to_vector(kernel.getBody().getOps<GroupedMatmulOp>());
  return products.size() == 1 ? products[0] : GroupedMatmulOp();
}

/// What draws again, or reads rows in another order, keeps its place.
bool isOfElements(Operation& op) { return isElementwise(&op) || isa<ConstantOp, ExpertRowsOp>(op); }

class WayBack {
public:
  explicit WayBack(KernelOp middle) : middle_(middle), makers_{middle}, parts_(middle) {}

  /// Whether the kernel stands in the middle of such a way: it multiplies rows of dy, by their choices' weights, by a weight.
  bool match();
  /// Why the way cannot be one kernel on any target; empty when it can.
  std::string obstacle();
  /// The whole, beside the parts; null where a part makes the hidden rows of more than it reads.
  KernelOp joined();
  void replaceBy(KernelOp whole);
  void note(const std::string& why) { addReason(rows_, "not one launch with its experts' gradients: " + why); }

private:
  bool matchChoices();
  bool matchHidden();
  bool matchCombined();
  void addBehind();
  bool isWeightGrad(KernelOp kernel) const;
  void addWeightGrad(KernelOp kernel);
  bool isUsedOutside(Value value) const {
    return llvm::any_of(value.getUsers(), [&](Operation* user) { return !parts_.contains(user); });
  }
  SmallVector<KernelOp> inOrder() const;
  Value input(Value value);
  bool isRead(Value value) const {
    return llvm::any_of(makers_, [&](KernelOp maker) { return llvm::is_contained(maker->getOperands(), value); });
  }
  Value hiddenRows(OpBuilder& builder);
  Value makeAgain(OpBuilder& builder, KernelOp maker, Value inner, IRMapping& made);
  void copyOps(KernelOp part, IRMapping& known, OpBuilder& builder);
  Value choiceGradient(OpBuilder& builder, Value gathered, Value product, Value hidden);

  KernelOp middle_, rows_;
  SmallVector<KernelOp> makers_;      // of gradients of rows: the one in the middle, and elementwise ones behind it
  SmallVector<KernelOp> weightGrads_; // the last weight's first
  Cluster parts_;                     // all of them
  GroupedMatmulOp product_;
  Value routing_, dy_, choices_, weight_, weightedRows_; // choices_: their weights
  Value ofChoices_;                                      // the gradient of these; null where none is needed
  Value hidden_, combined_, bias_;                       // null: nothing was combined by weights that learn; no bias
  llvm::MapVector<Value, Value> gatheredRows_;           // rows that others read, and what they are gathered from
  // Of the kernel that is made:
  Block* body_ = nullptr;
  SmallVector<Value> inputs_;
  DenseMap<Value, Value> arguments_;
};

bool WayBack::match() {
  product_ = onlyProduct(middle_);
  if (!product_)
    return false;
  weightedRows_ = outside(middle_, product_.getRows());
  weight_ = outside(middle_, withoutExchange(product_.getW()));
  routing_ = outside(middle_, product_.getRouting());
  if (!weightedRows_ || !weight_)
    return false;
  auto [kernel, made] = madeIn(weightedRows_);
  auto weighted = kernel ? made.getDefiningOp<MulOp>() : MulOp();
  auto ofRows = weighted ? weighted.getB().getDefiningOp<RowWeightsOp>() : RowWeightsOp();
  if (!ofRows || kernel.getKind() != "rows" || outside(kernel, ofRows.getRouting()) != routing_)
    return false;
  rows_ = kernel;
  parts_.add(rows_);
  choices_ = outside(rows_, ofRows.getWeights());
  dy_ = gathered(rows_, weighted.getA(), routing_);
  return dy_ && choices_;
}

std::string WayBack::obstacle() {
  for (Operation& op : middle_.getBody().front().without_terminator())
    if (!isOfElements(op) && &op != product_ && !isa<TransposeOp>(op))
      return nameInWords(&op) + " stands beside the product with the last weight";
  if (!matchChoices())
    return "its rows are used for more than the gradients of the last weight and of the choices' weights";
  if (!matchHidden())
    return "the gradient of the last weight is not made of the weighted rows and hidden ones alone";
  if (!matchCombined())
    return "what was combined is more than the hidden rows times the last weight, and a bias";
  addBehind();
  if (!parts_.isConvex())
    return "something stands between its parts";
  // It would be lost.
  if (llvm::any_of(inOrder(), [](KernelOp kernel) { return kernel.getSchedule().has_value(); }))
    return "one of its kernels has a schedule already";
  return {};
}

/// Beside the weighted rows their kernel gives the sums of dy's products with what was combined, and no more.
bool WayBack::matchChoices() {
  for (Value output : rows_.getOutputs()) {
    if (output == weightedRows_)
      continue;
    auto sum = madeIn(output).second.getDefiningOp<ReduceOp>();
    auto terms = sum ? sum.getX().getDefiningOp<MulOp>() : MulOp();
    if (ofChoices_ || !terms || sum.getKind() != ReduceKind::Sum || sum.getAxis() != 1 || gathered(rows_, terms.getA(), routing_) != dy_)
      return false;
    ofChoices_ = output;
    combined_ = terms.getB();
  }
  return true;
}

/// The hidden rows: what the gradient of the last weight reads beside the weighted rows.
bool WayBack::matchHidden() {
  for (Operation* user : weightedRows_.getUsers()) {
    auto kernel = dyn_cast<KernelOp>(user);
    if (kernel == middle_)
      continue;
    if (!kernel || !isWeightGrad(kernel))
      return false;
    addWeightGrad(kernel);
    for (auto gradient : kernel.getBody().getOps<GroupedWeightGradOp>())
      if (outside(kernel, gradient.getDy()) == weightedRows_)
        hidden_ = outside(kernel, gradient.getRows());
  }
  return weightGrads_.size() == 1 && hidden_;
}

/// What was combined is the hidden rows times the last weight, and the rows of a bias; or the same made again.
bool WayBack::matchCombined() {
  if (!combined_)
    return true;
  Value made = originOf(combined_);
  if (auto sum = made.getDefiningOp<AddOp>()) {
    auto table = originOf(sum.getB()).getDefiningOp<ExpertRowsOp>();
    bias_ = table ? outside(table->getParentOfType<KernelOp>(), table.getTable()) : Value();
    if (!bias_ || originOf(table.getRouting()) != originOf(routing_))
      return false;
    made = originOf(sum.getA());
  }
  auto product = made.getDefiningOp<GroupedMatmulOp>();
  if (!product || originOf(product.getRouting()) != originOf(routing_) || !isMadeAlike(product.getRows(), hidden_))
    return false;
  Value weight = withoutExchange(product.getW());
  return originOf(weight) == originOf(weight_) && (weight == product.getW()) != (product_.getW() == withoutExchange(product_.getW()));
}

/// Whether a kernel gives gradients and sums of rows that are its arguments, and nothing made of them.
bool WayBack::isWeightGrad(KernelOp kernel) const {
  return kernel.getKind() == "weight_grad" && llvm::all_of(kernel.getBody().front().without_terminator(), [&](Operation& op) {
           return isa<GroupedWeightGradOp, ExpertSumsOp>(op) && llvm::all_of(op.getOperands(), [&](Value operand) { return isa<BlockArgument>(operand); }) &&
                  outside(kernel, op.getOperands().back()) == routing_;
         });
}

void WayBack::addWeightGrad(KernelOp kernel) {
  if (parts_.add(kernel))
    weightGrads_.push_back(kernel);
}

/// Elementwise kernels behind the one in the middle, and the gradients of the first weights: of what these leave, and of rows of x.
void WayBack::addBehind() {
  for (size_t i = 0; i < makers_.size(); ++i)
    for (Operation* user : makers_[i]->getUsers()) {
      auto kernel = dyn_cast<KernelOp>(user);
      if (!kernel || parts_.contains(kernel))
        continue;
      if (kernel.getKind() == "rows" && llvm::all_of(kernel.getBody().front().without_terminator(), isOfElements) && parts_.addIfConvex(kernel))
        makers_.push_back(kernel);
      if (!isWeightGrad(kernel))
        continue;
      bool areGathered = true;
      llvm::MapVector<Value, Value> found;
      for (auto gradient : kernel.getBody().getOps<GroupedWeightGradOp>()) {
        Value rows = outside(kernel, gradient.getRows());
        auto [from, made] = madeIn(rows);
        Value x = from ? gathered(from, made, routing_) : Value();
        areGathered = areGathered && x && outside(kernel, gradient.getDy()) != rows;
        found[rows] = x;
      }
      if (!areGathered)
        continue;
      addWeightGrad(kernel);
      for (auto [rows, x] : found)
        gatheredRows_[rows] = x;
    }
}

SmallVector<KernelOp> WayBack::inOrder() const {
  SmallVector<KernelOp> parts{rows_};
  parts.append(makers_);
  llvm::sort(parts, [](KernelOp a, KernelOp b) { return a->isBeforeInBlock(b); });
  parts.append(weightGrads_);
  return parts;
}

/// The argument of the kernel that is made for a value.
Value WayBack::input(Value value) {
  Value& argument = arguments_[value];
  if (!argument) {
    argument = body_->addArgument(value.getType(), value.getLoc());
    inputs_.push_back(value);
  }
  return argument;
}

/// Copies a part's ops, but for those whose results are known.
void WayBack::copyOps(KernelOp part, IRMapping& known, OpBuilder& builder) {
  Block& ops = part.getBody().front();
  for (auto [argument, value] : llvm::zip(ops.getArguments(), part.getInputs()))
    if (!known.contains(argument) && !argument.use_empty())
      known.map(argument, input(value));
  for (Operation& op : ops.without_terminator())
    if (!known.contains(op.getResult(0)))
      builder.clone(op, known);
}

/// dy W^T of each row times its hidden row, and dy times the bias.
Value WayBack::choiceGradient(OpBuilder& builder, Value gathered, Value product, Value hidden) {
  Location loc = rows_.getLoc();
  auto sumOf = [&](Value a, Value b) -> Value {
    return ReduceOp::create(builder, loc, ReduceKindAttr::get(builder.getContext(), ReduceKind::Sum), MulOp::create(builder, loc, a, b),
                            builder.getI64IntegerAttr(1));
  };
  Value sum = sumOf(product, hidden);
  if (bias_)
    sum = AddOp::create(builder, loc, sum, sumOf(gathered, ExpertRowsOp::create(builder, loc, input(bias_), input(routing_))));
  return sum;
}

/// The hidden rows: made again of what the way back reads in any case, so that nobody keeps them from the way there; else as they are. Null where a part makes
/// them of more.
Value WayBack::hiddenRows(OpBuilder& builder) {
  auto [maker, inner] = madeIn(hidden_);
  bool isOurs = maker && parts_.contains(maker);
  if (!maker || (isRead(hidden_) && !isOurs))
    return input(hidden_);
  Operation* last = &body_->back();
  IRMapping made;
  if (Value again = makeAgain(builder, maker, inner, made))
    return again;
  while (&body_->back() != last)
    body_->back().erase();
  return isOurs ? Value() : input(hidden_);
}

/// What a kernel makes elementwise of values that the way back reads; null where it is made of more.
Value WayBack::makeAgain(OpBuilder& builder, KernelOp maker, Value inner, IRMapping& made) {
  if (Value known = made.lookupOrNull(inner))
    return known;
  Value given = outside(maker, inner);
  if (given && parts_.contains(given.getDefiningOp())) {
    auto [part, value] = madeIn(given);
    return part ? makeAgain(builder, part, value, made) : Value();
  }
  for (Value output : maker.getOutputs())
    if (madeIn(output).second == inner && !parts_.contains(maker))
      given = output;
  if (given && isRead(given))
    return input(given);
  Operation* op = inner.getDefiningOp();
  if (!op || !(isElementwise(op) || isa<ConstantOp>(op)))
    return {};
  for (Value operand : op->getOperands()) {
    Value again = makeAgain(builder, maker, operand, made);
    if (!again)
      return {};
    made.map(operand, again);
  }
  return builder.clone(*op, made)->getResult(0);
}

KernelOp WayBack::joined() {
  auto body = std::make_unique<Block>();
  body_ = body.get();
  OpBuilder builder(middle_.getContext());
  builder.setInsertionPointToEnd(body_);
  Location loc = middle_.getLoc();
  DenseMap<Value, Value> made; // of the parts' results

  Value routing = input(routing_), rows = DispatchOp::create(builder, rows_.getLoc(), input(dy_), routing);
  Value ofRows = RowWeightsOp::create(builder, rows_.getLoc(), input(choices_), routing);
  made[weightedRows_] = MulOp::create(builder, rows_.getLoc(), rows, ofRows);
  IRMapping ofMiddle;
  Value weight = input(weight_);
  if (auto exchange = product_.getW().getDefiningOp<TransposeOp>()) {
    weight = TransposeOp::create(builder, exchange.getLoc(), weight, exchange.getPermutation());
    ofMiddle.map(exchange.getResult(), weight);
  }
  Value product = GroupedMatmulOp::create(builder, product_.getLoc(), rows, weight, routing);
  made[hidden_] = hiddenRows(builder);
  if (!made[hidden_])
    return {};
  if (ofChoices_)
    made[ofChoices_] = choiceGradient(builder, rows, product, made[hidden_]);
  // Weighted behind the product, not in front of it.
  ofMiddle.map(product_.getResult(), MulOp::create(builder, loc, product, ofRows).getResult());
  for (auto [gathered, x] : gatheredRows_)
    made[gathered] = DispatchOp::create(builder, loc, input(x), routing);
  SmallVector<Value> results;
  SmallVector<KernelOp> parts = inOrder();
  for (KernelOp part : parts) {
    IRMapping known = part == middle_ ? ofMiddle : IRMapping();
    for (auto [argument, value] : llvm::zip(part.getBody().front().getArguments(), part.getInputs()))
      if (Value inside = made.lookup(value))
        known.map(argument, inside);
    if (part != rows_)
      copyOps(part, known, builder);
    for (Value output : part.getOutputs()) {
      if (part != rows_)
        made[output] = known.lookup(madeIn(output).second);
      if (isUsedOutside(output))
        results.push_back(made[output]);
    }
  }
  YieldOp::create(builder, loc, results);

  builder.setInsertionPoint(rows_);
  SmallVector<Type> types(llvm::map_range(results, [](Value value) { return value.getType(); }));
  auto kernel =
      KernelOp::create(builder, loc, types, inputs_, builder.getStringAttr("layer_grad"), rows_.getLabelAttr(), rows_.getReasonAttr(), DictionaryAttr());
  kernel.getBody().push_back(body.release());
  return kernel;
}

/// The whole takes the place of the parts. What was made for these alone goes: gathered rows, and what was combined where it was made again.
void WayBack::replaceBy(KernelOp whole) {
  SmallVector<Value> ofParts(llvm::make_first_range(gatheredRows_));
  ofParts.push_back(hidden_);
  if (Value combined = combined_ ? outside(rows_, combined_) : Value())
    ofParts.push_back(combined);
  parts_.gather();
  whole->moveBefore(rows_);
  auto output = whole.getOutputs().begin();
  SmallVector<KernelOp> parts = inOrder();
  for (KernelOp part : parts)
    for (Value before : part.getOutputs())
      if (isUsedOutside(before))
        before.replaceUsesWithIf(*output++, [&](OpOperand& use) { return !parts_.contains(use.getOwner()); });
  llvm::SetVector<Operation*> makers;
  for (Value value : ofParts)
    if (Operation* maker = value.getDefiningOp(); maker && !parts_.contains(maker))
      makers.insert(maker);
  for (KernelOp part : llvm::reverse(parts))
    part.erase();
  for (Operation* maker : makers)
    if (maker->use_empty())
      maker->erase();
}

} // namespace

LogicalResult joinGradients(func::FuncOp function, codegen::KernelEmitter& emitter) {
  SmallVector<KernelOp> middles;
  for (KernelOp kernel : function.getOps<KernelOp>())
    if (kernel.getKind() == "expert_mid" && !kernel.getSchedule())
      middles.push_back(kernel);
  for (KernelOp middle : middles) {
    WayBack way(middle);
    if (!way.match())
      continue;
    if (std::string why = way.obstacle(); !why.empty()) {
      way.note(why);
      continue;
    }
    KernelOp whole = way.joined();
    if (!whole) {
      way.note("its hidden rows are made on the way back of more than it reads");
      continue;
    }
    codegen::LayerChoice choice = emitter.chooseLayer(whole);
    if (!choice.joined) {
      whole.erase();
      way.note(choice.reason);
      continue;
    }
    addReason(whole, "one launch: " + choice.reason);
    way.replaceBy(whole);
  }
  return sortBody(function);
}

} // namespace moec::compiler
