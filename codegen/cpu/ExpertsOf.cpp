// moe.kernel of kind `gate` that only takes routings apart: each moe.experts_of of one routing, an argument.
//   for each result, for each row of the list: its row, if it is of these experts; for each choice: its place among them, if it has one
#include "codegen/cpu/ExpertsOf.h"

#include "codegen/analysis/GatePlan.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/RoutingView.h"
#include "codegen/cpu/Schedule.h"

namespace moec::codegen::cpu {

mlir::LogicalResult buildExpertsOf(KernelBuilder& k, ir::KernelOp kernel) {
  auto schedule = BlockSchedule::of(kernel);
  if (failed(schedule))
    return mlir::failure();
  auto parts = routingPartsOf(kernel);
  if (failed(parts))
    return mlir::failure();
  for (const auto& [i, taken] : llvm::enumerate(*parts)) {
    RoutingView shape = RoutingView::of(k, taken.routing, {});
    k.stage(Size::ceilDiv(shape.rows, Size(schedule->block)) + Size(1), shape.rows * Size(4), [&, i = i, taken = taken](Value item) {
      RoutingView all = RoutingView::of(k, taken.routing, k.input(taken.input));
      RoutingView part = RoutingView::of(k, taken.result, k.output(static_cast<unsigned>(i)));
      auto write = [&](Value list, Value place, Value value) { k.store(k.toInteger(value, k.i32()), k.at(list, place, k.i32())); };
      Value zero = k.index(0), none = k.index(-1);
      Value begin = RoutingView::element(k, all.offsets(k), k.index(taken.from));
      Value rows = k.sub(RoutingView::element(k, all.offsets(k), k.index(taken.from + taken.count)), begin);
      // The first item has the offsets, the others a block of rows and choices each.
      k.when(k.compare(ir::Predicate::EQ, item, zero), [&] {
        k.loop(0, k.index(taken.count + 1), 1,
               [&](Value expert) { write(part.offsets(k), expert, k.sub(RoutingView::element(k, all.offsets(k), k.add(expert, taken.from)), begin)); });
      });
      Value first = k.mul(k.sub(item, 1), schedule->block), last = k.min(k.add(first, schedule->block), k.size(all.rows));
      k.loop(k.max(first, zero), k.choose(k.compare(ir::Predicate::EQ, item, zero), zero, last), k.index(1), [&](Value row) {
        Value isKept = k.compare(ir::Predicate::LT, row, rows);
        Value there = k.choose(isKept, k.add(row, begin), zero);
        write(part.rowList(k), row, k.choose(isKept, RoutingView::element(k, all.rowList(k), there), none));
        Value place = k.sub(RoutingView::element(k, all.slots(k), row), begin);
        Value isMine = k.bitAnd(k.compare(ir::Predicate::GE, place, zero), k.compare(ir::Predicate::LT, place, rows));
        write(part.slots(k), row, k.choose(isMine, place, none));
      });
    });
  }
  return mlir::success();
}

mlir::DictionaryAttr scheduleExpertsOf(ir::KernelOp kernel) { return BlockSchedule{1024}.toAttr(kernel.getContext()); }

} // namespace moec::codegen::cpu
