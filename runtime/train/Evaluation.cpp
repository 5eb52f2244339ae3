#include "runtime/train/Evaluation.h"

#include "runtime/FiniteLogits.h"
#include "runtime/GateRecord.h"
#include "runtime/core/Error.h"
#include "runtime/data/Loader.h"
#include "runtime/train/FiniteWatch.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>

namespace moec::train {
namespace {

std::optional<double> scalar(const TensorMap& results, const char* name) {
  auto found = results.find(name);
  return found == results.end() ? std::nullopt : std::optional(found->second.toDoubles()[0]);
}

} // namespace

Evaluation::Evaluation(Program program, std::shared_ptr<Device> device, data::DatasetPtr dataset, const Config& config)
    : session_(std::move(program), std::move(device), Purpose::Evaluation), dataset_(std::move(dataset)), batch_(config.batch), seed_(config.seed),
      badRecords_(config.badRecords) {}

TensorMap Evaluation::runOf(const data::Batch& batch, const RunOptions& options, int64_t step, uint32_t number) {
  try {
    return session_.run(batch.fields, options);
  } catch (const Error& error) { // of router logits that are no finite numbers
    if (error.fault() != Fault::Data)
      throw;
    throw Error(Fault::Data, fmt::format("evaluation behind step {}, batch {}: {}", step, number, error.what()));
  }
}

EvaluationRecord Evaluation::run(const TensorMap& weights, int64_t step) {
  auto begin = std::chrono::steady_clock::now();
  session_.load(weights, true);
  data::Loader loader(dataset_, {.batch = batch_, .shuffle = false, .once = true, .badRecords = badRecords_});
  skipped_.clear();
  EvaluationRecord record;
  record.step = step;
  double weightOfAll = 0, correct = 0;
  for (uint32_t number = 1; auto batch = loader.next(); ++number) {
    skipped_.insert(skipped_.end(), batch->skipped.begin(), batch->skipped.end());
    RunOptions options{.seed = seed_, .step = number}; // what a gate draws follows from the batch alone
    TensorMap results = runOf(*batch, options, step, number);
    addNonFiniteLogits(record.nonFinite, results);
    auto loss = scalar(results, "loss"), accuracy = scalar(results, "accuracy"), labels = scalar(results, "labels");
    if (!loss)
      throw Error(Fault::Internal, "an evaluation gives no loss");
    double weight = labels.value_or(static_cast<double>(batch->records));
    if (weight > 0 && !std::isfinite(*loss)) {
      FiniteWatch watch(session_.executable());
      Watching<Session> watching(session_, watch);
      session_.run(batch->fields, options);
      throw Error(Fault::Data, fmt::format("evaluation behind step {}: the loss of batch {} is {}; it began in {}", step, number, nameOfNonFinite(*loss),
                                           watch.first().value_or("no launch's result")));
    }
    if (weight > 0) { // the mean over no labels is no number
      record.loss += *loss * weight;
      correct += accuracy.value_or(0) * weight;
      if (accuracy)
        record.accuracy = 0;
    }
    weightOfAll += weight;
    record.records += batch->records;
    for (const auto& [name, value] : results)
      if (name != "loss" && name != "accuracy" && name != "labels" && !name.ends_with(".load") && !name.ends_with(".dropped") && !isNonFiniteCount(name) &&
          !isRecord(name) && value.elements() == 1)
        record.auxLosses[name] += value.toDoubles()[0] * static_cast<double>(batch->records);
  }
  if (weightOfAll == 0)
    throw Error(Fault::Data, fmt::format("{}: not one label of what is validated with counts", dataset_->describe()));
  record.loss /= weightOfAll;
  if (record.accuracy)
    record.accuracy = correct / weightOfAll;
  for (auto& [name, loss] : record.auxLosses)
    loss /= static_cast<double>(record.records);
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return record;
}

} // namespace moec::train
