// pack: w (.., N, K) to panels (.., ceil(N/nr), K, nr); an item is a block of panels.
//   for panel in item: for k: for r < nr: out[panel, k, r] = row n = panel * nr + r inside w ? w[n, k] : 0
// w may lie as (.., K, N), through moe.transpose: then a panel is runs of its rows.
#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/Schedule.h"
#include "codegen/cpu/TurnPanel.h"

namespace moec::codegen::cpu {

namespace {

/// The one op; null with a diagnostic when the kernel holds something else.
ir::PackOp packOf(ir::KernelOp kernel) {
  mlir::Block& body = kernel.getBody().front();
  auto pack = mlir::dyn_cast_or_null<ir::PackOp>(body.getTerminator()->getPrevNode());
  mlir::Value from = pack ? pack.getW() : mlir::Value(), exchanged = pack ? exchangedFrom(from) : mlir::Value();
  if (!pack || !mlir::isa<mlir::BlockArgument>(exchanged ? exchanged : from) || body.getOperations().size() != (exchanged ? 3 : 2) ||
      body.getTerminator()->getOperands() != mlir::ValueRange(pack->getResults())) {
    kernel.emitError() << "internal: a kernel of kind \"pack\" holds one moe.pack of its argument, or of moe.transpose of its last two dimensions";
    return nullptr;
  }
  return pack;
}

/// `inside` elements of each of `depth` rows of a matrix `stride` wide into the rows of a panel, zeros behind.
void copyPanel(KernelBuilder& k, DType dtype, const Matrix& rows, Value depth, Value inside, int64_t nr, Value panel) {
  int64_t lanes = std::min(nr, k.lanes(dtype));
  Value zero = k.zero(k.typeOf(dtype));
  k.loop(0, depth, 1, [&](Value d) {
    Value from = k.at(rows.base, k.mul(d, rows.stride), dtype), to = k.at(panel, k.mul(d, nr), dtype);
    k.vectorLoop(inside, lanes,
                 [&](Value r, Value mask) { k.storeElements(dtype, k.loadElements(dtype, k.at(from, r, dtype), lanes, mask), k.at(to, r, dtype), mask); });
    k.loop(inside, k.index(nr), k.index(1), [&](Value r) { k.storeElements(dtype, zero, k.at(to, r, dtype)); });
  });
}

} // namespace

mlir::DictionaryAttr schedulePack(ir::KernelOp kernel, const CpuTarget& target) {
  ir::PackOp pack = packOf(kernel);
  if (!pack)
    return nullptr;
  int64_t depth = ir::sizesOf(pack.getW()).back().constant().value_or(1024);
  int64_t panelBytes = depth * pack.getNr() * static_cast<int64_t>(byteSize(dtypeOf(pack.getW())));
  BlockSchedule schedule{std::clamp<int64_t>(4 * kItemBytes / std::max<int64_t>(panelBytes, 1), 1, 256)};
  return schedule.toAttr(kernel.getContext());
}

mlir::LogicalResult buildPack(KernelBuilder& k, ir::KernelOp kernel) {
  ir::PackOp pack = packOf(kernel);
  auto schedule = BlockSchedule::of(kernel);
  if (!pack || mlir::failed(schedule))
    return mlir::failure();
  ir::Sizes from = ir::sizesOf(pack.getW());
  DType dtype = dtypeOf(pack.getW());
  int64_t nr = pack.getNr();
  bool exchanged = static_cast<bool>(exchangedFrom(pack.getW()));
  Size depth = from.back(), rows = from[from.size() - 2], panels = Size::ceilDiv(rows, Size(nr));
  Size all = panels;
  for (size_t i = 0; i + 2 < from.size(); ++i)
    all = all * from[i];

  k.stage(Size::ceilDiv(all, Size(schedule->block)), all * depth * Size(nr), [&](Value item) {
    Value first = k.mul(item, schedule->block);
    Value last = k.min(k.add(first, schedule->block), k.size(all));
    k.loop(first, last, k.index(1), [&](Value panel) {
      Value matrix = k.div(panel, k.size(panels)), width = k.size(rows), height = k.size(depth);
      Value row = k.mul(k.rem(panel, k.size(panels)), nr); // its first, within the matrix
      Value inside = k.min(k.sub(width, row), k.index(nr));
      Value source = k.at(k.input(0), k.mul(matrix, k.size(rows * depth)), dtype), result = k.at(k.output(0), k.mul(panel, k.mul(height, nr)), dtype);
      if (exchanged)
        copyPanel(k, dtype, {k.at(source, row, dtype), width}, height, inside, nr, result);
      else
        turnPanel(k, dtype, {k.at(source, k.mul(row, height), dtype), height}, height, inside, nr, result, dtype);
    });
  });
  return mlir::success();
}

} // namespace moec::codegen::cpu
