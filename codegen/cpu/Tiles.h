#pragma once
// Instructions on tiles, 16 rows of 64 bytes, as Intel's AMX has them: as instructions, or as code that does what the manual says of each. Knows addresses
// alone: no op of the dialect, no schedule.

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

/// Tiles of the target that a kernel is written for. A tile is a value that no function takes or gives; multiply() uses up the sums that it is given.
class Tiles {
public:
  static constexpr int64_t kRows = 16, kRowBytes = 64;
  static constexpr int64_t kColumns = 16; // f32 of a row of sums; pairs of bf16 of a row of the other two
  static constexpr int64_t kDepth = 32;   // terms that a product adds to each sum

  virtual ~Tiles() = default;
  virtual Value zero() = 0;
  /// Rows `stride` bytes apart; addresses are multiples of 4.
  virtual Value load(Value address, Value stride) = 0;
  /// The same of memory that is not to take the place of other memory in L1.
  virtual Value loadPassing(Value address, Value stride) = 0;
  virtual void store(Value tile, Value address, Value stride) = 0;
  /// sums[m, n] f32 plus the sum over i < 16 of a[m, 2i] b[2i, n] + a[m, 2i+1] b[2i+1, n], bf16; b in pairs: row i has b[2i, n], b[2i+1, n] beside each other.
  virtual Value multiply(Value sums, Value a, Value b) = 0;
};

/// Of a target that has tiles.
std::unique_ptr<Tiles> makeTiles(KernelBuilder& k);

} // namespace moec::codegen::cpu
