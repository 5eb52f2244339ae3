// rows: a group of threads computes a row of all results; the groups of a block take neighbouring rows.
//   [ pieces, sums: what is summed over all rows, as the gradient of a norm's weight (SumsOfRows.h) ]
#include "codegen/analysis/InPlace.h"
#include "codegen/analysis/Rows.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/RowText.h"
#include "codegen/cuda/Schedule.h"
#include "codegen/cuda/SumsOfRows.h"

namespace moec::codegen::cuda {

mlir::DictionaryAttr scheduleRows(ir::KernelOp kernel, const CudaTarget&) {
  std::vector<mlir::Operation*> ops = SumsOfRows::of(kernel).otherOps(kernel);
  RowSchedule schedule = RowSchedule::of(RowText::widest(ops), RowText::wordsOf(ops), 128);
  if (!inPlaceOf(kernel).empty()) // a group without a row of its own reads another's
    schedule = {std::max<int64_t>(schedule.groupThreads, 32), 1};
  return toAttr(kernel.getContext(), {{"group_threads", schedule.groupThreads}, {"rows_per_block", schedule.rowsPerBlock}});
}

mlir::LogicalResult buildRows(KernelText& k, ir::KernelOp kernel) {
  auto schedule = RowSchedule::of(kernel);
  if (mlir::failed(schedule))
    return mlir::failure();
  if (auto places = inPlaceOf(kernel); !places.empty()) {
    if (schedule->rowsPerBlock != 1)
      return kernel.emitOpError(
                 "has an illegal schedule: a kernel that may write its scores' gradient over them does one row in a block, and rows_per_block is ")
             << schedule->rowsPerBlock;
    k.allowInPlace(places);
  }
  SumsOfRows found = SumsOfRows::of(kernel);
  std::vector<mlir::Operation*> ops = found.otherOps(kernel);
  ir::Sizes leading = leadingOfRows(ops);
  Size rows = ir::product(leading);
  Lines lines;
  RowText text(k, lines, ops, leading, *schedule);
  if (mlir::failed(text.check()))
    return mlir::failure();

  RowText::Row row;
  for (auto [i, value] : llvm::zip(found.others, found.otherResults(kernel))) {
    if (mlir::isa<mlir::BlockArgument>(value))
      return kernel.emitError() << "internal: a kernel over rows yields its argument " << i;
    row.sinks.push_back({value, k.output(i)});
  }
  mlir::Value ragged = raggedRouting(yieldOf(kernel));
  SumsOverRows sums(k, found.sums);
  for (auto [i, sum] : llvm::enumerate(sums.sums())) {
    if (!(sum.count == rows))
      return kernel.emitError() << "internal: a kernel over " << rows.str() << " rows sums up " << sum.count.str();
    if (ragged)
      return kernel.emitError() << "internal: a kernel over the rows of a routing sums up all rows";
    if (!mlir::isa<mlir::BlockArgument>(sum.rows))
      row.sinks.push_back({sum.rows, sums.pointerOf(i)});
  }
  int64_t group = schedule->groupThreads, together = schedule->rowsPerBlock;
  k.declare(fmt::format("using Rows = Group<{}>;", group));
  const char* type = rows.constant() && *rows.constant() <= INT32_MAX ? "int" : "long long";
  lines.line("const int lane = Rows::lane();");
  if (ragged) {
    auto routing = mlir::cast<ir::RoutingType>(ragged.getType());
    lines.line("const int kept = {}[{}]; // rows behind have no values", k.input(mlir::cast<mlir::BlockArgument>(ragged).getArgNumber()), routing.getExperts());
    lines.line("if ((long long)blockIdx.x{} >= kept)", together == 1 ? "" : fmt::format(" * {}", together));
    lines.line("  return;");
  }
  if (together == 1) {
    lines.line("const {0} row = ({0})blockIdx.x;", type);
    row.slot = "0";
  } else {
    lines.line("const int slot = (int)threadIdx.x / Rows::threads;");
    lines.line("const {0} index = ({0})blockIdx.x * {1} + slot;", type, together);
    bool whole = !ragged && rows.constant() && *rows.constant() % together == 0;
    std::string end = ragged ? "kept" : k.size(rows);
    if (!whole) {
      // Groups behind the last row do it once more, unwritten: a warp works as one.
      lines.line("const bool live = index < {};", end);
      row.live = "live";
    }
    lines.line("const {} row = {};", type, whole ? "index" : fmt::format("live ? index : {} - 1", end));
    row.slot = "slot";
  }
  row.at = printCoordinates(k, lines, "row", leading, "at");
  text.print(row);
  k.stage({.name = "rows",
           .summary = fmt::format("{} threads compute a row of {}; a block does {}.", group, ir::describe(leading), together),
           .blocks = Size::ceilDiv(rows, together),
           .threads = schedule->threads(),
           .residentBlocks = std::max(1, (text.isWide() ? 512 : 1024) / schedule->threads()), // 128 registers, or 64
           .operations = rows * text.operations(),
           .body = lines.str()});
  if (!found.sums.empty())
    sums.addStages();
  return mlir::success();
}

} // namespace moec::codegen::cuda
