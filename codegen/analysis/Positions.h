#pragma once
// The numbers behind ops that depend on where a token stands: known when the kernel is written. For every backend.

#include "ir/dialect/Moe.h"

namespace moec::codegen {

/// T5's buckets of one direction: bucket b holds the distances from starts[b - 1] on, and before starts[b]. There are 2^steps - 1 starts, those
/// behind the last bucket beyond every distance, so that a binary search takes `steps` steps without asking where the table ends.
struct RelativeBuckets {
  int64_t count = 0;          // of one direction
  bool bidirectional = false; // keys behind the query use rows `count` and on
  int steps = 0;
  std::vector<int32_t> starts;

  static RelativeBuckets of(ir::RelativeBiasOp op);
  static RelativeBuckets of(ir::RelativeBiasGradOp op);

private:
  /// `rows` of the table, of both directions.
  static RelativeBuckets make(int64_t rows, int64_t maxDistance, bool bidirectional);
};

/// Radians that pair i of a head of x turns for each position.
std::vector<double> rotaryTurns(ir::RotaryOp op);

} // namespace moec::codegen
