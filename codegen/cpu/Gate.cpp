// moe.kernel of kind `gate`: scores of tokens, what the rows' ops make of them, and the routing.
//   stage 0, for each block of tokens:  scores = x . w by the micro-kernel; each token's row through the row program
//   one stage for each routing:         rows enter their experts in priority order, sequentially: the order is the meaning
#include "codegen/analysis/GatePlan.h"
#include "codegen/analysis/Rows.h"
#include "codegen/cpu/AssignStage.h"
#include "codegen/cpu/ExpertsOf.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/Product.h"
#include "codegen/cpu/RoutingView.h"
#include "codegen/cpu/RowProgram.h"
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
  void scores(const ScoreProduct& product, const ProductSchedule& schedule, Value first, Value rows, Value to);
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

// to (rows, E) = rows [first, first + rows) of x times w.
void GateWriter::scores(const ScoreProduct& product, const ProductSchedule& schedule, Value first, Value rows, Value to) {
  DType dtype = plan_.dtype;
  int64_t lanes = k_.lanes(dtype), nr = schedule.nr;
  mlir::Type vector = k_.vectorOf(k_.typeOf(dtype), lanes);
  Value depth = k_.size(product.w.depth), columns = k_.size(product.w.columns);
  Matrix x{k_.at(k_.input(product.x), k_.mul(first, depth), dtype), depth};
  ProductBlock block{dtype, x, rows, k_.input(product.w.input), depth, k_.index(0), k_.size(product.w.panels(nr))};
  ProductSchedule ofAll = schedule;
  ofAll.panels = product.w.panels(nr).constant().value_or(schedule.panels);
  multiplyPanels(k_, ofAll, block, [&](Value panel, const Matrix& tile) {
    Value start = k_.mul(panel, nr), count = k_.min(k_.index(nr), k_.sub(columns, start));
    k_.loop(0, rows, 1, [&](Value row) {
      k_.vectorLoop(count, lanes, [&](Value column, Value mask) {
        Value sums = k_.load(vector, k_.at(tile.base, k_.add(k_.mul(row, nr), column), dtype));
        k_.storeElements(dtype, sums, k_.at(to, k_.add(k_.mul(row, columns), k_.add(start, column)), dtype), mask);
      });
    });
  });
}

mlir::LogicalResult GateWriter::rowStage() {
  std::vector<ProductSchedule> schedules;
  int64_t block = 0;
  Size operations = 0;
  for (const ScoreProduct& product : plan_.products) {
    if (plan_.dtype == DType::BF16)
      return kernel_.emitOpError("multiplies matrices of bf16: a gate's scores are f32 or f64");
    if (!product.w.nr)
      return kernel_.emitOpError("of kind \"gate\" takes plain weights: they must be packed (moe.pack)");
    if (product.w.dtype != plan_.dtype)
      return kernel_.emitOpError("of kind \"gate\" takes converted weights: those of a gate are as the model has them");
    auto schedule = productScheduleOf(kernel_, k_.target(), plan_.dtype, product.w);
    if (failed(schedule))
      return mlir::failure();
    schedules.push_back(*schedule);
    block = schedule->rowBlock;
    operations = operations + product.w.columns * product.w.depth * Size(2);
  }
  if (plan_.products.empty()) {
    auto schedule = BlockSchedule::of(kernel_);
    if (failed(schedule))
      return mlir::failure();
    block = schedule->block;
  }

  RowProgram program(k_, plan_.rowOps, plan_.rowOps.empty() ? ir::Sizes() : leadingOfRows(plan_.rowOps));
  Value first;
  Values scratch(plan_.products.size()); // scores of the block of tokens that is being done
  for (auto [i, product] : llvm::enumerate(plan_.products)) {
    mlir::Value result = ir::MatmulOp(product.op).getResult();
    program.bind(result, [&, i = i](Value row) { return k_.at(scratch[i], k_.mul(k_.sub(row, first), k_.size(plan_.products[i].w.columns)), plan_.dtype); });
  }
  for (mlir::BlockArgument argument : kernel_.getBody().front().getArguments())
    mlir::isa<ir::RoutingType>(argument.getType()) ? program.bindRouting(argument, baseOf(argument)) : program.bindTensor(argument, baseOf(argument));
  for (mlir::Value value : plan_.routed())
    if (plan_.isRowValue(value) && !resultOf(kernel_, value))
      program.bindTensor(value, baseOf(value));
  for (auto [i, value] : llvm::enumerate(yieldOf(kernel_)->getOperands()))
    if (plan_.isRowValue(value))
      program.bindTensor(value, [this, i = i] { return k_.output(i); });
  if (failed(program.check()))
    return mlir::failure();

  if (!plan_.rowOps.empty())
    operations = operations + program.operations();
  k_.stage(Size::ceilDiv(plan_.tokens, block), plan_.tokens * operations, [&](Value item) {
    first = k_.mul(item, block);
    Value tokens = k_.size(plan_.tokens);
    if (mlir::Value within = plan_.within()) {
      RoutingView outer = RoutingView::of(k_, within, baseOf(within)());
      tokens = k_.max(first, RoutingView::element(k_, outer.offsets(k_), k_.index(outer.experts)));
    }
    Value rows = k_.min(k_.index(block), k_.sub(tokens, first));
    for (auto [i, product] : llvm::enumerate(plan_.products)) {
      // Scores that the kernel yields are computed in place.
      auto output = resultOf(kernel_, ir::MatmulOp(product.op).getResult());
      scratch[i] = output ? k_.at(k_.output(*output), k_.mul(first, k_.size(product.w.columns)), plan_.dtype)
                          : k_.scratch(bytesOf(plan_.dtype, Size(block) * product.w.columns));
      scores(product, schedules[i], first, rows, scratch[i]);
    }
    if (!plan_.rowOps.empty())
      k_.loop(first, k_.add(first, rows), k_.index(1), [&](Value row) { program.run(row); });
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
