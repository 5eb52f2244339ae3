// moe.kernel of kind `matmul`: items are (batch, block of rows, run of panels), each panel's sums go through the epilogue at once.
// a may lie as (.., K, M), b as (.., K, N). Where both do, as in the gradient of a weight, an item copies what it needs of them; else a b that is not
// packed becomes panels in a stage before. Sums of rows of an argument, as the gradient of a bias, are items of the product's stage.
#include "codegen/analysis/ProductPlans.h"
#include "codegen/cpu/Epilogue.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/SumsOfRows.h"

namespace moec::codegen::cpu {
namespace {

bool copiesB(const MatmulPlan& plan) { return plan.transposed && plan.b.transposed; }

// A b that the call computed is packed by a stage of its own; one with its dimensions exchanged is runs of its rows.
void packStage(KernelBuilder& k, const MatmulPlan& plan, const ProductSchedule& schedule, unsigned workspace) {
  Size matrices = ir::product(plan.b.batch), panels = plan.b.panels(schedule.nr);
  k.stage(matrices * panels, matrices * plan.b.columns * plan.b.depth, [&](Value item) {
    Value matrix = k.div(item, k.size(panels)), panel = k.rem(item, k.size(panels));
    Value depth = k.size(plan.b.depth), columns = k.size(plan.b.columns), first = k.mul(panel, schedule.nr);
    Value base = k.at(k.input(plan.b.input), k.mul(matrix, k.size(plan.b.columns * plan.b.depth)), plan.dtype);
    Value to = k.at(k.workspace(workspace), k.mul(item, k.size(plan.b.depth * Size(schedule.nr))), sumType(plan.dtype));
    if (plan.b.transposed)
      copyBlock(k, plan.dtype, {k.at(base, first, plan.dtype), columns}, depth, k.min(k.index(schedule.nr), k.sub(columns, first)), schedule.nr,
                {to, k.index(schedule.nr)});
    else
      packPanel(k, plan.dtype, {base, depth}, first, columns, depth, schedule.nr, to);
  });
}

Size elementsOfPanels(const MatmulPlan& plan, const ProductSchedule& schedule) { return plan.b.panels(schedule.nr) * plan.b.depth * Size(schedule.nr); }

/// What an item of the product is.
struct Item {
  Value batch;            // null without batches
  Value first;            // row
  Value rows, begin, end; // end: of the panels
};

void multiplyItem(KernelBuilder& k, const MatmulPlan& plan, const ProductSchedule& schedule, const Item& item, std::optional<unsigned> packed,
                  const SumsTaker* taker, llvm::function_ref<void(Value panel, const Matrix& tile)> finished) {
  const ProductOperand& b = plan.b;
  Value depth = k.size(b.depth), aMatrix = k.index(0), bMatrix = k.index(0);
  if (item.batch) {
    aMatrix = stridedOffset(k, item.batch, plan.batch, plan.aStrides());
    bMatrix = stridedOffset(k, item.batch, plan.batch, plan.bStrides());
  }
  DType panelType = b.nr ? b.dtype : sumType(plan.dtype);
  Value panels =
      copiesB(plan) ? Value() : k.at(packed ? k.workspace(*packed) : k.input(b.input), k.mul(bMatrix, k.size(elementsOfPanels(plan, schedule))), panelType);
  if (plan.transposed) {
    TransposedBlock block{plan.dtype, {k.at(k.input(plan.a), k.add(aMatrix, item.first), plan.dtype), k.size(plan.rows)}, item.rows, depth, item.begin,
                          item.end};
    if (copiesB(plan)) {
      block.columns = k.size(b.columns);
      block.b = {k.at(k.input(b.input), k.mul(bMatrix, k.size(b.columns * b.depth)), plan.dtype), block.columns};
    }
    block.panels = panels;
    block.panelType = panelType;
    return multiplyTransposed(k, schedule, block, finished);
  }
  Matrix a{k.at(k.input(plan.a), k.add(aMatrix, k.mul(item.first, depth)), plan.dtype), depth};
  ProductBlock block{sumType(plan.dtype), a, item.rows, panels, depth, item.begin, item.end, panelType};
  if (b.scaled) {
    block.group = b.scaled->size;
    Size scales = b.panels(schedule.nr) * Size::ceilDiv(b.depth, block.group) * Size(schedule.nr);
    block.scales = k.at(k.input(b.scaled->input), k.mul(bMatrix, k.size(scales)), DType::BF16);
  }
  auto rowAt = [&](Value row) { return k.at(a.base, k.mul(row, a.stride), plan.dtype); };
  if (schedule.packRows)
    block.rowAt = rowAt;
  block.rowType = plan.dtype;
  block.taker = taker;
  multiplyPanels(k, schedule, block, finished);
}

void productStage(KernelBuilder& k, const MatmulPlan& plan, const ProductSchedule& schedule, const Epilogue& epilogue, SumsBeside& beside,
                  std::optional<unsigned> packed) {
  // As few blocks as the schedule allows, all about equal: a short last one would read all panels again for a few rows.
  Size blocks = Size::ceilDiv(plan.rows, schedule.rowBlock), panels = plan.b.panels(schedule.nr);
  Size blockRows = Size::max(schedule.rows, Size::ceilDiv(Size::ceilDiv(plan.rows, Size::max(1, blocks)), schedule.rows) * Size(schedule.rows));
  Size groups = Size::ceilDiv(panels, schedule.panels), batches = ir::product(plan.batch);
  beside.stage(batches * blocks * groups, batches * plan.rows * plan.b.columns * plan.b.depth * Size(2), [&](Value number) {
    Value group = k.rem(number, k.size(groups)), block = k.div(number, k.size(groups));
    Item item;
    if (!plan.batch.empty()) {
      item.batch = k.div(block, k.size(blocks));
      block = k.rem(block, k.size(blocks));
    }
    item.first = k.mul(block, k.size(blockRows));
    item.rows = k.min(k.size(blockRows), k.sub(k.size(plan.rows), item.first));
    item.begin = k.mul(group, schedule.panels);
    item.end = k.min(k.add(item.begin, schedule.panels), k.size(panels));
    Values outputs = beside.otherOutputs();
    Piece first{item.batch, item.first, {}, {}, 1, {}};
    LightEpilogue light(epilogue, first, schedule.nr, outputs);
    multiplyItem(k, plan, schedule, item, packed, epilogue.isLight(schedule.nr) ? &light : nullptr,
                 [&](Value panel, const Matrix& tile) { epilogue.storePanel(first, item.rows, panel, schedule.nr, tile, outputs); });
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
  if (plan->transposed && plan->b.scaled)
    return kernel.emitOpError("multiplies the transpose of rows by codes of weights: not supported by this kernel");
  auto beside = SumsBeside::of(k);
  if (failed(beside))
    return mlir::failure();
  auto epilogue = Epilogue::make(k, plan->op.getResult(), beside->otherResults(), plan->batch.size());
  if (failed(epilogue))
    return mlir::failure();
  std::optional<unsigned> packed;
  if (!plan->b.nr && !copiesB(*plan)) {
    packed = k.addWorkspace(bytesOf(sumType(plan->dtype), ir::product(plan->b.batch) * elementsOfPanels(*plan, *schedule)));
    packStage(k, *plan, *schedule, *packed);
  }
  productStage(k, *plan, *schedule, *epilogue, *beside, packed);
  return mlir::success();
}

mlir::DictionaryAttr scheduleMatmul(ir::KernelOp kernel, const CpuTarget& target) {
  auto plan = MatmulPlan::of(kernel);
  if (failed(plan))
    return {};
  ProductShape shape{plan->dtype, plan->rows, plan->b.columns, plan->b.depth, false, plan->b.nr, plan->transposed, ir::product(plan->batch)};
  if (plan->b.scaled)
    shape.group = plan->b.scaled->size;
  ProductSchedule schedule = chooseProduct(shape, target);
  if (auto why = schedule.illegal(target, plan->dtype)) {
    kernel.emitOpError("has no legal schedule: ") << *why;
    return {};
  }
  return schedule.attr(kernel.getContext());
}

} // namespace moec::codegen::cpu
