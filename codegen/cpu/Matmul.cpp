// moe.kernel of kind `matmul`: items are (batch, block of rows, run of panels), each panel's sums go through the epilogue at once.
#include "codegen/analysis/ProductPlans.h"
#include "codegen/cpu/Epilogue.h"
#include "codegen/cpu/Kernels.h"

namespace moec::codegen::cpu {
namespace {

// A b that the call computed is packed by a stage of its own.
void packStage(KernelBuilder& k, const MatmulPlan& plan, const ProductSchedule& schedule, unsigned workspace) {
  Size matrices = ir::product(plan.b.batch), panels = plan.b.panels(schedule.nr);
  k.stage(matrices * panels, matrices * plan.b.columns * plan.b.depth, [&](Value item) {
    Value matrix = k.div(item, k.size(panels)), panel = k.rem(item, k.size(panels));
    Value depth = k.size(plan.b.depth);
    Matrix b{k.at(k.input(plan.b.input), k.mul(matrix, k.size(plan.b.columns * plan.b.depth)), plan.dtype), depth};
    packPanel(k, plan.dtype, b, k.mul(panel, schedule.nr), k.size(plan.b.columns), depth, schedule.nr,
              k.at(k.workspace(workspace), k.mul(item, k.size(plan.b.depth * Size(schedule.nr))), sumType(plan.dtype)));
  });
}

} // namespace

mlir::LogicalResult buildMatmul(KernelBuilder& k, ir::KernelOp kernel) {
  auto plan = MatmulPlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  auto schedule = productScheduleOf(kernel, k.target(), plan->dtype, plan->b);
  if (failed(schedule))
    return mlir::failure();
  Values sinks(yieldOf(kernel)->getOperands());
  auto epilogue = Epilogue::make(k, plan->op.getResult(), sinks, plan->batch.size());
  if (failed(epilogue))
    return mlir::failure();

  const ProductOperand& b = plan->b;
  Size panels = b.panels(schedule->nr), matrixPanels = panels * b.depth * Size(schedule->nr);
  unsigned packed = 0;
  if (!b.nr) {
    packed = k.addWorkspace(bytesOf(sumType(plan->dtype), ir::product(b.batch) * matrixPanels));
    packStage(k, *plan, *schedule, packed);
  }

  // As few blocks as the schedule allows, all about equal: a short last one would read all panels again for a few rows.
  Size blocks = Size::ceilDiv(plan->rows, schedule->rowBlock);
  Size blockRows = Size::max(schedule->rows, Size::ceilDiv(Size::ceilDiv(plan->rows, Size::max(1, blocks)), schedule->rows) * Size(schedule->rows));
  Size groups = Size::ceilDiv(panels, schedule->panels);
  Size batches = ir::product(plan->batch);
  k.stage(batches * blocks * groups, batches * plan->rows * b.columns * b.depth * Size(2), [&](Value item) {
    Value group = k.rem(item, k.size(groups)), block = k.div(item, k.size(groups));
    Value batch = plan->batch.empty() ? Value() : k.div(block, k.size(blocks));
    if (batch)
      block = k.rem(block, k.size(blocks));
    Value first = k.mul(block, k.size(blockRows)), depth = k.size(b.depth);
    Value rows = k.min(k.size(blockRows), k.sub(k.size(plan->rows), first));
    Value aFirst = k.mul(first, depth), bFirst = k.index(0);
    if (batch) {
      aFirst = k.add(aFirst, stridedOffset(k, batch, plan->batch, plan->aStrides()));
      bFirst = k.mul(stridedOffset(k, batch, plan->batch, plan->bStrides()), k.size(matrixPanels));
    }
    Matrix a{k.at(k.input(plan->a), aFirst, plan->dtype), depth};
    if (schedule->packRows)
      a = copyRows(k, plan->dtype, rows, schedule->rowBlock, b.depth,
                   [&](Value row) { return k.at(a.base, k.mul(row, a.stride), plan->dtype); });
    Value begin = k.mul(group, schedule->panels);
    DType panelType = b.nr ? plan->dtype : sumType(plan->dtype);
    ProductBlock product{sumType(plan->dtype), a, rows, k.at(b.nr ? k.input(b.input) : k.workspace(packed), bFirst, panelType), depth, begin,
                         k.min(k.add(begin, schedule->panels), k.size(panels)), panelType};
    Values outputs;
    for (unsigned i = 0; i < k.outputCount(); ++i)
      outputs.push_back(k.output(i));
    multiplyPanels(k, *schedule, product, [&](Value panel, const Matrix& tile) {
      epilogue->storePanel({batch, first, {}, {}, 1, {}}, rows, panel, schedule->nr, tile, outputs);
    });
  });
  return mlir::success();
}

mlir::DictionaryAttr scheduleMatmul(ir::KernelOp kernel, const CpuTarget& target) {
  auto plan = MatmulPlan::of(kernel);
  if (failed(plan))
    return {};
  ProductSchedule schedule = chooseProduct({plan->dtype, plan->rows, plan->b.columns, plan->b.depth, false, plan->b.nr}, target);
  if (auto why = schedule.illegal(target, plan->dtype)) {
    kernel.emitOpError("has no legal schedule: ") << *why;
    return {};
  }
  return schedule.attr(kernel.getContext());
}

} // namespace moec::codegen::cpu
