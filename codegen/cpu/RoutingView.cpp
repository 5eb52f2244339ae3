#include "codegen/cpu/RoutingView.h"

namespace moec::codegen::cpu {

ExpertBlock expertBlock(KernelBuilder& k, const RoutingView& routing, Value index, int64_t rowBlock) {
  // Blocks before the expert, then the block's expert, first row and end; the scan is nothing beside a block's products.
  Value none = k.index(-1), zero = k.index(0);
  Values found = k.loop(zero, k.index(routing.experts), k.index(1), {zero, none, zero, zero}, [&](Value expert, const Values& carried) {
    Value begin = RoutingView::element(k, routing.offsets(k), expert), end = RoutingView::element(k, routing.offsets(k), k.add(expert, 1));
    Value before = carried[0], blocks = k.div(k.add(k.sub(end, begin), rowBlock - 1), rowBlock);
    Value after = k.add(before, blocks);
    Value here = k.bitAnd(k.compare(ir::Predicate::GE, index, before), k.compare(ir::Predicate::LT, index, after));
    Value first = k.add(begin, k.mul(k.sub(index, before), rowBlock));
    return Values{after, k.choose(here, expert, carried[1]), k.choose(here, first, carried[2]), k.choose(here, end, carried[3])};
  });
  return {found[1], found[2], k.min(k.index(rowBlock), k.sub(found[3], found[2]))};
}

Size mostExpertBlocks(const RoutingView& routing, int64_t rowBlock) {
  return Size::min(routing.rows, Size::floorDiv(routing.rows, rowBlock) + Size(routing.experts));
}

} // namespace moec::codegen::cpu
