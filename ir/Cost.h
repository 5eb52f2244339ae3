#pragma once
// How much arithmetic and memory traffic an op or a kernel needs at least, as sizes of its symbols. Counts useful work:
// data-dependent counts are taken at their upper bound. Knows no machine.

#include "ir/dialect/Moe.h"

namespace moec::ir {

struct Cost {
  Size flops; // additions, multiplications, divisions; 1 for exp, tanh and the like
  Size bytes; // every operand read once, every result written once
};

/// Of a kernel: the flops of its region, the bytes of its arguments and results. Of an argument whose rows are chosen (weights by a routing, a table by ids)
/// as many rows as the choices can reach, if these are fewer than all: a call of one token does not read every expert.
Cost costOf(mlir::Operation* op);
/// Bytes of a value in memory; of a !moe.routing, of its RoutingLayout.
Size bytesOf(mlir::Type type);

} // namespace moec::ir
