#pragma once
// A !moe.routing as generated code reads it (runtime/core/KernelAbi.h, RoutingLayout). Knows addresses only.

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

struct RoutingView {
  Value base; // the i32 buffer
  int64_t experts = 0;
  Size rows; // R = tokens * choices

  static RoutingView of(KernelBuilder& k, mlir::Value routing, Value base) {
    auto type = mlir::cast<ir::RoutingType>(routing.getType());
    return {base, type.getExperts(), Size::parse(type.getTokens().getValue().str()) * Size(type.getChoices())};
  }
  // Addresses of the three parts; values are i64.
  Value offsets(KernelBuilder& k) const { return base; }
  Value rowList(KernelBuilder& k) const { return k.at(base, k.index(experts + 1), k.i32()); }
  Value slots(KernelBuilder& k) const { return k.at(base, k.add(k.size(rows), experts + 1), k.i32()); }
  static Value element(KernelBuilder& k, Value list, Value index) { return k.toInteger(k.load(k.i32(), k.at(list, index, k.i32())), k.i64()); }
};

/// The expert of a row, a place below the routing's count; behind it, the last expert.
Value expertOfRow(KernelBuilder& k, const RoutingView& routing, Value row);

/// A block of an expert's rows.
struct ExpertBlock {
  Value expert; // -1 when there is no such block
  Value first;  // place in the row list
  Value rows;
};
/// The `index`-th block when each expert's rows are cut, expert by expert, into as few blocks of at most rowBlock as there can be, all about
/// equal: a short last block would read all the weights again for a few rows. Blocks are multiples of `unit`, which divides rowBlock.
ExpertBlock expertBlock(KernelBuilder& k, const RoutingView& routing, Value index, int64_t rowBlock, int64_t unit);

} // namespace moec::codegen::cpu
