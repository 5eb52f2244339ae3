#pragma once
// Rows of a matrix as the columns of a panel: what makes panels of weights and of keys. Knows addresses and counts only.

#include "codegen/cpu/MicroKernel.h"

namespace moec::codegen::cpu {

/// `lanes` vectors of so many lanes each, the i-th of which becomes lane i of all: a square of elements exchanged across its diagonal.
Values exchanged(KernelBuilder& k, Values vectors);

/// panel (depth, nr)[d, r] = rows[r, d] for r < inside, zeros for the others; rows of `dtype`, the panel of `to`, which is it or its sums' dtype. `inside` may
/// be more than nr. `lines`: the panel is stored so (KernelBuilder::storeLines).
void turnPanel(KernelBuilder& k, DType dtype, const Matrix& rows, Value depth, Value inside, int64_t nr, Value panel, DType to, bool lines = false);

} // namespace moec::codegen::cpu
