#pragma once
// The course of a training in bounded memory, however long it runs: means over runs of neighbouring steps, whose length doubles when there are too many. What a
// page of curves and a summary are made of; knows neither files nor pages.

#include "runtime/train/Trainer.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace moec::train {

/// Vectors by name over bins of a whole axis 1, 2, 3 ...; a bin holds the sum of what fell in it, and how many that were. Values that are no finite numbers are
/// left out.
class Bins {
public:
  struct Series {
    std::vector<std::vector<double>> sum; // by bin; empty where nothing fell
    std::vector<int64_t> count;
    std::vector<double> low, high; // of vectors of one element
  };

  explicit Bins(int64_t most) : most_(most) {}
  void add(int64_t position, const std::string& name, double value) { add(position, name, std::vector<double>{value}); }
  void add(int64_t position, const std::string& name, const std::vector<double>& values);

  int64_t width() const { return width_; }
  /// Bins from the first to the last that holds anything.
  int64_t size() const { return size_; }
  const std::map<std::string, Series>& series() const { return series_; }
  /// Null for a name that nothing was added to.
  const Series* find(const std::string& name) const;
  /// The first element's mean in a bin; nothing where nothing fell.
  static std::optional<double> mean(const Series& series, int64_t bin);

private:
  void halve();

  int64_t most_, width_ = 1, size_ = 0;
  std::map<std::string, Series> series_;
};

/// What a place of the curves is called: its last step.
int64_t lastStep(const Bins& bins, int64_t bin, int64_t steps);

class History {
public:
  static constexpr int64_t kMostPoints = 2000; // of a curve
  static constexpr int64_t kMostColumns = 240; // of a map of expert load

  void add(const StepRecord& record);
  void add(const EvaluationRecord& record);

  int64_t steps() const { return last_.step; }
  /// Only its numbers: neither losses nor loads by name.
  const StepRecord& last() const { return last_; }
  double seconds() const { return seconds_; }  // of steps and evaluations
  int64_t records() const { return records_; } // that were learnt from
  int64_t evaluations() const { return evaluations_; }
  const std::optional<EvaluationRecord>& lastEvaluation() const { return lastEvaluation_; }
  const std::optional<EvaluationRecord>& bestEvaluation() const { return bestEvaluation_; } // of the least loss; the first of equals
  const std::optional<EvaluationRecord>& mostAccurate() const { return mostAccurate_; }     // the first of equals; nothing where no loss has an accuracy
  /// Of the last steps, each counting as long as it took; 0 before the first.
  double tokensPerSecond() const { return rate_; }

  /// Whether tokensPerSecond counts positions of records, not records.
  bool countsTokens() const { return countsTokens_; }

  /// "loss", "learning_rate", "gradient_norm", "tokens_per_second", "epoch"; "aux <path>"; "dropped <gate>": the share of choices that no expert took.
  const Bins& curves() const { return curves_; }
  /// By gate: choices that each expert took.
  const Bins& loads() const { return loads_; }
  /// Over the evaluations' numbers 1, 2 ..: "step", "loss", "accuracy".
  const Bins& evaluationCurves() const { return evaluationCurves_; }

private:
  Bins curves_{kMostPoints}, loads_{kMostColumns}, evaluationCurves_{kMostPoints};
  StepRecord last_;
  double seconds_ = 0, rate_ = 0;
  bool countsTokens_ = false;
  int64_t records_ = 0, evaluations_ = 0;
  std::optional<EvaluationRecord> lastEvaluation_, bestEvaluation_, mostAccurate_;
};

} // namespace moec::train
