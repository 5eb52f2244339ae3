// moe.kernel of kind `append`: an item is a block of new rows of one sequence, copied into each result's rows from the position on. Nothing else of the results
// is touched: they lie in the memory of the states that they were.
#include "codegen/analysis/CachedPlans.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/Schedule.h"

namespace moec::codegen::cpu {

mlir::DictionaryAttr scheduleAppend(ir::KernelOp kernel, const CpuTarget&) {
  auto plan = AppendPlan::of(kernel);
  if (failed(plan))
    return {};
  int64_t bytes = std::max<int64_t>(1, plan->width * static_cast<int64_t>(byteSize(plan->dtype) * plan->rows.size()));
  BlockSchedule schedule{std::max<int64_t>(1, kItemBytes / bytes)};
  return schedule.toAttr(kernel.getContext());
}

mlir::LogicalResult buildAppend(KernelBuilder& k, ir::KernelOp kernel) {
  auto plan = AppendPlan::of(kernel);
  auto schedule = BlockSchedule::of(kernel);
  if (failed(plan) || failed(schedule))
    return mlir::failure();
  Size blocks = Size::ceilDiv(plan->tokens, Size(schedule->block)), elements = plan->batch * plan->tokens * Size(plan->width);
  k.stage(plan->batch * blocks, elements * Size(static_cast<int64_t>(plan->rows.size())), [&](Value item) {
    Value batch = k.div(item, k.size(blocks)), first = k.mul(k.rem(item, k.size(blocks)), schedule->block);
    Value tokens = k.size(plan->tokens), end = k.min(tokens, k.add(first, schedule->block));
    Value position = k.load(k.i64(), k.input(plan->position));
    k.loop(first, end, k.index(1), [&](Value row) {
      for (auto [number, slice] : llvm::enumerate(plan->rows)) {
        Value from = k.add(k.mul(k.add(k.mul(batch, tokens), row), k.size(slice.width)), k.size(slice.start));
        Value to = k.mul(k.add(k.mul(batch, plan->context), k.add(position, row)), plan->width);
        Value source = k.at(k.input(slice.input), from, plan->dtype), target = k.at(k.output(number), to, plan->dtype);
        k.vectorLoop(k.index(plan->width), k.lanes(plan->dtype), [&](Value i, Value mask) {
          Value elements = k.loadElements(plan->dtype, k.at(source, i, plan->dtype), k.lanes(plan->dtype), mask);
          k.storeElements(plan->dtype, elements, k.at(target, i, plan->dtype), mask);
        });
      }
    });
  });
  return mlir::success();
}

} // namespace moec::codegen::cpu
