#include "runtime/train/Steps.h"

#include "runtime/FiniteLogits.h"
#include "runtime/GateRecord.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>

namespace moec::train {
namespace {

double scalar(const TensorMap& results, const char* name) {
  auto found = results.find(name);
  if (found == results.end() || found->second.elements() != 1)
    throw Error(Fault::Internal, fmt::format("a step gives no \"{}\"", name));
  return found->second.toDoubles()[0];
}

/// What a call of @train_step or @accumulate gives, into the record: sums over the step's batches.
void add(StepRecord& record, const TensorMap& results) {
  addNonFiniteLogits(record.nonFinite, results);
  record.loss += scalar(results, "loss");
  for (const auto& [name, value] : results) {
    if (name == "loss" || name == "gradient_norm" || name.starts_with("gradient.") || isNonFiniteCount(name) || isRecord(name))
      continue;
    if (name.ends_with(".load")) {
      std::vector<double> counts = value.toDoubles();
      std::vector<double>& load = record.load[name.substr(0, name.size() - 5)];
      load.resize(counts.size());
      for (size_t i = 0; i < counts.size(); ++i)
        load[i] += counts[i];
    } else if (value.elements() == 1) {
      double number = value.toDoubles()[0];
      if (name.ends_with(".dropped"))
        record.dropped[name.substr(0, name.size() - 8)] += number;
      else
        record.auxLosses[name] += number;
    }
  }
}

} // namespace

Steps::Steps(Training& training, const Config& config, const data::Dataset& dataset, StepChoices* choices)
    : training_(training), config_(config), choices_(choices) {
  for (const data::Field& field : dataset.fields())
    if (!isFloat(field.dtype) && !field.shared && field.shape.size() == 1 && positions_.empty())
      positions_ = field.name;
}

TensorMap Steps::learn(const data::Batch& batch, const BatchKey& key, const StepOptions& options) {
  TensorMap inputs = choices_ ? choices_->inputs(key, batch.fields) : TensorMap();
  inputs.insert(batch.fields.begin(), batch.fields.end());
  try {
    TensorMap results = training_.plan().apply.empty() ? training_.step(inputs, options) : training_.accumulate(inputs, options);
    if (choices_)
      choices_->add(key, results);
    return results;
  } catch (const Error& error) {
    if (error.fault() != Fault::Usage || batch.skipped.empty())
      throw;
    throw Error(Fault::Data, fmt::format("step {}: only {} records are left of a batch of {}, for {} could not be read, the last of them: {}; of so few, {}",
                                         training_.steps() + 1, batch.records, config_.batch, batch.skipped.size(), batch.skipped.back(), error.what()));
  }
}

DoneStep Steps::next(data::Loader& loader, const std::function<void(const data::Batch&)>& onBatch) {
  auto begin = std::chrono::steady_clock::now();
  double waitedBefore = loader.secondsWaited();
  DoneStep done;
  StepRecord& record = done.record;
  record.step = training_.steps() + 1;
  record.learningRate = config_.schedule.at(record.step);
  StepOptions options{.learningRate = record.learningRate, .seed = config_.seed};
  bool accumulates = !training_.plan().apply.empty();
  int64_t batches = 0, positions = 0;
  while (batches < config_.accumulate && !done.endsEpoch && done.isFinite) {
    std::optional<data::Batch> batch = loader.next();
    if (!batch)
      throw Error(Fault::Internal, "the data of a training ended");
    if (batch->records == 0) {
      record.step = training_.steps();
      done.end = batch->end;
      done.endsEpoch = true;
      done.skipped = std::move(batch->skipped);
      return done;
    }
    if (onBatch)
      onBatch(*batch);
    done.endsEpoch = batch->end.epoch > batch->begin.epoch;
    BatchKey key{record.step, batches, batch->begin.epoch, batch->begin.record, batch->records, done.endsEpoch || batches + 1 == config_.accumulate};
    TensorMap results = learn(*batch, key, options);
    if (batches++ == 0)
      record.epoch = batch->begin.epoch;
    add(record, results);
    if (!accumulates)
      record.gradientNorm = scalar(results, "gradient_norm");
    record.records += batch->records;
    positions += positions_.empty() ? batch->records : batch->fields.find(positions_)->second.elements();
    done.skipped.insert(done.skipped.end(), batch->skipped.begin(), batch->skipped.end());
    done.end = batch->end;
    done.isFinite = std::isfinite(record.loss) && std::isfinite(record.gradientNorm);
  }
  record.loss /= static_cast<double>(batches);
  for (auto& [name, loss] : record.auxLosses)
    loss /= static_cast<double>(batches);
  if (accumulates && done.isFinite) {
    record.gradientNorm = scalar(training_.apply(options), "gradient_norm");
    done.isFinite = std::isfinite(record.gradientNorm);
  }
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  record.secondsWaited = loader.secondsWaited() - waitedBefore;
  record.tokensPerSecond = record.seconds > 0 ? static_cast<double>(positions) / record.seconds : 0;
  return done;
}

} // namespace moec::train
