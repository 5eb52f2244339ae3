#pragma once
// What the tests of trainings share: a small model with all that draws, data that it can learn, and a listener that remembers.

#include "runtime/core/Program.h"
#include "runtime/data/Dataset.h"
#include "runtime/train/Trainer.h"

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace moec::train {

/// x f32 (batch, 8) to 4 classes: a switch gate with jitter and a balance loss over 4 experts, dropout; AdamW. `patch` is a JSON merge patch over it.
std::string smallModel(const std::string& patch = "{}");
/// Compiled for this machine with plans for training, evaluation and statistics. The file is written to `file`.
Program compileSmall(const std::filesystem::path& file, const std::string& patch = "{}", bool accumulate = false);

/// Points around the center of their class, "x" f32 (8) and "label" i64 (): the same for the same seed.
class Points : public data::Dataset {
public:
  explicit Points(int64_t size, uint64_t seed = 1) : size_(size), seed_(seed) {}
  const std::vector<data::Field>& fields() const override;
  int64_t size() const override { return size_; }
  void read(int64_t record, std::span<std::byte* const> fields) const override;
  std::string digest() const override;
  std::string describe() const override { return "points"; }
  std::string placeOf(int64_t record) const override;

  bool randomLabels = false;    // nothing to be learnt
  int64_t nanRecord = -1;       // one whose x has a NaN
  std::set<int64_t> badRecords; // those that cannot be read

private:
  int64_t size_;
  uint64_t seed_;
};

/// Keeps what it is told; `afterStep` may set `stop`.
struct Remembering : Listener {
  int64_t from = -1, total = -1, batchesPerEpoch = -1;
  std::vector<StepRecord> steps;
  std::vector<EvaluationRecord> evaluations;
  std::vector<std::filesystem::path> checkpoints;
  std::vector<std::string> skipped, notices;
  std::function<void(int64_t)> afterStep;

  void onStart(int64_t fromStep, int64_t all, int64_t batches) override { from = fromStep, total = all, batchesPerEpoch = batches; }
  void onStep(const StepRecord& record) override {
    steps.push_back(record);
    if (afterStep)
      afterStep(record.step);
  }
  void onEvaluation(const EvaluationRecord& record) override { evaluations.push_back(record); }
  void onCheckpoint(const std::filesystem::path& folder) override { checkpoints.push_back(folder); }
  void onSkippedRecord(const std::string& message) override { skipped.push_back(message); }
  void onNotice(const std::string& message) override { notices.push_back(message); }
};

/// The files of a folder, by name.
std::map<std::string, std::string> filesOf(const std::filesystem::path& folder);

} // namespace moec::train
