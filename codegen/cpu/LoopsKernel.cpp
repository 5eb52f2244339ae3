// loops: every element of the results is computed from the arguments by itself; an item is a block of lines, a line runs along the last
// dimension. Of a single line, an item is a piece.
//   [ reductions of many elements into few: stages of their own, before ]
//   for line in item:                       coordinates of all dimensions but the last; short lines by loops over the dimensions around them
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

#include <functional>
#include <set>

namespace moec::codegen::cpu {

namespace {

/// Whether there is but one line: blocks are of its elements then.
bool isOneLine(const ir::Sizes& sizes) { return ir::product(ir::Sizes(sizes.begin(), sizes.empty() ? sizes.end() : sizes.end() - 1)) == Size(1); }

/// How many of the dimensions before the last an item goes through by loops, and how many lines these are: where lines are short, coordinates of each by
/// division would take longer than its elements.
struct LinesTogether {
  size_t dimensions = 0;
  int64_t lines = 1;

  LinesTogether(const ir::Sizes& outer, const Size& width, int64_t block) {
    constexpr int64_t longLine = 64; // elements
    for (; dimensions < outer.size() && width.constant().value_or(longLine) * lines < longLine; ++dimensions) {
      std::optional<int64_t> next = outer[outer.size() - 1 - dimensions].constant();
      if (!next || *next < 1 || lines * *next > block)
        return;
      lines *= *next;
    }
  }
};

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
  Size width = sizes.empty() ? Size(1) : sizes.back();
  std::vector<int64_t> cuts = cutsOf(body, width);
  auto writePiece = [&](Value line, Values at, const ElementPuller::Piece& piece) {
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
  LinesTogether together(outer, width, schedule->block);
  ir::Sizes head(outer.begin(), outer.end() - static_cast<std::ptrdiff_t>(together.dimensions));
  std::function<void(Value, const Values&)> writeLines = [&](Value line, const Values& at) {
    if (at.size() == outer.size())
      return writePiece(line, at, {k.index(0), k.size(width), width});
    const Size& size = outer[at.size()];
    k.loop(0, k.size(size), 1, [&](Value i) {
      Values next = at;
      next.push_back(i);
      writeLines(k.add(k.mul(line, k.size(size)), i), next);
    });
  };
  Size all = isOneLine(sizes) ? width : ir::product(head);
  int64_t inItem = isOneLine(sizes) ? schedule->block : schedule->block / together.lines;
  k.stage(Size::ceilDiv(all, Size(inItem)), operations, [&](Value item) {
    Value first = k.mul(item, inItem), last = k.min(k.add(first, inItem), k.size(all));
    if (isOneLine(sizes))
      writePiece(k.index(0), puller.coordinatesOf(k.index(0), outer), {first, last, inItem});
    else
      k.loop(first, last, k.index(1), [&](Value lines) { writeLines(lines, puller.coordinatesOf(lines, head)); });
  });
  return mlir::success();
}

} // namespace moec::codegen::cpu
