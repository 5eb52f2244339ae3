// fuse-rows: norms, softmax and choices with the elementwise ops around them, and what a routing finds row by row where no product of experts took it;
// a row stays in the first-level cache between them. Stands behind fuse-matmuls: an activation is cheaper in a product's epilogue.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

void growBackward(Cluster& cluster, Value value, const Sizes& sizes) {
  Operation* op = value.getDefiningOp();
  if (!op || !isFree(op) || !(isElementwise(op) || isa<RandomOp, DispatchOp, ExpertRowsOp>(op)) || !value.hasOneUse() || sizesOf(value) != sizes ||
      !cluster.add(op))
    return;
  if (isa<DispatchOp, ExpertRowsOp>(op)) // they read memory
    return;
  for (Value operand : op->getOperands())
    growBackward(cluster, operand, sizes);
}

/// Scores of bf16 that a loss takes in f32: it widens them by itself, and nothing as large is stored in f32.
void addWidening(Cluster& cluster, OpOperand& scores) {
  auto cast = scores.get().getDefiningOp<CastOp>();
  if (!cast || !isFree(cast) || dtypeOf(mlir::cast<RankedTensorType>(cast.getX().getType()).getElementType()) != DType::BF16)
    return;
  if (!llvm::all_of(cast->getUsers(), [&](Operation* user) { return cluster.contains(user); })) {
    OpBuilder builder(cast);
    Value before = cast.getResult();
    cast = mlir::cast<CastOp>(builder.clone(*cast));
    before.replaceUsesWithIf(cast.getResult(), [&](OpOperand& use) { return cluster.contains(use.getOwner()); });
  }
  cluster.add(cast);
}

/// The gradient of a loss's scores, which mostly needs nothing of the loss but how many labels there are: a row is read once for both, and its exponentials are
/// taken once. Null without one, or where its dy is made of the losses.
CrossEntropyGradOp addGradient(Cluster& cluster, CrossEntropyOp loss) {
  for (Operation* user : loss.getScores().getUsers())
    if (auto gradient = dyn_cast<CrossEntropyGradOp>(user);
        gradient && isFree(gradient) && gradient.getScores() == loss.getScores() && gradient.getLabels() == loss.getLabels() && cluster.addIfConvex(gradient))
      return gradient;
  return {};
}

LogicalResult fuse(Operation* root) {
  Cluster cluster(root);
  CrossEntropyGradOp beside;
  if (auto loss = dyn_cast<CrossEntropyOp>(root)) {
    for (Operation* user : loss.getScores().getUsers()) // the row is there: whether its label is the highest costs little more
      if (auto top = dyn_cast<IsTopOp>(user); top && isFree(top) && top.getScores() == loss.getScores() && top.getLabels() == loss.getLabels())
        cluster.add(top);
    beside = addGradient(cluster, loss);
  }
  if (isa<LogSumExpOp, CrossEntropyOp, IsTopOp>(root))
    addWidening(cluster, root->getOpOperand(0));
  if (auto gradient = dyn_cast<CrossEntropyGradOp>(root))
    addWidening(cluster, gradient.getScoresMutable());
  if (isa<LayerNormOp, RmsNormOp, SoftmaxOp, SelectOp>(root))
    growBackward(cluster, root->getOperand(0), sizesOf(root->getOperand(0)));
  std::string reason = root->getNumResults() > 1 ? "its results are used apart" : "each row is one number";
  if (root->getNumResults() == 1 && !isa<LogSumExpOp, CrossEntropyOp, IsTopOp>(root))
    cluster.growForward(root->getResult(0), reason);
  if (beside)
    cluster.growForward(beside.getResult(), reason);
  return cluster.outline("rows", reason);
}

bool sumsRows(Operation* op) {
  auto reduce = dyn_cast<ReduceOp>(op);
  return reduce && reduce.getKind() == ReduceKind::Sum &&
         static_cast<int64_t>(reduce.getAxis()) + 1 == cast<RankedTensorType>(reduce.getX().getType()).getRank();
}

/// What multiplies the dispatched rows, as they are or in another dtype.
SmallVector<Operation*> productsOf(DispatchOp dispatch) {
  SmallVector<Operation*> products;
  auto collect = [&](Value rows) {
    for (Operation* user : rows.getUsers())
      if (isa<MulOp>(user) && isFree(user) && sizesOf(user->getResult(0)) == sizesOf(dispatch.getResult()))
        products.push_back(user);
  };
  collect(dispatch.getResult());
  for (Operation* user : dispatch->getUsers())
    if (isa<CastOp>(user) && isFree(user))
      collect(user->getResult(0));
  return products;
}

