#pragma once
// The tensors of a layer of experts, and which rows go where, worked out on the host in double.

#include "runtime/core/Tensor.h"

#include <vector>

namespace moec::bench {

/// A model that is one layer of experts: scores (E, D), up (E, H, D), down (E, D, H), each with its bias. Tensors by
/// the names of torch_layer.py.
struct ExpertLayer {
  TensorMap tensors;
  int64_t tokens = 0, width = 0, hidden = 0, experts = 0, choices = 0;

  /// Error(Internal) when the weights are not those of such a layer.
  static ExpertLayer of(const TensorMap& weights, const Tensor& x, int64_t choices);
};

/// Rows grouped by expert: rows [offsets[e], offsets[e+1]) are of these tokens.
struct ExpertRows {
  std::vector<int> offsets, tokens;
};
ExpertRows rowsOf(const ExpertLayer& layer);

/// Furthest that sampled elements of c (R, N) lie from the sums over a (R, K) times w (E, N, K), relative to the sum of
/// the products' sizes.
double productError(const ExpertRows& rows, const float* a, const float* w, const float* c, int64_t columns, int64_t depth);

} // namespace moec::bench
