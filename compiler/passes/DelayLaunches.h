#pragma once
// Where launches stand that something waits for later. Knows no buffer: what has memory of its own is told by the ops.

#include "ir/dialect/Moe.h"

namespace moec::compiler {

/// Moves each kernel in front of the first that uses it, where waiting costs no memory: all that it reads is there until then in any case. Rows that are
/// gathered for one gradient at the end of a step are gathered there, and do not lie in memory all the way. The launches of a MoE layer that stand together
/// stay so, and what they read goes in front of the first: the order is that of a target where the layer is one launch. Comes before updates are placed, which
/// stand behind all readers.
void delayLaunches(mlir::func::FuncOp function);

} // namespace moec::compiler
