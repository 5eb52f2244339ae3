// moe.kernel of kind `weight_grad`: per expert, the transpose of its rows of dy (R, N) times its rows (R, K), into (E, N, K).
//   for each (expert, block of N, run of panels of K):  sums over the expert's rows, in their order; zeros without rows; epilogue
//   [ of a weight_update the epilogue is the weight's update, and sums over all elements of what is made of the gradient ]
//   [ for each (expert, block of columns): the sum of the expert's rows of an argument; of dy in the copies of its first run, else as items of the same stage ]
#include "codegen/analysis/ProductPlans.h"
#include "codegen/cpu/Epilogue.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/RoutingView.h"
#include "codegen/cpu/SumsOfRows.h"
#include "codegen/cpu/TotalsBeside.h"

namespace moec::codegen::cpu {

mlir::LogicalResult buildWeightGrad(KernelBuilder& k, ir::KernelOp kernel) {
  auto plan = WeightGradPlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  auto schedule = productScheduleOf(kernel, k.target(), plan->dtype, {});
  if (failed(schedule))
    return mlir::failure();
  auto beside = SumsBeside::of(k);
  if (failed(beside))
    return mlir::failure();
  TotalsBeside totals(k, beside->others());
  auto epilogue = Epilogue::make(k, plan->op.getResult(), totals.sinks(), 1, {}, totals.summed());
  if (failed(epilogue))
    return mlir::failure();

  Size blocks = Size::ceilDiv(plan->columns, schedule->rowBlock), panels = Size::ceilDiv(plan->depth, schedule->nr);
  Size groups = Size::ceilDiv(panels, schedule->panels);
  Size items = Size(plan->experts) * blocks * groups;
  bool areOfExperts = llvm::all_of(beside->sums(), [&](const SumOfRows& sum) { return sum.routing == ir::GroupedWeightGradOp(plan->op).getRouting(); });
  std::optional<SumOfRows> own = areOfExperts && copiesColumns(plan->dtype, plan->columns) ? beside->take(plan->dy) : std::nullopt;
  totals.addWorkspaces(items);
  beside->stage(items, plan->count * plan->columns * plan->depth * Size(2), [&](Value item) {
    Value group = k.rem(item, k.size(groups)), block = k.div(item, k.size(groups));
    Value expert = k.div(block, k.size(blocks)), columns = k.size(plan->columns), depth = k.size(plan->depth);
    Value first = k.mul(k.rem(block, k.size(blocks)), schedule->rowBlock), rows = k.min(k.index(schedule->rowBlock), k.sub(columns, first));
    RoutingView routing = RoutingView::of(k, ir::GroupedWeightGradOp(plan->op).getRouting(), k.input(plan->routing));
    Value start = RoutingView::element(k, routing.offsets(k), expert);
    Value count = k.sub(RoutingView::element(k, routing.offsets(k), k.add(expert, 1)), start);
    Value begin = k.mul(group, schedule->panels);
    TransposedBlock product{plan->dtype, {k.at(k.input(plan->dy), k.add(k.mul(start, columns), first), plan->dtype), columns},
                            rows,        count,
                            begin,       k.min(k.add(begin, schedule->panels), k.size(panels))};
    product.b = {k.at(k.input(plan->rows), k.mul(start, depth), plan->dtype), depth};
    product.columns = depth;
    SumsOfColumns sums{k.compare(ir::Predicate::EQ, group, k.index(0)), [&](Value column, Value whole, Value mask) {
                         Value place = k.add(k.mul(expert, columns), k.add(first, column));
                         storeSums(k, own->dtype, whole, k.at(k.output(own->result), place, own->dtype), mask);
                       }};
    if (own)
      product.sums = &sums;
    Values bases = totals.startItem(plan->dtype);
    Piece piece{expert, first, {}, {}, 1, {}};
    LightEpilogue light(*epilogue, piece, schedule->nr, bases);
    if (epilogue->isLight(schedule->nr))
      product.taker = &light;
    else
      product.read = epilogue->reads(piece);
    multiplyTransposed(k, *schedule, product, [&](Value panel, Value inBlock, Value many, const Matrix& tile) {
      epilogue->storePanel(piece.below(k, inBlock), many, panel, schedule->nr, tile, bases);
    });
    totals.endItem(item, bases);
  });
  totals.joinStage();
  return mlir::success();
}

mlir::DictionaryAttr scheduleWeightGrad(ir::KernelOp kernel, const CpuTarget& target) {
  auto plan = WeightGradPlan::of(kernel);
  if (failed(plan))
    return {};
  ProductShape shape{plan->dtype, plan->columns, plan->depth, Size::ceilDiv(plan->count, Size(plan->experts))};
  shape.transposed = true;
  shape.matrices = Size(plan->experts);
  ProductSchedule schedule = chooseProduct(shape, target);
  if (auto why = schedule.illegal(target, plan->dtype)) {
    kernel.emitOpError("has no legal schedule: ") << *why;
    return {};
  }
  return schedule.attr(kernel.getContext());
}

} // namespace moec::codegen::cpu
