// pack: w (.., N, K) to panels (.., ceil(N/nr), K, nr); an item is a block of panels.
//   for panel in item: for k: for r < nr: out[panel, k, r] = row n = panel * nr + r inside w ? w[n, k] : 0
#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/Schedule.h"

namespace moec::codegen::cpu {

namespace {

/// The one op; null with a diagnostic when the kernel holds something else.
ir::PackOp packOf(ir::KernelOp kernel) {
  mlir::Block& body = kernel.getBody().front();
  auto pack = mlir::dyn_cast<ir::PackOp>(body.front());
  if (!pack || !mlir::isa<mlir::BlockArgument>(pack.getW()) || body.getOperations().size() != 2 ||
      body.getTerminator()->getOperands() != mlir::ValueRange(pack->getResults())) {
    kernel.emitError() << "internal: a kernel of kind \"pack\" holds one moe.pack of its argument";
    return nullptr;
  }
  return pack;
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
  Size depth = from.back(), rows = from[from.size() - 2], panels = Size::ceilDiv(rows, Size(nr));
  Size all = panels;
  for (size_t i = 0; i + 2 < from.size(); ++i)
    all = all * from[i];

  k.stage(Size::ceilDiv(all, Size(schedule->block)), all * depth * Size(nr), [&](Value item) {
    Value first = k.mul(item, schedule->block);
    Value last = k.min(k.add(first, schedule->block), k.size(all));
    k.loop(first, last, k.index(1), [&](Value panel) {
      Value matrix = k.div(panel, k.size(panels));
      Value row = k.mul(k.rem(panel, k.size(panels)), nr); // its first, within the matrix
      Value source = k.at(k.input(0), k.mul(k.add(k.mul(matrix, k.size(rows)), row), k.size(depth)), dtype);
      Value result = k.at(k.output(0), k.mul(panel, k.mul(k.size(depth), nr)), dtype);
      Value inside = k.min(k.sub(k.size(rows), row), k.index(nr));
      Value zero = k.zero(k.typeOf(dtype));
      k.loop(0, k.size(depth), 1, [&](Value d) {
        Value line = k.at(result, k.mul(d, nr), dtype);
        k.loop(0, inside, 1, [&](Value r) {
          Value element = k.loadElements(dtype, k.at(source, k.add(k.mul(r, k.size(depth)), d), dtype), 1);
          k.storeElements(dtype, element, k.at(line, r, dtype));
        });
        k.loop(inside, k.index(nr), k.index(1), [&](Value r) { k.storeElements(dtype, zero, k.at(line, r, dtype)); });
      });
    });
  });
  return mlir::success();
}

} // namespace moec::codegen::cpu
