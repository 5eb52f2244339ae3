#include "runtime/data/Order.h"

#include "runtime/core/Philox.h"

#include <array>
#include <numeric>
#include <utility>

namespace moec::data {

namespace {

/// A number in [0, bound), each with the same chance: the bits of a draw are taken again with another counter while they stand in the part of 2^64 that `bound`
/// does not divide.
uint64_t below(uint64_t bound, uint64_t seed, uint32_t epoch, uint64_t place) {
  constexpr uint32_t stream = streamOf("data.order");
  uint64_t excess = (0 - bound) % bound; // 2^64 mod bound
  for (uint32_t attempt = 0;; ++attempt) {
    std::array<uint32_t, 4> words = draw(seed, stream + attempt, epoch, place);
    uint64_t bits = (uint64_t{words[0]} << 32 | words[1]);
    if (bits >= excess)
      return bits % bound;
  }
}

} // namespace

std::vector<int64_t> orderOf(int64_t size, uint64_t seed, int64_t epoch, bool shuffle) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), int64_t{0});
  if (shuffle)
    for (size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[below(i, seed, static_cast<uint32_t>(epoch), i - 1)]);
  return order;
}

} // namespace moec::data
