#pragma once
// The learning rate as a function of the step.

#include <cstdint>
#include <string>
#include <vector>

namespace moec::train {

struct Schedule {
  enum class Kind { Constant, Linear, Cosine, InverseSquareRoot } kind = Kind::Constant;
  double peak = 1e-3;
  int64_t warmup = 0; // steps over which the rate grows from peak/warmup to peak
  int64_t total = 0;  // steps in all: where linear and cosine end
  double last = 0;    // what they end with, as a share of peak

  /// Of step 1, 2 ..; behind `total` as at it. Inverse square root: peak * sqrt(max(warmup, 1) / step).
  double at(int64_t step) const;
};

/// The words: "constant", "linear", "cosine", "inverse_square_root".
const std::vector<std::string>& scheduleNames();
Schedule::Kind parseSchedule(const std::string& word); // Error(Usage)

} // namespace moec::train
