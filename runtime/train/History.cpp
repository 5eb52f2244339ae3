#include "runtime/train/History.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace moec::train {

void Bins::add(int64_t position, const std::string& name, const std::vector<double>& values) {
  if (position < 1 || values.empty() || !std::ranges::all_of(values, [](double value) { return std::isfinite(value); }))
    return;
  while ((position - 1) / width_ >= most_)
    halve();
  auto bin = static_cast<size_t>((position - 1) / width_);
  size_ = std::max<int64_t>(size_, static_cast<int64_t>(bin) + 1);
  Series& series = series_[name];
  if (series.count.size() <= bin) {
    series.sum.resize(bin + 1);
    series.count.resize(bin + 1, 0);
    series.low.resize(bin + 1, std::numeric_limits<double>::infinity());
    series.high.resize(bin + 1, -std::numeric_limits<double>::infinity());
  }
  std::vector<double>& sum = series.sum[bin];
  sum.resize(std::max(sum.size(), values.size()), 0);
  for (size_t i = 0; i < values.size(); ++i)
    sum[i] += values[i];
  ++series.count[bin];
  series.low[bin] = std::min(series.low[bin], values[0]);
  series.high[bin] = std::max(series.high[bin], values[0]);
}

void Bins::halve() {
  width_ *= 2;
  size_ = (size_ + 1) / 2;
  for (auto& [name, series] : series_) {
    size_t bins = series.count.size();
    for (size_t from = 0; from < bins; ++from) {
      size_t to = from / 2;
      if (from == to)
        continue;
      bool begins = from % 2 == 0; // the first of its pair
      if (begins) {
        series.sum[to] = std::move(series.sum[from]);
        series.count[to] = series.count[from];
        series.low[to] = series.low[from];
        series.high[to] = series.high[from];
        continue;
      }
      std::vector<double>&sum = series.sum[to], &more = series.sum[from];
      sum.resize(std::max(sum.size(), more.size()), 0);
      for (size_t i = 0; i < more.size(); ++i)
        sum[i] += more[i];
      series.count[to] += series.count[from];
      series.low[to] = std::min(series.low[to], series.low[from]);
      series.high[to] = std::max(series.high[to], series.high[from]);
    }
    size_t left = (bins + 1) / 2;
    series.sum.resize(left);
    series.count.resize(left);
    series.low.resize(left);
    series.high.resize(left);
  }
}

const Bins::Series* Bins::find(const std::string& name) const {
  auto found = series_.find(name);
  return found == series_.end() ? nullptr : &found->second;
}

std::optional<double> Bins::mean(const Series& series, int64_t bin) {
  auto index = static_cast<size_t>(bin);
  if (index >= series.count.size() || series.count[index] == 0)
    return {};
  return series.sum[index][0] / static_cast<double>(series.count[index]);
}

int64_t lastStep(const Bins& bins, int64_t bin, int64_t steps) { return std::min((bin + 1) * bins.width(), steps); }

void History::add(const StepRecord& record) {
  curves_.add(record.step, "loss", record.loss);
  curves_.add(record.step, "learning_rate", record.learningRate);
  curves_.add(record.step, "gradient_norm", record.gradientNorm);
  curves_.add(record.step, "tokens_per_second", record.tokensPerSecond);
  curves_.add(record.step, "epoch", static_cast<double>(record.epoch));
  for (const auto& [path, loss] : record.auxLosses)
    curves_.add(record.step, "aux " + path, loss);
  for (const auto& [gate, load] : record.load)
    loads_.add(record.step, gate, load);
  for (const auto& [gate, dropped] : record.dropped) {
    auto load = record.load.find(gate);
    double taken = load == record.load.end() ? 0 : std::accumulate(load->second.begin(), load->second.end(), 0.0);
    if (dropped + taken > 0)
      curves_.add(record.step, "dropped " + gate, dropped / (dropped + taken));
  }
  constexpr double kSmoothing = 5; // seconds over which the rate is a mean
  if (std::isfinite(record.tokensPerSecond) && record.seconds >= 0) {
    double share = rate_ == 0 ? 1 : 1 - std::exp(-record.seconds / kSmoothing);
    rate_ += share * (record.tokensPerSecond - rate_);
  }
  countsTokens_ = countsTokens_ || record.tokensPerSecond * record.seconds > 1.01 * static_cast<double>(record.records);
  seconds_ += record.seconds;
  records_ += record.records;
  last_ = record;
  last_.auxLosses.clear();
  last_.load.clear();
  last_.dropped.clear();
}

void History::add(const EvaluationRecord& record) {
  ++evaluations_;
  evaluationCurves_.add(evaluations_, "step", static_cast<double>(record.step));
  evaluationCurves_.add(evaluations_, "loss", record.loss);
  if (record.accuracy) {
    evaluationCurves_.add(evaluations_, "accuracy", *record.accuracy);
    if (!mostAccurate_ || *record.accuracy > *mostAccurate_->accuracy)
      mostAccurate_ = record;
  }
  seconds_ += record.seconds;
  lastEvaluation_ = record;
  if (std::isfinite(record.loss) && (!bestEvaluation_ || record.loss < bestEvaluation_->loss))
    bestEvaluation_ = record;
}

} // namespace moec::train
