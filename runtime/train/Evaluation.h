#pragma once
// The model as it infers, held against data that it does not learn from.

#include "runtime/Session.h"
#include "runtime/data/Dataset.h"
#include "runtime/data/Loader.h"
#include "runtime/train/Trainer.h"

namespace moec::train {

class Evaluation {
public:
  /// Error(Usage) for a program without a plan for evaluation.
  Evaluation(Program program, std::shared_ptr<Device> device, data::DatasetPtr dataset, const Config& config);

  /// One pass over the data. The bits do not depend on where in a training it is made. Error(Data) for a loss that is not finite, naming the first launch whose
  /// result was not.
  EvaluationRecord run(const TensorMap& weights, int64_t step);
  /// Records that the last run() could not read.
  const std::vector<std::string>& skipped() const { return skipped_; }
  void trace(std::shared_ptr<Trace> trace) { session_.trace(std::move(trace)); }
  const Session& session() const { return session_; }

private:
  TensorMap runOf(const data::Batch& batch, const RunOptions& options, int64_t step, uint32_t number);

  Session session_;
  data::DatasetPtr dataset_;
  int64_t batch_;
  uint64_t seed_;
  data::BadRecords badRecords_;
  std::vector<std::string> skipped_;
};

} // namespace moec::train
