// moe.kernel of kind `gate`: scores of tokens, what the rows' ops make of them, and the routing.
//   stage 0, for each block of tokens:  scores and what the rows' ops make of them (GateRows.h)
//   one stage for each routing:         rows enter their experts in priority order, sequentially: the order is the meaning
#include "codegen/analysis/GatePlan.h"
#include "codegen/cpu/ExpertsOf.h"
#include "codegen/cpu/GateRows.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/Product.h"
#include "codegen/cpu/RoutingView.h"
#include "codegen/cpu/Schedule.h"

namespace moec::codegen::cpu {
namespace {

//===--- the rows' stage ---===//

class GateWriter {
public:
  GateWriter(KernelBuilder& k, ir::KernelOp kernel, GatePlan plan) : k_(k), kernel_(kernel), plan_(std::move(plan)) {}
  mlir::LogicalResult write();

private:
  /// Among the inputs, the outputs or the workspaces.
  Base baseOf(mlir::Value value);
  mlir::LogicalResult rowStage();

  KernelBuilder& k_;
  ir::KernelOp kernel_;
  GatePlan plan_;
  llvm::DenseMap<mlir::Value, unsigned> workspaces_; // of what a routing is made from and nobody else wants
};

Base GateWriter::baseOf(mlir::Value value) {
  if (auto argument = mlir::dyn_cast<mlir::BlockArgument>(value))
    return [this, i = argument.getArgNumber()] { return k_.input(i); };
  if (auto i = resultOf(kernel_, value))
    return [this, i = *i] { return k_.output(i); };
  auto [place, isNew] = workspaces_.try_emplace(value, 0);
  if (isNew)
    place->second = k_.addWorkspace(bytesOf(dtypeOf(value), ir::product(ir::sizesOf(value))));
  return [this, i = place->second] { return k_.workspace(i); };
}

mlir::LogicalResult GateWriter::rowStage() {
  if (failed(checkScores(kernel_, plan_)))
    return mlir::failure();
  std::vector<ProductSchedule> schedules;
  int64_t block = 0;
  for (const ScoreProduct& product : plan_.products) {
    auto schedule = productScheduleOf(kernel_, k_.target(), plan_.dtype, product.w);
    if (failed(schedule))
      return mlir::failure();
    if (schedule->tiles)
      return kernel_.emitOpError("has a schedule with tiles: a gate has none");
    schedules.push_back(*schedule);
    block = schedule->rowBlock;
  }
  if (plan_.products.empty()) {
    auto schedule = BlockSchedule::of(kernel_);
    if (failed(schedule))
      return mlir::failure();
    block = schedule->block;
  }

  GateRows rows(k_, plan_, schedules);
  for (mlir::BlockArgument argument : kernel_.getBody().front().getArguments())
    rows.bindTensor(argument, baseOf(argument));
  for (mlir::Value value : plan_.routed())
    if (plan_.isRowValue(value) && !resultOf(kernel_, value))
      rows.bindTensor(value, baseOf(value));
  for (auto [i, value] : llvm::enumerate(yieldOf(kernel_)->getOperands()))
    if (plan_.isRowValue(value))
      rows.bindTensor(value, [this, i = i] { return k_.output(i); });
  for (auto [i, product] : llvm::enumerate(plan_.products))
    if (auto output = resultOf(kernel_, ir::MatmulOp(product.op).getResult()))
      rows.writeScores(i, [this, output] { return k_.output(*output); });
  if (failed(rows.check()))
    return mlir::failure();

  k_.stage(Size::ceilDiv(plan_.tokens, block), plan_.tokens * rows.operations(), [&](Value item) {
    Value first = k_.mul(item, block), tokens = k_.size(plan_.tokens);
    if (mlir::Value within = plan_.within()) {
      RoutingView outer = RoutingView::of(k_, within, baseOf(within)());
      tokens = k_.max(first, RoutingView::element(k_, outer.offsets(k_), k_.index(outer.experts)));
    }
    rows.run(first, k_.min(k_.index(block), k_.sub(tokens, first)), block);
  });
  return mlir::success();
}

mlir::LogicalResult GateWriter::write() {
  // Workspaces come before the stages.
  llvm::for_each(plan_.routed(), [&](mlir::Value value) { baseOf(value); });
  if ((!plan_.rowOps.empty() || !plan_.products.empty()) && failed(rowStage()))
    return mlir::failure();
  for (const RoutingChain& chain : plan_.routings)
    writeAssignStage(k_, chain, baseOf(chain.routing), [this](mlir::Value value) { return baseOf(value); });
  return mlir::success();
}

} // namespace

mlir::LogicalResult buildGate(KernelBuilder& k, ir::KernelOp kernel) {
  if (takesRoutingsApart(kernel))
    return buildExpertsOf(k, kernel);
  auto plan = GatePlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  return GateWriter(k, kernel, *plan).write();
}

mlir::DictionaryAttr scheduleGate(ir::KernelOp kernel, const CpuTarget& target) {
  if (takesRoutingsApart(kernel))
    return scheduleExpertsOf(kernel);
  auto plan = GatePlan::of(kernel);
  if (failed(plan))
    return {};
  if (plan->products.empty())
    return BlockSchedule{64}.toAttr(kernel.getContext());
  const ScoreProduct& product = plan->products.front();
  std::optional<int64_t> nr;
  for (const ScoreProduct& each : plan->products)
    nr = nr ? nr : each.w.nr;
  ProductSchedule schedule = chooseProduct({plan->dtype, plan->tokens, product.w.columns, product.w.depth, false, nr}, target);
  // A token's whole row of scores is needed at once; its copy would be read once.
  schedule.panels = std::max<int64_t>(schedule.panels, product.w.panels(schedule.nr).constant().value_or(1));
  schedule.packRows = false;
  if (auto why = schedule.illegal(target, plan->dtype)) {
    kernel.emitOpError("has no legal schedule: ") << *why;
    return {};
  }
  return schedule.attr(kernel.getContext());
}

} // namespace moec::codegen::cpu
