#pragma once
// Kernels of kinds `update` and `totals` over tensors of many sizes, for CPU and CUDA: the same text, held against the reference.

#include "runtime/core/Tensor.h"

#include <string>
#include <vector>

namespace moec::testing {

struct ManyTensors {
  std::string arguments, results, body;
  std::vector<Tensor> inputs;                         // the first ones
  std::vector<std::pair<unsigned, unsigned>> inPlace; // result and the argument whose memory it may take
};

/// Momentum of most tensors, with numbers that are written in each tensor's part anew; bf16 parameters with master weights among them; a plain scaling of
/// others; tensors of one element of each.
ManyTensors manyUpdates();
/// The norm of tensors of a dtype, and what scales it down to 1; the mean of one of them. bf16 ones are summed in f32.
ManyTensors normOf(const std::string& dtype);

} // namespace moec::testing
