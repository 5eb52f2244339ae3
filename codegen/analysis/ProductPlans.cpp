#include "codegen/analysis/ProductPlans.h"

#include "llvm/ADT/DenseSet.h"

namespace moec::codegen {

//===--- matmul ---===//

mlir::FailureOr<MatmulPlan> MatmulPlan::of(ir::KernelOp kernel) {
  auto op = onlyOp<ir::MatmulOp>(kernel);
  if (failed(op))
    return mlir::failure();
  mlir::Value exchanged = exchangedFrom(op->getA());
  auto a = inputOf(kernel, exchanged ? exchanged : mlir::Value(op->getA()), "a of the product");
  auto b = operandOf(kernel, op->getB(), true);
  if (failed(a) || failed(b))
    return mlir::failure();
  MatmulPlan plan{*op, dtypeOf(op->getA()), *a, *b, static_cast<bool>(exchanged), {}, 1};
  ir::Sizes product = ir::sizesOf(op->getResult());
  if (plan.b.batch.empty() && !plan.transposed) {
    plan.rows = ir::product(ir::Sizes(product.begin(), product.end() - 1));
  } else {
    plan.batch.assign(product.begin(), product.end() - 2);
    plan.rows = product[product.size() - 2];
  }
  return plan;
}

std::vector<Size> MatmulPlan::aStrides() const {
  ir::Sizes sizes = ir::sizesOf(mlir::Value(ir::MatmulOp(op).getA()));
  std::vector<Size> strides = broadcastStrides({sizes.begin(), sizes.end() - 2}, batch);
  for (Size& stride : strides)
    stride = stride * rows * b.depth;
  return strides;
}

//===--- the gradient of experts' weights ---===//

mlir::FailureOr<WeightGradPlan> WeightGradPlan::of(ir::KernelOp kernel) {
  auto op = onlyOp<ir::GroupedWeightGradOp>(kernel);
  if (failed(op))
    return mlir::failure();
  auto dy = inputOf(kernel, op->getDy(), "dy of moe.grouped_weight_grad"), rows = inputOf(kernel, op->getRows(), "the rows of moe.grouped_weight_grad");
  auto routing = inputOf(kernel, op->getRouting(), "the routing");
  if (failed(dy) || failed(rows) || failed(routing))
    return mlir::failure();
  ir::Sizes sizes = ir::sizesOf(op->getResult()); // (E, N, K)
  return WeightGradPlan{*op,
                        dtypeOf(op->getDy()),
                        *dy,
                        *rows,
                        *routing,
                        ir::sizesOf(op->getDy())[0],
                        sizes[1],
                        sizes[2],
                        mlir::cast<ir::RoutingType>(op->getRouting().getType()).getExperts()};
}

//===--- experts ---===//

mlir::FailureOr<ExpertPlan> ExpertPlan::of(ir::KernelOp kernel) {
  auto op = onlyOp<ir::GroupedMatmulOp>(kernel);
  if (failed(op))
    return mlir::failure();
  mlir::Value rows = op->getRows();
  auto dispatch = rows.getDefiningOp<ir::DispatchOp>();
  if (dispatch && dispatch.getRouting() != op->getRouting())
    return kernel.emitOpError("dispatches by another routing than it multiplies by: not supported");
  auto a = inputOf(kernel, dispatch ? mlir::Value(dispatch.getX()) : rows, "the rows of the product");
  auto routing = inputOf(kernel, op->getRouting(), "the routing");
  auto b = operandOf(kernel, op->getW(), true);
  if (failed(a) || failed(routing) || failed(b))
    return mlir::failure();
  return ExpertPlan{*op, dtypeOf(rows), static_cast<bool>(dispatch), *a, *routing, *b, mlir::cast<ir::RoutingType>(op->getRouting().getType()).getChoices()};
}

static ir::RoutingType routingOf(const ExpertPlan& plan) { return mlir::cast<ir::RoutingType>(ir::GroupedMatmulOp(plan.op).getRouting().getType()); }
int64_t ExpertPlan::experts() const { return routingOf(*this).getExperts(); }
Size ExpertPlan::rows() const { return ir::sizesOf(mlir::Value(ir::GroupedMatmulOp(op).getResult()))[0]; }
Size ExpertPlan::tokens() const { return Size::parse(routingOf(*this).getTokens().getValue().str()); }

Size mostExpertBlocks(const Size& rows, int64_t experts, int64_t rowBlock) { return Size::min(rows, Size::floorDiv(rows, rowBlock) + Size(experts)); }

/// Whether `value` is made from what `op` gives.
static bool needs(mlir::Value value, mlir::Operation* op) {
  llvm::SmallVector<mlir::Value> open{value};
  llvm::DenseSet<mlir::Operation*> seen;
  while (!open.empty()) {
    mlir::Operation* by = open.pop_back_val().getDefiningOp();
    if (by == op)
      return true;
    if (by && seen.insert(by).second)
      open.append(by->operand_begin(), by->operand_end());
  }
  return false;
}

mlir::FailureOr<CombinePlan> CombinePlan::of(ir::KernelOp kernel, const ExpertPlan& plan) {
  auto op = onlyOp<ir::CombineOp>(kernel);
  if (failed(op))
    return mlir::failure();
  auto weights = inputOf(kernel, op->getWeights(), "the weights of moe.combine");
  if (failed(weights))
    return mlir::failure();
  if (op->getRouting() != ir::GroupedMatmulOp(plan.op).getRouting())
    return kernel.emitOpError("combines by another routing than it multiplies by: not supported");
  CombinePlan result{*op, *weights};
  for (auto [i, value] : llvm::enumerate(yieldOf(kernel)->getOperands())) {
    (needs(value, *op) ? result.ofTokens : result.ofRows).push_back(static_cast<unsigned>(i));
    if (value == op->getRows() && !result.rows)
      result.rows = static_cast<unsigned>(i);
  }
  return result;
}

//===--- attention ---===//

/// Of moe.attention and its gradient, which name their operands alike.
template <class Op> static mlir::FailureOr<AttentionPlan> attentionOf(ir::KernelOp kernel, Op op) {
  auto q = sliceOf(kernel, op.getQ(), "q"), k = sliceOf(kernel, op.getK(), "k"), v = sliceOf(kernel, op.getV(), "v");
  if (failed(q) || failed(k) || failed(v))
    return mlir::failure();
  DType dtype = dtypeOf(op.getQ());
  if (!isFloat(dtype))
    return kernel.emitOpError("attends in ") << name(dtype) << ": products are f32, f64 and bf16";
  ir::Sizes sizes = ir::sizesOf(op.getQ());
  std::optional<int64_t> inner = sizes.back().constant();
  int64_t heads = op.getHeads();
  if (sizes.size() != 3 || !inner)
    return kernel.emitOpError("attends to ") << ir::describe(sizes) << ": (batch, queries, a constant width) is needed";
  std::optional<AttentionBias> bias;
  if (mlir::Value added = op.getBias()) {
    auto input = inputOf(kernel, added, "the bias of the scores");
    if (failed(input))
      return mlir::failure();
    bias = AttentionBias{*input, ir::sizesOf(added)[0] == Size(1)};
  }
  std::optional<AttentionDropout> dropout;
  if (mlir::Value draws = op.getDraws()) {
    dropout = AttentionDropout{op.getDropout()->convertToDouble(), draws.getDefiningOp<ir::RandomOp>(), 0};
    if (!dropout->random) {
      auto input = inputOf(kernel, draws, "the draws of the dropout");
      if (failed(input))
        return mlir::failure();
      dropout->input = *input;
    } else if (failed(onlyOp<ir::RandomOp>(kernel))) {
      return mlir::failure();
    } else if (dropout->random.getDistribution() != ir::Distribution::Uniform) {
      return kernel.emitOpError("drops weights out by draws that are not uniform");
    }
  }
  int64_t keyHeads = op.getKvHeads() ? static_cast<int64_t>(*op.getKvHeads()) : heads;
  return AttentionPlan{
      dtype,          *q,       *k,   *v,     sizes[0], sizes[1], ir::sizesOf(op.getK())[1], heads, *inner / heads, op.getScale().convertToDouble(),
      op.getCausal(), keyHeads, bias, dropout};
}

mlir::FailureOr<AttentionPlan> AttentionPlan::of(ir::KernelOp kernel) {
  auto op = onlyOp<ir::AttentionOp>(kernel);
  if (failed(op))
    return mlir::failure();
  if (yieldOf(kernel)->getNumOperands() != 1 || yieldOf(kernel)->getOperand(0) != op->getResult())
    return kernel.emitOpError("of kind \"attention\" gives something else than its moe.attention");
  return attentionOf(kernel, *op);
}

mlir::FailureOr<AttentionGradPlan> AttentionGradPlan::of(ir::KernelOp kernel) {
  auto op = onlyOp<ir::AttentionGradOp>(kernel);
  if (failed(op))
    return mlir::failure();
  auto forward = attentionOf(kernel, *op);
  auto dy = sliceOf(kernel, op->getDy(), "dy");
  if (failed(forward) || failed(dy))
    return mlir::failure();
  AttentionGradPlan plan{*forward, *dy, {}, {}, {}, {}};
  auto give = [&](mlir::Value value, const Slice& place) {
    bool isBias = value == op->getDbias();
    std::optional<Slice>& result = value == op->getDq() ? plan.dq : value == op->getDk() ? plan.dk : plan.dv;
    if (value.getDefiningOp() != op->getOperation() || (isBias ? plan.dbias.has_value() : result.has_value()))
      return mlir::failure();
    isBias ? void(plan.dbias = place.input) : void(result = place);
    return mlir::success();
  };
  for (auto [i, value] : llvm::enumerate(yieldOf(kernel)->getOperands())) {
    auto concat = value.getDefiningOp<ir::ConcatOp>();
    bool isLast = concat && static_cast<size_t>(concat.getAxis()) + 1 == ir::sizesOf(value).size();
    llvm::SmallVector<mlir::Value> parts(isLast ? llvm::SmallVector<mlir::Value>(concat.getXs()) : llvm::SmallVector<mlir::Value>{value});
    Slice place{static_cast<unsigned>(i), 0, ir::sizesOf(value).back()};
    for (mlir::Value part : parts) {
      if ((part == op->getDbias() && parts.size() > 1) || failed(give(part, place)))
        return kernel.emitOpError("of kind \"attention_grad\" gives something else than its moe.attention_grad, or a gradient twice");
      place.start = place.start + ir::sizesOf(part).back();
    }
  }
  return plan;
}

} // namespace moec::codegen
