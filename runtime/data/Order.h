#pragma once
// The order in which records are read: a function of the seed and the number of the epoch, so that a training finds its place again from two numbers.

#include <cstdint>
#include <vector>

namespace moec::data {

/// Records 0 .. size-1 of an epoch in their order: a permutation (Fisher-Yates; its draws are Philox's, keyed by seed and epoch), or 0, 1, 2 .. unshuffled.
std::vector<int64_t> orderOf(int64_t size, uint64_t seed, int64_t epoch, bool shuffle);

/// The next record that has not been read: the `record`-th of the epoch's order.
struct Place {
  int64_t epoch = 0, record = 0;
  bool operator==(const Place&) const = default;
};

} // namespace moec::data
