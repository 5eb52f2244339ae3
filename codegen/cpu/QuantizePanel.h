#pragma once
// A panel of weights as codes and scales (moe.quantize). Knows addresses and counts only.

#include "codegen/cpu/MicroKernel.h"

namespace moec::codegen::cpu {

/// Where the codes (depth, nr), u8, and the scales (groups, nr), bf16, of a panel go.
struct QuantizedPanel {
  Value codes, scales;
};

/// A panel (depth, nr) of f32 as codes and scales of groups of `group` along the depth; zeros for columns r >= inside. nr is whole vectors.
void quantizePanel(KernelBuilder& k, const Matrix& panel, Value depth, Value inside, int64_t group, const QuantizedPanel& to);

} // namespace moec::codegen::cpu
