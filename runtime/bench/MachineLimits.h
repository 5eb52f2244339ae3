#pragma once
// The machine's limits, measured with the threads of a run and between its repetitions, so that what the machine does meanwhile meets both. Knows no model.

#include "runtime/bench/ReadRate.h"
#include "runtime/bench/Roofline.h"

#include <string>
#include <vector>

namespace moec::bench {

/// What one measurement found, per second.
struct LimitSample {
  double flops32 = 0, flops64 = 0; // multiply-adds with everything in registers, an FMA counts two
  double bytes = 0;                // read from memory
};

/// The best of each: what the machine can do at all. Zeros of none.
Peaks peaksOf(const std::string& chip, const std::vector<LimitSample>& samples);

class MachineLimits {
public:
  /// The workers of the device that runs what is measured: no others may keep its cores busy. Takes the memory of a ReadRate.
  explicit MachineLimits(Workers& workers);
  /// Takes some milliseconds.
  LimitSample measure();
  int64_t readBytes() const { return reads_.bytes(); }

private:
  double rateOf(double (*rounds)(int64_t));

  Workers& workers_;
  ReadRate reads_;
  int64_t rounds_ = 1 << 10; // of a piece of work, about a quarter of a millisecond
};

} // namespace moec::bench
