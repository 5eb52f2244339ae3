#pragma once
// The loop: batches in, steps, evaluations, checkpoints and metrics out. Prints nothing: a listener is told.

#include "runtime/Training.h"
#include "runtime/data/OpenData.h"
#include "runtime/train/Config.h"

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace moec::train {

struct StepRecord {
  int64_t step = 0, epoch = 0, records = 0;                         // epoch: of its first record, from 0
  double loss = 0, learningRate = 0, gradientNorm = 0, seconds = 0; // loss: the mean over the step's batches
  double secondsWaited = 0;                                         // of these, for the data
  double tokensPerSecond = 0;                                       // positions of the first integer input where it has rank 2, else records
  std::map<std::string, double> auxLosses;                          // by path, without coefficient
  std::map<std::string, std::vector<double>> load;                  // by gate: choices that each expert took
  std::map<std::string, double> dropped;                            // by gate: choices that no expert took
  std::map<std::string, double> nonFinite;                          // by gate, where there are some: router logits that are no finite numbers
};

struct EvaluationRecord {
  int64_t step = 0, records = 0;
  double loss = 0, seconds = 0; // means over labels, where the loss counts them, else over records
  std::optional<double> accuracy;
  std::map<std::string, double> auxLosses = {}; // by path, without coefficient
  std::map<std::string, double> nonFinite = {}; // as StepRecord has it
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
  /// What people should know: a training that goes on on another device; steps that are done again to find where a number stopped being finite.
  virtual void onNotice(const std::string&) {}
  /// Only of what readMetrics() reads: "begun" (message: the data), "resumed", "interrupted", "finished", "early_stop", "failed".
  virtual void onEvent(int64_t /*step*/, const std::string& /*event*/, const std::string& /*message*/) {}
};

struct Outcome {
  enum class End { Finished, EarlyStop, Interrupted } end = End::Finished;
  int64_t steps = 0;
  std::optional<EvaluationRecord> last, best; // `best` of a training that went on: seconds are 0
  std::filesystem::path checkpoint;           // the last one written
};

class Trainer {
public:
  /// `program` has plans for training (with accumulation where config.accumulate > 1, statistics, and where the config wants it records, replays and an end at
  /// logits that are no finite numbers: CompileOptions::ofStepsAlone and nonFinite) and, with data to validate, for evaluation. Writes
  /// nothing yet. Error(Usage) for a configuration out of its ranges, a program without these plans, and batches that the model's size rules do not allow, the
  /// smallest of an epoch among them: it names a size that they do.
  Trainer(Program program, const std::string& device, const DeviceOptions& options, const Config& config, data::OpenedData data);
  ~Trainer();
  Trainer(const Trainer&) = delete;

  /// Steps and evaluations add themselves and their launches to it, as Session::trace has it.
  void trace(std::shared_ptr<Trace> trace);
  /// Goes on from the last whole checkpoint of out, where from now on no other training may write. Error(Data) when it is of another model, data, seed or
  /// optimizer (naming both), Error(Usage) when there is none, and when its step or epoch lies behind the last one that is asked for.
  void resume();
  /// Until the last step, an early stop, or `stop`: then the step is finished and a checkpoint written. Error(Usage) when out holds a training and this is not
  /// resumed. Error(Data) for a loss or norm of gradients that is not finite: it names the step, the first launch whose result was not finite, and the last
  /// checkpoint, which stays; for a record of choices that does not have what is to be replayed; and where the config wants it for router logits that are not
  /// finite. Error(System) when the disk is full; checkpoints that are whole stay so. What keeps a step or an evaluation from being done leaves a checkpoint of
  /// the steps before it, where all weights and states are finite.
  Outcome run(Listener& listener, const std::atomic<bool>& stop);

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace moec::train
