#include "ir/reference/Routing.h"

#include "runtime/core/Error.h"
#include "runtime/core/KernelAbi.h"

#include <algorithm>

namespace moec::reference {

int64_t Routing::expertOf(int64_t row) const { return std::upper_bound(offsets.begin(), offsets.end(), row) - offsets.begin() - 1; }

Routing routingOf(const std::vector<std::vector<int32_t>>& lists, int64_t tokens, int64_t choices, std::optional<int64_t> bound) {
  Routing routing{static_cast<int64_t>(lists.size()), tokens, choices, {0}, {}, {}, bound};
  routing.slots.assign(routing.pairCount(), -1);
  for (const std::vector<int32_t>& list : lists) {
    for (int32_t row : list) {
      routing.slots[row] = static_cast<int32_t>(routing.rows.size());
      routing.rows.push_back(row);
    }
    routing.offsets.push_back(static_cast<int32_t>(routing.rows.size()));
  }
  routing.rows.resize(routing.pairCount(), -1);
  return routing;
}

Tensor toTensor(const Routing& routing) {
  std::vector<int32_t> values = routing.offsets;
  values.insert(values.end(), routing.rows.begin(), routing.rows.end());
  values.insert(values.end(), routing.slots.begin(), routing.slots.end());
  int64_t count = static_cast<int64_t>(values.size());
  return Tensor::of(std::move(values), {count});
}

Routing toRouting(const Tensor& tensor, int64_t experts, int64_t tokens, int64_t choices, std::optional<int64_t> bound) {
  RoutingLayout layout{experts, tokens * choices};
  if (tensor.dtype() != DType::I32 || tensor.elements() != layout.elements())
    throw Error(Fault::Internal, describe(tensor) + " is no routing of " + std::to_string(experts) + " experts and " + std::to_string(layout.rows) + " rows");
  std::span<const int32_t> values = tensor.as<const int32_t>();
  auto part = [&](int64_t begin, int64_t count) { return std::vector<int32_t>(values.begin() + begin, values.begin() + begin + count); };
  Routing routing{experts, tokens, choices, part(layout.offsets(), experts + 1), part(layout.rowList(), layout.rows), part(layout.slots(), layout.rows), bound};
  bool sorted = routing.offsets.front() == 0 && std::is_sorted(routing.offsets.begin(), routing.offsets.end());
  bool whole = sorted && routing.kept() <= layout.rows;
  for (int64_t row = 0; whole && row < routing.kept(); ++row) {
    int32_t place = routing.rows[row];
    whole = place >= 0 && place < layout.rows && routing.slots[place] == row;
  }
  int64_t taken = std::count_if(routing.slots.begin(), routing.slots.end(), [](int32_t slot) { return slot >= 0; });
  if (!whole || taken != routing.kept())
    throw Error(Fault::Internal, "the offsets, rows and slots of a routing contradict each other");
  return routing;
}

} // namespace moec::reference
