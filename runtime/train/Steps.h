#pragma once
// One step of training at a time: batches in, a record out. Knows neither evaluations nor files.

#include "runtime/Training.h"
#include "runtime/data/Loader.h"
#include "runtime/train/StepChoices.h"
#include "runtime/train/Trainer.h"

#include <functional>

namespace moec::train {

struct DoneStep {
  StepRecord record;
  data::Place end; // of the next record
  bool endsEpoch = false;
  std::vector<std::string> skipped; // bad records
  /// Nothing was learnt: of an epoch that a loader begins inside of, all that was left are bad records. It ends here.
  bool isStep() const { return record.records > 0; }
  /// Loss and norm of gradients are numbers. Where they are not, and gradients add up over batches, no parameter has changed.
  bool isFinite = true;
};

class Steps {
public:
  /// `config`'s schedule knows the number of all steps. All of them outlive it.
  /// `choices`: of the gates; null: neither recorded nor replayed.
  Steps(Training& training, const Config& config, const data::Dataset& dataset, StepChoices* choices = nullptr);

  /// The step behind training.steps(), of the loader's next `accumulate` batches, or of those up to the end of the epoch. `onBatch` sees each before it is
  /// learnt from. A loader's first one may be none.
  DoneStep next(data::Loader& loader, const std::function<void(const data::Batch&)>& onBatch = {});

private:
  TensorMap learn(const data::Batch& batch, const BatchKey& key, const StepOptions& options);

  Training& training_;
  const Config& config_;
  StepChoices* choices_;
  std::string positions_; // the field whose elements are counted; empty: records are
};

} // namespace moec::train
