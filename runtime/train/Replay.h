#pragma once
// Where a number stopped being finite: the steps since the last checkpoint are done again, which gives the same bits, and every launch of the first bad one is looked at.

#include "runtime/train/Steps.h"

namespace moec::train {

struct Replay {
  Training& training;
  Steps& steps;
  const Config& config;
  data::DatasetPtr dataset;
  std::function<data::Place()> restore;                    // the training is again what it was; gives the place in the data
  std::function<data::LoaderOptions()> loader;
  const std::atomic<bool>& stop;

  /// What to say of `failed`, whose loss or norm of gradients is not finite: "it began in launch ..". Nothing when `stop` came first. The training is of no use then. Error(Mismatch) when the step is finite this time.
  std::optional<std::string> find(int64_t failed);

private:
  /// Up to the step before `step`. The first step behind which a weight or state is not finite, and which it is, when there is one.
  struct Bad {
    int64_t step;
    std::string what;
  };
  std::optional<Bad> advance(data::Loader& loader, int64_t step) const;
  std::optional<std::string> badWeight() const;
  std::string watch(data::Loader& loader);
};

} // namespace moec::train
