#pragma once
// The loop: batches in, steps, evaluations, checkpoints and metrics out. Prints nothing: a listener is told.

#include "runtime/Training.h"
#include "runtime/data/OpenData.h"
#include "runtime/train/Config.h"

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace moec::train {

struct StepRecord {
  int64_t step = 0, epoch = 0, records = 0;
  double loss = 0, learningRate = 0, gradientNorm = 0, seconds = 0;
  double tokensPerSecond = 0;                       // positions of the first integer input where it has rank 2, else records
  std::map<std::string, double> auxLosses;          // by path, without coefficient
  std::map<std::string, std::vector<double>> load;  // by gate: choices that each expert took
  std::map<std::string, double> dropped;            // by gate: choices that no expert took
};

struct EvaluationRecord {
  int64_t step = 0, records = 0;
  double loss = 0, seconds = 0;
  std::optional<double> accuracy;
  bool best = false;
};

class Listener {
public:
  virtual ~Listener() = default;
  virtual void onStart(int64_t fromStep, int64_t steps, int64_t batchesPerEpoch) = 0;
  virtual void onStep(const StepRecord& record) = 0;
  virtual void onEvaluation(const EvaluationRecord& record) = 0;
  virtual void onCheckpoint(const std::filesystem::path& folder) = 0;
  virtual void onSkippedRecord(const std::string& message) = 0;
};

struct Outcome {
  enum class End { Finished, EarlyStop, Interrupted } end = End::Finished;
  int64_t steps = 0;
  std::optional<EvaluationRecord> last, best;
  std::filesystem::path checkpoint;                 // the last one written
};

class Trainer {
public:
  /// `program` has plans for training (with accumulation where config.accumulate > 1, and statistics) and, with data to validate, for evaluation. `model` is kept in out/model.json as it is, `let` beside it in
  /// out/train.json. Error(Usage) when out holds a training and `resume` is not set.
  Trainer(Program program, const std::string& device, const DeviceOptions& options, const Config& config, data::OpenedData data);
  ~Trainer();

  /// Goes on from the last whole checkpoint of out. Error(Data) when it is of another model, data, seed or optimizer (naming both), Error(Usage) when there is none.
  void resume();
  /// Until the last step, an early stop, or `stop`: then the step is finished and a checkpoint written. Error(Data) for a loss that is not finite: it names the step, the first launch whose result was not finite, and the
  /// last checkpoint, which stays.
  Outcome run(Listener& listener, const std::atomic<bool>& stop);

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace moec::train
