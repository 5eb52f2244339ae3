#pragma once
// Where a number stopped being finite: the steps since the last checkpoint are done again, which gives the same bits, and every launch of the first bad one is
// looked at.

#include "runtime/train/Steps.h"

namespace moec::train {

struct Replay {
  Training& training;
  Steps& steps;
  const Config& config;
  data::DatasetPtr dataset;
  std::function<data::Place()> restore; // the training is again what it was; gives the place in the data
  std::function<data::LoaderOptions()> loader;
  const std::atomic<bool>& stop;

  struct Found {
    std::string text;    // "it began in launch 12 of 218 of forward, .."
    bool isData = false; // the data themselves are not finite
  };
  /// Where it began that behind step `failed` not all is finite. Nothing when `stop` came first. The training is of no use then. Error(Mismatch) when all is
  /// finite this time.
  std::optional<Found> find(int64_t failed);

private:
  struct Bad {
    int64_t step;
    std::string what;
  };
  /// Up to the step before `step`; or to the first behind which something is not finite.
  std::optional<Bad> advance(data::Loader& loader, int64_t step) const;
  /// "parameter 'w': ..", of the first that is not finite.
  std::optional<std::string> badWeight() const;
  /// Does a step, and looks at what each launch leaves.
  Found watch(data::Loader& loader);
  std::string placeOf(const data::Batch& batch, int64_t row) const;
};

} // namespace moec::train
