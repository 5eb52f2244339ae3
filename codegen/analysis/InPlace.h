#pragma once
// Kernels of rows that may write a result over an argument. Reads the dialect; knows no buffers and no target.

#include "codegen/analysis/Operands.h"

namespace moec::codegen {

/// A result and the argument of its shape and dtype in whose memory it may lie.
struct InPlace {
  unsigned output, input;
};

/// Of a kernel of kind `rows`: the gradient of a cross entropy over its scores, as large as they are. A row is read whole before it is written, and no other
/// reads it. Nothing where more is made of the scores.
std::optional<InPlace> inPlaceOf(ir::KernelOp kernel);

} // namespace moec::codegen