/// The gradients of a combine: from each dispatched row of dy that of the row it weighted, and, as one sum, that of the weight.
LogicalResult fuseCombineGradients(DispatchOp dispatch) {
  Cluster cluster(dispatch);
  for (Operation* product : productsOf(dispatch)) {
    cluster.add(product);
    for (Value operand : product->getOperands()) {
      if (auto weights = operand.getDefiningOp<RowWeightsOp>(); weights && weights->hasOneUse())
        cluster.add(weights);
      // Of bf16, products are taken in f32.
      if (auto cast = operand.getDefiningOp<CastOp>(); cast && isFree(cast) && (cast->hasOneUse() || cast.getX() == dispatch.getResult()))
        cluster.add(cast);
    }
    Operation* behind = product->hasOneUse() ? *product->getUsers().begin() : nullptr;
    if (behind && isFree(behind) && (sumsRows(behind) || isa<CastOp>(behind)))
      cluster.add(behind);
  }
  if (!cluster.isConvex()) // a factor comes from behind: the dispatch by itself
    return fuse(dispatch);
  return cluster.outline("rows", "rows and weights of one combine");
}

/// Dispatches whose rows are multiplied by several others.
LogicalResult fuseCombineGradients(func::FuncOp function) {
  for (DispatchOp dispatch : SmallVector<DispatchOp>(function.getOps<DispatchOp>()))
    if (size_t products = productsOf(dispatch).size(); products > 0 && (products > 1 || !dispatch->hasOneUse()))
      if (failed(fuseCombineGradients(dispatch)))
        return failure();
  return success();
}

/// How many rows each expert has, as numbers, and what is computed from their sum alone: the choices that nobody took.
LogicalResult fuseCounts(func::FuncOp function) {
  for (ExpertCountsOp counts : SmallVector<ExpertCountsOp>(function.getOps<ExpertCountsOp>())) {
    Cluster cluster(counts);
    std::function<void(Operation*)> grow = [&](Operation* op) {
      for (Operation* user : op->getUsers())
        if (bool ofNumber = isElementwise(user) && llvm::all_of(user->getOperands(),
                                                                [&](Value operand) {
                                                                  Operation* maker = operand.getDefiningOp();
                                                                  return cluster.contains(maker) || isa_and_nonnull<ConstantOp, SizeOp>(maker);
                                                                });
            isFree(user) && !cluster.contains(user) && (ofNumber || sumsRows(user))) {
          cluster.add(user);
          grow(user);
        }
    };
    grow(counts);
    if (failed(cluster.outline("rows", "counts of experts are read outside")))
      return failure();
  }
  return success();
}

/// What a router's way back is made of: each works on one token's scores, choices or weights.
bool isOfRouter(Operation* op, const Sizes& leading) {
  if (!isFree(op) ||
      !(isElementwise(op) || isa<SoftmaxOp, SoftmaxGradOp, SelectGradOp, ChoiceValuesOp>(op) || (isa<ReduceOp>(op) ? sumsRows(op) : alongLastAxis(op))))
    return false;
  return llvm::all_of(op->getResults(), [&](Value result) {
    Sizes sizes = sizesOf(result);
    bool isRow = sizes.size() == leading.size() + 1;
    if (isRow)
      sizes.pop_back();
    return sizes == leading && (isRow || isa<ReduceOp>(op));
  });
}

/// Adds what the members are made from for them alone, and what is made of them, as long as no way leads out and back.
void growAlongRouter(Cluster& cluster, Operation* op, const Sizes& leading) {
  auto visit = [&](Operation* next) {
    if (!next || cluster.contains(next) || !isOfRouter(next, leading))
      return;
    Cluster before = cluster;
    cluster.add(next);
    if (cluster.isConvex())
      growAlongRouter(cluster, next, leading);
    else
      cluster = std::move(before);
  };
  for (Value operand : op->getOperands())
    if (Operation* maker = operand.getDefiningOp(); maker && llvm::all_of(maker->getUsers(), [&](Operation* user) { return cluster.contains(user); }))
      visit(maker);
  for (Operation* user : llvm::make_early_inc_range(op->getUsers()))
    visit(user);
}

/// The way back through a router in one launch: from the weights' gradients over choice and softmax to those of the logits.
LogicalResult fuseRouters(func::FuncOp function) {
  auto next = [&]() -> Operation* {
    for (auto choice : function.getOps<SelectGradOp>())
      return choice;
    return nullptr;
  };
  while (Operation* root = next()) {
    Cluster cluster(root);
    Sizes leading = sizesOf(root->getResult(0));
    leading.pop_back();
    growAlongRouter(cluster, root, leading);
    if (failed(cluster.outline("rows", "the router's way back is one launch")))
      return failure();
  }
  return success();
}

