#pragma once
// Kernels that may write a result over an argument: of kinds `rows`, `expert_up`, `expert_mid` and `weight_update`. Reads the dialect; knows no buffers and no
// target.

#include "codegen/analysis/Operands.h"

namespace moec::codegen {

/// A result and the argument of its shape and dtype in whose memory it may lie.
struct InPlace {
  unsigned output, input;
};

/// No two of a result, none of an argument:
/// - of a kernel of kind `rows`: the gradient of a cross entropy over its scores, as large as they are. A row is read whole before it is written, and no other
///   reads it. Nothing where more is made of the scores.
/// - of kinds `expert_up`, `expert_mid`, `layer_grad` and `weight_update`: results over what the elementwise ops behind the product read at the same element: a gated
///   expert's rows over its other product, a gradient over the rows before the activation, a weight over itself. All that is read of an element is read before
///   its results are written.
llvm::SmallVector<InPlace> inPlaceOf(ir::KernelOp kernel);

} // namespace moec::codegen
