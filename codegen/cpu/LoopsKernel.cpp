// loops: every element of the results is computed from the arguments by itself; an item is a block of lines, a line runs along the last
// dimension. Of a single line, an item is a piece.
//   [ reductions of many elements into few: stages of their own, before ]
//   for line in item:                       coordinates of all dimensions but the last
//     [ for axis: for j: sum[j] += x ]      other reductions along other axes: all of the line's, by turns, in scratch
//     for j: result[line, j] = element(line, j)
// LLVM makes vectors of the loops over j: nothing in them depends on the turn before. Where values stand side by side in a line, it is cut between them: of
// a loop with one of them alone LLVM drops the choice.
#include "codegen/analysis/LoopsPlan.h"
#include "codegen/cpu/ElementPuller.h"
#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/PartialReduction.h"
#include "codegen/cpu/Schedule.h"

#include <set>

namespace moec::codegen::cpu {

namespace {

/// Whether there is but one line: blocks are of its elements then.
bool isOneLine(const ir::Sizes& sizes) { return ir::product(ir::Sizes(sizes.begin(), sizes.empty() ? sizes.end() : sizes.end() - 1)) == Size(1); }

/// Where a line of `width` elements changes from one value to the next, in order.
std::vector<int64_t> cutsOf(mlir::Block& body, const Size& width) {
  constexpr size_t most = 8; // each is a loop more
  std::set<int64_t> cuts;
  for (ir::ConcatOp concat : body.getOps<ir::ConcatOp>()) {
    ir::Sizes sizes = ir::sizesOf(concat.getResult());
    if (concat.getAxis() + 1 != sizes.size() || !(sizes.back() == width))
      continue;
    Size place = 0;
    for (mlir::Value x : llvm::drop_end(concat.getXs())) {
      place = place + ir::sizesOf(x).back();
      if (std::optional<int64_t> known = place.constant(); known && *known > 0)
        cuts.insert(*known);
    }
  }
  return cuts.size() <= most ? std::vector<int64_t>(cuts.begin(), cuts.end()) : std::vector<int64_t>();
}

} // namespace

mlir::DictionaryAttr scheduleLoops(ir::KernelOp kernel, const CpuTarget& target) {
  int64_t lineBytes = 0, longest = 1; // elements
  for (mlir::Value value : kernel.getBody().front().getTerminator()->getOperands()) {
    ir::Sizes sizes = ir::sizesOf(value);
    int64_t width = sizes.empty() || isOneLine(sizes) ? 1 : sizes.back().constant().value_or(4096);
    lineBytes += width * static_cast<int64_t>(byteSize(dtypeOf(value)));
    longest = std::max(longest, width);
  }
  for (ir::ReduceOp reduce : kernel.getBody().front().getOps<ir::ReduceOp>()) { // rows that become numbers of a line: one for each, or one for all of it
    ir::Sizes from = ir::sizesOf(mlir::Value(reduce.getX())), to = ir::sizesOf(mlir::Value(reduce.getResult()));
    if (reduce.getAxis() + 1 != from.size() || PartialReduction::of(reduce))
      continue;
    int64_t rows = to.empty() || isOneLine(to) ? 1 : std::min(to.back().constant().value_or(4096), longest);
    lineBytes += rows * from.back().constant().value_or(4096) * static_cast<int64_t>(byteSize(dtypeOf(reduce.getX())));
  }
  BlockSchedule schedule{std::clamp<int64_t>(kItemBytes / std::max<int64_t>(lineBytes, 1), 1, 4096)};
  return schedule.toAttr(kernel.getContext());
}

mlir::LogicalResult buildLoops(KernelBuilder& k, ir::KernelOp kernel) {
  auto schedule = BlockSchedule::of(kernel);
  if (mlir::failed(schedule))
    return mlir::failure();
  auto plan = LoopsPlan::of(kernel);
  if (mlir::failed(plan))
    return mlir::failure();
  const ir::Sizes& sizes = plan->sizes;
  Size operations = LoopsPlan::operations(kernel, elementCost);
  mlir::Block& body = kernel.getBody().front();
  mlir::OperandRange results = body.getTerminator()->getOperands();
  ElementPuller puller(k);

  ir::Sizes outer(sizes.begin(), sizes.empty() ? sizes.end() : sizes.end() - 1);
  Size lines = ir::product(outer), width = sizes.empty() ? Size(1) : sizes.back();
  std::vector<int64_t> cuts = cutsOf(body, width);
  auto writePiece = [&](Value line, const ElementPuller::Piece& piece) {
    Values at = puller.coordinatesOf(line, outer);
    if (!sizes.empty())
      at.push_back({});
    puller.startLine();
    for (mlir::Value result : results)
      puller.reduceAlongLine(result, at, piece);
    Value start = k.mul(line, k.size(width));
    auto write = [&](Value begin, Value end) {
      k.loop(begin, end, k.index(1), [&](Value j) {
        if (!sizes.empty())
          at.back() = j;
        puller.startElement(j);
        for (auto [i, result] : llvm::enumerate(results)) {
          DType dtype = dtypeOf(result);
          k.storeElements(dtype, puller.elementAt(result, at), k.at(k.output(i), k.add(start, j), dtype));
        }
      });
    };
    Value begin = piece.begin;
    for (int64_t cut : cuts) {
      Value end = k.max(begin, k.min(piece.end, k.index(cut)));
      write(begin, end);
      begin = end;
    }
    write(begin, piece.end);
  };

  std::vector<PartialReduction> partials;
  for (ir::ReduceOp reduce : body.getOps<ir::ReduceOp>())
    if (auto partial = PartialReduction::of(reduce)) {
      partial->addWorkspaces(k);
      partials.push_back(*partial);
    }
  for (PartialReduction& partial : partials)
    partial.write(k, puller);
  Size all = isOneLine(sizes) ? width : lines;
  k.stage(Size::ceilDiv(all, Size(schedule->block)), operations, [&](Value item) {
    Value first = k.mul(item, schedule->block);
    Value last = k.min(k.add(first, schedule->block), k.size(all));
    if (isOneLine(sizes))
      writePiece(k.index(0), {first, last, schedule->block});
    else
      k.loop(first, last, k.index(1), [&](Value line) { writePiece(line, {k.index(0), k.size(width), width}); });
  });
  return mlir::success();
}

} // namespace moec::codegen::cpu