/// The sum over all rows that `user` is, or that its reshapes lead to; null where there is none.
ReduceOp sumOfAllRows(Operation* user) {
  while (isa<ReshapeOp>(user) && user->hasOneUse())
    user = *user->getUsers().begin();
  return sumOfRows(user);
}

void addSumOfRows(Cluster& cluster, Value rows) {
  for (Operation* user : rows.getUsers()) {
    ReduceOp sum = sumOfAllRows(user);
    if (!sum || sizesOf(sum.getX()).back() != sizesOf(rows).back())
      continue;
    Cluster before = cluster;
    cluster.add(sum);
    for (Value x = sum.getX(); x != rows; x = x.getDefiningOp()->getOperand(0))
      cluster.add(x.getDefiningOp());
    if (!cluster.isConvex())
      cluster = std::move(before);
  }
}

/// dy times a norm of x without a weight, where only the sum over all rows is made of it: the gradient of the norm's weight.
template <class Norm> MulOp weightGradientOf(Norm norm) {
  auto product = norm->getNumOperands() == 1 && norm->hasOneUse() ? dyn_cast<MulOp>(*norm->getUsers().begin()) : MulOp();
  return product && product->hasOneUse() && sumOfAllRows(*product->getUsers().begin()) ? product : MulOp();
}

/// The gradient of a norm's rows, and as sums over all of them those of its weight and of its bias: a row is read once. Where nobody asks for that of the rows,
/// as of the first norm of a model, the sums alone.
template <class Gradient, class Norm> LogicalResult fuseNormGradients(func::FuncOp function) {
  for (Gradient gradient : SmallVector<Gradient>(function.getOps<Gradient>())) {
    Cluster cluster(gradient);
    for (Operation* user : gradient.getX().getUsers()) {
      auto norm = dyn_cast<Norm>(user);
      MulOp product = norm && norm.getEpsAttr() == gradient.getEpsAttr() ? weightGradientOf(norm) : MulOp();
      if (product && llvm::is_contained(product->getOperands(), gradient.getDy()) && cluster.addIfConvex(norm) && cluster.addIfConvex(product))
        addSumOfRows(cluster, product.getResult());
    }
    addSumOfRows(cluster, gradient.getDy());
    std::string reason;
    cluster.growForward(gradient.getResult(), reason);
    if (failed(cluster.outline("rows", reason)))
      return failure();
  }
  for (Norm norm : SmallVector<Norm>(function.getOps<Norm>()))
    if (MulOp product = weightGradientOf(norm)) {
      Cluster cluster(norm);
      cluster.add(product);
      addSumOfRows(cluster, product.getResult());
      addSumOfRows(cluster, product->getOperand(product->getOperand(0) == norm.getResult() ? 1 : 0));
      if (failed(cluster.outline("rows", "sums over all rows are one launch")))
        return failure();
    }
  return success();
}

template <class... Roots> LogicalResult fuseEach(func::FuncOp function) {
  // From the start each time: a kernel takes ops away, others of these too.
  auto next = [&]() -> Operation* {
    for (Operation& op : function.getOps())
      if (isa<Roots...>(op))
        return &op;
    return nullptr;
  };
  while (Operation* root = next())
    if (failed(fuse(root)))
      return failure();
  return success();
}

} // namespace

LogicalResult fuseRows(func::FuncOp function) {
  // Norms take dispatches along, and both take expert_rows. The gradients of a combine come first: an elementwise op by itself would be a loop over rows
  // that no routing bounds. Norms' gradients take norms along.
  if (failed(fuseCombineGradients(function)) || failed(fuseRouters(function)) || failed(fuseCounts(function)) ||
      failed(fuseNormGradients<LayerNormGradOp, LayerNormOp>(function)) || failed(fuseNormGradients<RmsNormGradOp, RmsNormOp>(function)) ||
      failed(fuseEach<LayerNormOp, RmsNormOp, SoftmaxOp, SelectOp, TakeOp>(function)) ||
      failed(fuseEach<SoftmaxGradOp, LogSumExpOp, CrossEntropyOp, CrossEntropyGradOp, IsTopOp>(function)) ||
      failed(fuseEach<DispatchOp, CombineOp>(function)) || failed(fuseEach<ExpertRowsOp, RowWeightsOp, ChoiceValuesOp>(function)))
    return failure();
  return sortBody(function);
}

} // namespace moec::compiler
