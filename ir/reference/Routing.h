#pragma once
// A !moe.routing as plain data, and its form in memory (runtime/core/KernelAbi.h, RoutingLayout). Knows no MLIR.

#include "runtime/core/Tensor.h"

#include <optional>

namespace moec::reference {

struct Routing {
  int64_t experts = 0, tokens = 0, choices = 0;
  std::vector<int32_t> offsets;      // [E+1] rows of expert e are rows[offsets[e] .. offsets[e+1])
  std::vector<int32_t> rows;         // [T*K] token*K + choice of each kept row; -1 behind offsets[E]
  std::vector<int32_t> slots;        // [T*K] place in rows of token*K + choice; -1 when dropped
  std::optional<int64_t> bound = {}; // of the rows of ragged tensors, where it is not T*K

  int64_t pairCount() const { return tokens * choices; }
  int64_t rowCount() const { return bound.value_or(pairCount()); } // R
  int64_t kept() const { return offsets.back(); }
  /// The expert whose rows include `row`, a place below kept().
  int64_t expertOf(int64_t row) const;
};

/// From lists per expert of token*choices + choice, in order.
Routing routingOf(const std::vector<std::vector<int32_t>>& lists, int64_t tokens, int64_t choices, std::optional<int64_t> bound = {});

/// The i32 tensor of a RoutingLayout, and back. Error(Internal) when the tensor is no routing of these sizes.
Tensor toTensor(const Routing& routing);
Routing toRouting(const Tensor& tensor, int64_t experts, int64_t tokens, int64_t choices, std::optional<int64_t> bound = {});

} // namespace moec::reference
