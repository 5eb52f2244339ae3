#include "codegen/analysis/Positions.h"

#include <cmath>

namespace moec::codegen {

namespace {

/// The bucket of a distance of at least `single`, among `count` of one direction; in f32, as docs/SPEC.md asks.
int64_t bucketOf(int64_t distance, int64_t count, int64_t single, int64_t farthest) {
  auto whole = static_cast<float>(std::log(static_cast<double>(farthest) / static_cast<double>(single)));
  float share = std::log(static_cast<float>(distance) / static_cast<float>(single)) / whole;
  return std::min(single + static_cast<int64_t>(share * static_cast<float>(count - single)), count - 1);
}

} // namespace

RelativeBuckets RelativeBuckets::of(ir::RelativeBiasOp op) {
  return make(*ir::sizesOf(mlir::Value(op.getTable()))[0].constant(), static_cast<int64_t>(op.getMaxDistance()), op.getBidirectional());
}

RelativeBuckets RelativeBuckets::of(ir::RelativeBiasGradOp op) {
  return make(static_cast<int64_t>(op.getBuckets()), static_cast<int64_t>(op.getMaxDistance()), op.getBidirectional());
}

RelativeBuckets RelativeBuckets::make(int64_t rows, int64_t farthest, bool bidirectional) {
  RelativeBuckets result;
  result.bidirectional = bidirectional;
  result.count = result.bidirectional ? rows / 2 : rows;
  int64_t single = result.count / 2;
  for (int64_t bucket = 1; bucket < result.count; ++bucket) {
    // The first distance of at least this bucket; all from max_distance on are of the last.
    int64_t low = std::min(bucket, single), high = bucket <= single ? low : farthest;
    while (low < high) {
      int64_t middle = low + (high - low) / 2;
      if (bucketOf(middle, result.count, single, farthest) >= bucket)
        high = middle;
      else
        low = middle + 1;
    }
    result.starts.push_back(static_cast<int32_t>(low));
  }
  while ((size_t{1} << result.steps) - 1 < result.starts.size())
    ++result.steps;
  result.starts.resize((size_t{1} << result.steps) - 1, std::numeric_limits<int32_t>::max());
  return result;
}

std::vector<double> rotaryTurns(ir::RotaryOp op) {
  int64_t dim = *ir::sizesOf(mlir::Value(op.getX())).back().constant() / static_cast<int64_t>(op.getHeads());
  std::vector<double> turns;
  for (int64_t i = 0; i < dim / 2; ++i)
    turns.push_back(std::pow(op.getBase().convertToDouble(), -2.0 * static_cast<double>(i) / static_cast<double>(dim)));
  return turns;
}

} // namespace moec::codegen
