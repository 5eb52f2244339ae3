#pragma once
// Lines and blocks that a file gets one behind the other: each whole, or not at all.

#include <cstdint>
#include <span>

namespace moec::train {

/// Appends all bytes to a file that is open to append, and gives 0; else the number of the system's error, and what was written of them is cut off again, as
/// far as the system lets it.
int appendWhole(int file, std::span<const uint8_t> bytes);

} // namespace moec::train
