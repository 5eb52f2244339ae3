#include "codegen/cpu/RoutingView.h"

#include "llvm/Support/MathExtras.h"

namespace moec::codegen::cpu {

Value expertOfRow(KernelBuilder& k, const RoutingView& routing, Value row) {
  // Halving [low, high): the last expert whose rows begin at or before this one.
  Values range{k.index(0), k.index(routing.experts)};
  for (unsigned step = 0; step < llvm::Log2_64_Ceil(static_cast<uint64_t>(routing.experts)); ++step) {
    Value middle = k.div(k.add(range[0], range[1]), 2);
    Value behind = k.compare(ir::Predicate::GT, RoutingView::element(k, routing.offsets(k), middle), row);
    range = {k.choose(behind, range[0], middle), k.choose(behind, middle, range[1])};
  }
  return range[0];
}

ExpertBlock expertBlock(KernelBuilder& k, const RoutingView& routing, Value index, int64_t rowBlock, int64_t unit) {
  // Blocks of the experts before, then the block's expert, its place among the expert's blocks, the expert's first row and its end; the
  // scan is nothing beside a block's products.
  Value none = k.index(-1), zero = k.index(0);
  auto ceilDiv = [&](Value a, Value b) { return k.div(k.add(a, k.sub(b, 1)), b); };
  Values found = k.loop(zero, k.index(routing.experts), k.index(1), {zero, none, zero, zero, zero}, [&](Value expert, const Values& carried) {
    Value begin = RoutingView::element(k, routing.offsets(k), expert), end = RoutingView::element(k, routing.offsets(k), k.add(expert, 1));
    Value before = carried[0], after = k.add(before, ceilDiv(k.sub(end, begin), k.index(rowBlock)));
    Value here = k.bitAnd(k.compare(ir::Predicate::GE, index, before), k.compare(ir::Predicate::LT, index, after));
    return Values{after, k.choose(here, expert, carried[1]), k.choose(here, k.sub(index, before), carried[2]), k.choose(here, begin, carried[3]),
                  k.choose(here, end, carried[4])};
  });
  Value begin = found[3], end = found[4], rows = k.sub(end, begin);
  Value blocks = k.max(k.index(1), ceilDiv(rows, k.index(rowBlock)));
  Value size = k.mul(ceilDiv(ceilDiv(rows, blocks), k.index(unit)), unit);
  Value first = k.add(begin, k.mul(found[2], size));
  return {found[1], first, k.min(size, k.sub(end, first))};
}

} // namespace moec::codegen::cpu
