#pragma once
// A training while it runs, on stderr: on a terminal one line that is painted again at most ten times a second, elsewhere a line every ten seconds; and in both
// a line for each evaluation.

#include "runtime/train/Trainer.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace moec::cli {

/// What the line says.
struct TrainingPlace {
  int64_t step = 0, steps = 0, epoch = 0; // epoch: from 0
  double loss = 0, learningRate = 0;
  double rate = 0; // tokens or records a second
  bool countsTokens = false;
  double secondsLeft = -1; // below 0: not known yet
  bool stopping = false;
};

/// "step 345/1500 [====>    ] epoch 16  loss 0.4213  lr 0.00091  1243 records/s  1 m 12 s left". Without the bar where it does not fit into `width`, then cut;
/// width 0: a line of a file, without the bar.
std::string placeText(const TrainingPlace& place, int width);
/// "step 345: validation loss 0.3912, accuracy 91.30 %, the best so far".
std::string evaluationText(const train::EvaluationRecord& record);

class TrainingProgress : public train::Listener {
public:
  /// `stop`: of the signals; the line tells that it was heard. `step`: between two lines where there is no terminal.
  TrainingProgress(bool quiet, const std::atomic<bool>& stop, std::chrono::milliseconds step = std::chrono::seconds(10));
  /// Wipes the line of a terminal.
  ~TrainingProgress() override;

  void onStart(int64_t fromStep, int64_t steps, int64_t batchesPerEpoch) override;
  void onStep(const train::StepRecord& record) override;
  void onEvaluation(const train::EvaluationRecord& record) override;
  void onCheckpoint(const std::filesystem::path&) override {}
  void onSkippedRecord(const std::string& message) override;
  void onNotice(const std::string& message) override;

  /// Ends the painting: what is printed afterwards stands on lines of its own.
  void end();

private:
  using Clock = std::chrono::steady_clock;
  void watch();
  void paint();                      // with the mutex held
  void say(const std::string& line); // the same: a line that stays

  bool quiet_, terminal_;
  const std::atomic<bool>& stop_;
  std::chrono::milliseconds step_;
  TrainingPlace place_;
  int64_t fromStep_ = 0, saidStep_ = -1, skipped_ = 0;
  double lossSum_ = 0, lossWeight_ = 0; // an exponential mean
  Clock::time_point begin_;
  bool started_ = false, painted_ = false, saidStop_ = false, ended_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::thread thread_;
};

} // namespace moec::cli
