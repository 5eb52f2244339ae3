// The kernel of the tests' program: y[b, i] = w[i] * x[b, i] for f32[batch, 3]. An item is a row. Freestanding, as
// generated kernels are.

#include "runtime/core/KernelAbi.h"

extern "C" void scale(const moec::KernelCall* call, int64_t, int64_t begin, int64_t end, void*) {
  const auto* x = static_cast<const float*>(call->buffers[0]);
  const auto* w = static_cast<const float*>(call->buffers[1]);
  auto* y = static_cast<float*>(call->buffers[2]);
  for (int64_t row = begin; row < end; ++row)
    for (int64_t i = 0; i < 3; ++i)
      y[row * 3 + i] = w[i] * x[row * 3 + i];
}
