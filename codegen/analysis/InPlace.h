#pragma once
// Kernels that may write a result over an argument: of kinds `rows`, `expert_up` and `expert_mid` where memory is saved by it, of kind `weight_update` where a
// state is. Reads the dialect; knows no buffers and no target.

#include "codegen/analysis/Operands.h"

namespace moec::codegen {

/// A result and the argument of its shape and dtype in whose memory it may lie.
struct InPlace {
  unsigned output, input;
};

/// No two of a result, none of an argument:
/// - of a kernel of kind `rows`: the gradient of a cross entropy over its scores, as large as they are. A row is read whole before it is written, and no other
///   reads it. Nothing where more is made of the scores than their losses, each a number of a row.
/// - of kinds `expert_up`, `expert_mid` and `layer_grad`: over an argument that elementwise ops behind the product read at the element they write. So a gated
///   expert's result lies over its other product, and a gradient over the rows before the activation. All that is read of an element is read before its
///   results are written.
llvm::SmallVector<InPlace> inPlaceOf(ir::KernelOp kernel);

/// Arguments and results, of which an argument may be in the memory of a result.
struct SharedMemory {
  llvm::SmallVector<unsigned, 4> inputs, outputs;
};

/// Those of inPlaceOf(). Of a kernel of kind `weight_update` those of equal types: a state is written over itself, and which argument that is its body does not
/// say, as other tensors of the weight's shape may stand beside.
SharedMemory sharedMemoryOf(ir::KernelOp kernel);

} // namespace moec::codegen
