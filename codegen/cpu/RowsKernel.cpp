// rows: an item is a block of rows; each row runs through the program by itself, or narrow ones with rows along vectors (TokenLanes.h).
//   for row in item's rows: program.run(row)
//   [ partials[item] = sums of its rows, column by column ]
//   [ for each block of columns: the items' partials, in their order ]
// Inputs and outputs lie row by row, (.., n) with the kernel's leading sizes or broadcast to them; those of routed ops where a routing says. Rows behind a
// routing's count are left out.
#include "codegen/analysis/Rows.h"
#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/RoutingView.h"
#include "codegen/cpu/RowProgram.h"
#include "codegen/cpu/Schedule.h"
#include "codegen/cpu/SumsOfRows.h"
#include "codegen/cpu/TokenLanes.h"

namespace moec::codegen::cpu {

namespace {

constexpr int64_t kRowsOfSums = 16; // of an item whose rows are summed up, at least

} // namespace

mlir::DictionaryAttr scheduleRows(ir::KernelOp kernel, const CpuTarget& target) {
  // The bytes that a row touches; a row of unknown width is taken for a large one.
  int64_t rowBytes = 0;
  auto touch = [&](mlir::Value value) {
    ir::Sizes sizes = ir::sizesOf(value);
    int64_t width = sizes.empty() ? 1 : sizes.back().constant().value_or(4096);
    rowBytes += width * static_cast<int64_t>(byteSize(dtypeOf(value)));
  };
  SumsOfRows sums = SumsOfRows::of(kernel);
  std::vector<mlir::Operation*> ops = sums.otherOps(kernel);
  llvm::DenseSet<mlir::Value> perRow = onePerRow(ops, leadingOfRows(ops));
  for (mlir::Value value : sums.otherResults(kernel))
    if (!perRow.contains(value))
      touch(value);
  for (const SumOfRows& sum : sums.sums)
    touch(sum.rows);
  for (mlir::Operation* op : ops) // long rows that become one number
    if (givesOnePerRow(op))
      touch(op->getOperand(0));
  // An item's partial sums are written once and read once by another thread: that must be little beside its rows.
  int64_t least = sums.sums.empty() ? 1 : kRowsOfSums;
  BlockSchedule schedule{std::clamp<int64_t>(kItemBytes / std::max<int64_t>(rowBytes, 1), least, 256)};
  return schedule.toAttr(kernel.getContext());
}

mlir::LogicalResult buildRows(KernelBuilder& k, ir::KernelOp kernel) {
  auto schedule = BlockSchedule::of(kernel);
  if (mlir::failed(schedule))
    return mlir::failure();
  SumsOfRows found = SumsOfRows::of(kernel);
  std::vector<mlir::Operation*> ops = found.otherOps(kernel);
  ir::Sizes leading = leadingOfRows(ops);
  Size rows = ir::product(leading), items = Size::ceilDiv(rows, Size(schedule->block));
  SumsOverRows sums(k, found.sums, items, schedule->block);
  RowProgram program(k, ops, leading);
  mlir::Block& body = kernel.getBody().front();
  mlir::Value ragged = raggedRouting(body.getTerminator());
  std::optional<TokenLanes> lanes;
  if (found.sums.empty() && !ragged && leading.size() == 1 && TokenLanes::takes(ops, leading[0], k.target()))
    lanes.emplace(k, ops);
  auto bindAll = [&](auto& rowsOf) {
    for (mlir::BlockArgument argument : body.getArguments()) {
      auto base = [&k, argument] { return k.input(argument.getArgNumber()); };
      mlir::isa<ir::RoutingType>(argument.getType()) ? rowsOf.bindRouting(argument, base) : rowsOf.bindTensor(argument, base);
    }
    for (auto [i, value] : llvm::zip(found.others, found.otherResults(kernel)))
      rowsOf.bindTensor(value, [&k, i = i] { return k.output(i); });
  };
  for (auto [i, value] : llvm::zip(found.others, found.otherResults(kernel))) {
    if (mlir::isa<mlir::BlockArgument>(value))
      return kernel.emitError() << "internal: a kernel over rows yields its argument " << i;
  }
  bindAll(program);
  if (lanes)
    bindAll(*lanes);
  for (auto [i, sum] : llvm::enumerate(sums.sums())) {
    if (!(sum.count == rows))
      return kernel.emitError() << "internal: a kernel over " << rows.str() << " rows sums up " << sum.count.str();
    if (!mlir::isa<mlir::BlockArgument>(sum.rows))
      program.bind(sum.rows, [&sums, i = i](Value row) { return sums.scratchOf(i, row); });
  }
  if (mlir::failed(program.check()))
    return mlir::failure();

  k.stage(items, rows * program.operations() + found.operations(), [&](Value item) {
    Value first = k.mul(item, schedule->block);
    Value last = k.min(k.add(first, schedule->block), k.size(rows));
    if (lanes)
      return lanes->run(first, k.sub(last, first));
    if (ragged) {
      RoutingView routing = RoutingView::of(k, ragged, k.input(mlir::cast<mlir::BlockArgument>(ragged).getArgNumber()));
      last = k.min(last, RoutingView::element(k, routing.offsets(k), k.index(routing.experts)));
    }
    k.loop(first, last, k.index(1), [&](Value row) { program.run(row); });
    sums.addRows(item, first, last);
  });
  if (!found.sums.empty())
    sums.joinStage();
  return mlir::success();
}

} // namespace moec::codegen::cpu
