// rows: an item is a block of rows; each row runs through the program by itself.
//   for row in item's rows: program.run(row)
// Inputs and outputs lie row by row, (.., n) with the kernel's leading sizes or broadcast to them; those of routed ops where a routing says. Rows behind a
// routing's count are left out.
#include "codegen/analysis/Rows.h"
#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/RoutingView.h"
#include "codegen/cpu/RowProgram.h"
#include "codegen/cpu/Schedule.h"

namespace moec::codegen::cpu {

namespace {

std::vector<mlir::Operation*> opsOf(ir::KernelOp kernel) {
  std::vector<mlir::Operation*> ops;
  for (mlir::Operation& op : kernel.getBody().front().without_terminator())
    ops.push_back(&op);
  return ops;
}

} // namespace

mlir::DictionaryAttr scheduleRows(ir::KernelOp kernel, const CpuTarget& target) {
  // The bytes that a row touches; a row of unknown width is taken for a large one.
  int64_t rowBytes = 0;
  auto touch = [&](mlir::Value value) {
    ir::Sizes sizes = ir::sizesOf(value);
    int64_t width = sizes.empty() ? 1 : sizes.back().constant().value_or(4096);
    rowBytes += width * static_cast<int64_t>(byteSize(dtypeOf(value)));
  };
  std::vector<mlir::Operation*> ops = opsOf(kernel);
  llvm::DenseSet<mlir::Value> perRow = onePerRow(ops, leadingOfRows(ops));
  for (mlir::Value value : kernel.getBody().front().getTerminator()->getOperands())
    if (!perRow.contains(value))
      touch(value);
  for (mlir::Operation* op : ops) // long rows that become one number
    if (givesOnePerRow(op))
      touch(op->getOperand(0));
  BlockSchedule schedule{std::clamp<int64_t>(kItemBytes / std::max<int64_t>(rowBytes, 1), 1, 256)};
  return schedule.toAttr(kernel.getContext());
}

mlir::LogicalResult buildRows(KernelBuilder& k, ir::KernelOp kernel) {
  auto schedule = BlockSchedule::of(kernel);
  if (mlir::failed(schedule))
    return mlir::failure();
  std::vector<mlir::Operation*> ops = opsOf(kernel);
  ir::Sizes leading = leadingOfRows(ops);
  RowProgram program(k, ops, leading);
  mlir::Block& body = kernel.getBody().front();
  for (mlir::BlockArgument argument : body.getArguments()) {
    auto base = [&k, argument] { return k.input(argument.getArgNumber()); };
    mlir::isa<ir::RoutingType>(argument.getType()) ? program.bindRouting(argument, base) : program.bindTensor(argument, base);
  }
  for (auto [i, value] : llvm::enumerate(body.getTerminator()->getOperands())) {
    if (mlir::isa<mlir::BlockArgument>(value))
      return kernel.emitError() << "internal: a kernel over rows yields its argument " << i;
    program.bindTensor(value, [&k, i = i] { return k.output(i); });
  }
  if (mlir::failed(program.check()))
    return mlir::failure();

  Size rows = ir::product(leading);
  k.stage(Size::ceilDiv(rows, Size(schedule->block)), rows * program.operations(), [&](Value item) {
    Value first = k.mul(item, schedule->block);
    Value last = k.min(k.add(first, schedule->block), k.size(rows));
    if (mlir::Value ragged = raggedRouting(body.getTerminator())) {
      RoutingView routing = RoutingView::of(k, ragged, k.input(mlir::cast<mlir::BlockArgument>(ragged).getArgNumber()));
      last = k.min(last, RoutingView::element(k, routing.offsets(k), k.index(routing.experts)));
    }
    k.loop(first, last, k.index(1), [&](Value row) { program.run(row); });
  });
  return mlir::success();
}

} // namespace moec::codegen::cpu
