#pragma once
// metrics.jsonl: a line of JSON per step, evaluation, checkpoint and event, keyed by "kind" (docs/TRAINING.md). Seconds and rates stand in it alone.

#include "runtime/train/Trainer.h"

#include <filesystem>
#include <optional>
#include <string>

namespace moec::train {

class Metrics {
public:
  /// What a checkpoint knows of: steps up to `step`, and evaluations up to that of step `evaluated` (-1: none).
  struct Kept {
    int64_t step, evaluated;
  };
  /// Keeps the lines of these, or begins anew. The file is whole or as it was. Error(System); Error(Data) for damage to lines that are to be kept.
  explicit Metrics(const std::filesystem::path& file, std::optional<Kept> kept = {});
  ~Metrics();
  Metrics(const Metrics&) = delete;

  // Each line is with the system when these return. Error(System) when the disk is full; the line is then not there.
  void add(const StepRecord& record);
  void add(const EvaluationRecord& record);
  void addCheckpoint(int64_t step, const std::string& folder);
  void addSkipped(int64_t step, const std::string& message);
  /// "begun", "resumed", "interrupted", "finished", "early_stop", "failed" ..
  void addEvent(int64_t step, const std::string& event, const std::string& message = "");

private:
  void append(std::string line);

  std::filesystem::path path_;
  int file_ = -1;
};

/// Tells a listener what the file's lines say, in order: steps, evaluations, checkpoints, skipped records and events. An unfinished last line is passed over.
/// Error(Data) "metrics.jsonl:12: ..." for other damage.
void readMetrics(const std::filesystem::path& file, Listener& listener);

} // namespace moec::train
