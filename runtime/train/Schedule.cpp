#include "runtime/train/Schedule.h"

#include "runtime/core/Error.h"
#include "runtime/core/FixedMath.h"
#include "runtime/core/NearestName.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace moec::train {

double Schedule::at(int64_t step) const {
  if (total > 0)
    step = std::min(step, total);
  step = std::max<int64_t>(step, 1);
  if (step < warmup)
    return peak * static_cast<double>(step) / static_cast<double>(warmup);
  int64_t length = total - warmup;                                                                // of the way down, behind the warmup
  double way = length > 0 ? static_cast<double>(step - warmup) / static_cast<double>(length) : 0; // 0 .. 1
  switch (kind) {
  case Kind::Constant:
    return peak;
  case Kind::Linear:
    return peak * (1 - way * (1 - last));
  case Kind::Cosine:
    return peak * (last + (1 - last) * 0.5 * (1 + fixedCosTurns(way / 2)));
  case Kind::InverseSquareRoot:
    return peak * std::sqrt(static_cast<double>(std::max<int64_t>(warmup, 1)) / static_cast<double>(step));
  }
  return peak;
}

const std::vector<std::string>& scheduleNames() {
  static const std::vector<std::string> names{"constant", "linear", "cosine", "inverse_square_root"}; // as the kinds are numbered
  return names;
}

Schedule::Kind parseSchedule(const std::string& word) {
  auto found = std::ranges::find(scheduleNames(), word);
  if (found == scheduleNames().end())
    throw Error(Fault::Usage, fmt::format("\"{}\" is no schedule of the learning rate{}; known: {}", word, didYouMean(word, scheduleNames()),
                                          fmt::join(scheduleNames(), ", ")));
  return static_cast<Schedule::Kind>(found - scheduleNames().begin());
}

} // namespace moec::train
