#pragma once
// What candidates of all kinds share: the sizes that they are made of, and how much scratch of a thread they may take.

#include "codegen/analysis/Operands.h"
#include "codegen/cpu/ProductSchedule.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>

namespace moec::codegen::cpu {

using Candidates = std::vector<mlir::DictionaryAttr>;

// A worker's copies and sums. The cost model takes about half of L2; beyond a few MiB nothing is gained.
inline constexpr int64_t kMostScratch = 4 << 20;
inline constexpr int64_t kMostVectors = 3; // of a panel
inline constexpr const char* kOtherEntries = "it has not the entries of this kind of kernel";

inline int64_t upTo(int64_t value, int64_t multiple) { return ceilDiv(std::max<int64_t>(value, 1), multiple) * multiple; }

using Elements = __int128; // products of three sizes

/// Rows of so many elements that lie a line further apart than they need to, at most.
inline Elements spread(int64_t elements, DType dtype) {
  int64_t line = 64 / bytesOfSum(dtype);
  return upTo(elements, line) + line;
}
inline int64_t scratchBytes(Elements elements, DType dtype) {
  return static_cast<int64_t>(std::min<Elements>(elements * bytesOfSum(dtype), std::numeric_limits<int64_t>::max()));
}
inline std::optional<std::string> refusalOfScratch(int64_t bytes, int64_t ofModel) {
  if (bytes > std::max(kMostScratch, ofModel))
    return "its blocks take " + std::to_string(bytes) + " bytes of each thread";
  return std::nullopt;
}

/// The entries as one kind of schedule has them and no others; nothing for a dictionary of anything else.
template <class Schedule> std::optional<Schedule> exactly(mlir::DictionaryAttr attr) {
  auto schedule = Schedule::from(attr);
  return schedule && schedule->attr(attr.getContext()) == attr ? schedule : std::nullopt;
}

} // namespace moec::codegen::cpu
