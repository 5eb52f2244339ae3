#include "ir/reference/Elements.h"
#include "ir/reference/Evaluate.h"

#include <algorithm>
#include <cmath>

namespace moec::reference {

Tensor take(const Tensor& x, const Tensor& indices) {
  int64_t experts = x.shape()[1], choices = indices.shape()[1];
  std::span<const int32_t> chosen = indices.as<const int32_t>();
  for (int32_t index : chosen)
    if (index < -1 || index >= experts)
      throw Error(Fault::Data, "take: there is no element " + std::to_string(index) + " of " + std::to_string(experts));
  return moved(x, indices.shape(), [&](int64_t i) -> int64_t { return chosen[i] < 0 ? -1 : i / choices * experts + chosen[i]; });
}

Tensor places(const Tensor& indices, const Tensor& scores, const Tensor* keep, const PlacesRule& rule) {
  int64_t tokens = indices.shape()[0], choices = indices.shape()[1];
  if (rule.groups < 1 || tokens % rule.groups != 0)
    throw Error(Fault::Data, "places: " + std::to_string(tokens) + " tokens are no " + std::to_string(rule.groups) + " equal groups");
  std::span<const int32_t> expert = indices.as<const int32_t>();
  std::span<const uint8_t> kept = keep ? keep->as<const uint8_t>() : std::span<const uint8_t>();
  std::vector<double> score = scores.toDoubles();
  std::vector<std::vector<int64_t>> lists(rule.experts * rule.groups); // of rows, by token and choice
  for (int64_t row = 0; row < tokens * choices; ++row) {
    if ((keep && !kept[row]) || expert[row] == -1)
      continue;
    if (expert[row] < -1 || expert[row] >= rule.experts)
      throw Error(Fault::Data, "places: there is no expert " + std::to_string(expert[row]) + " of " + std::to_string(rule.experts));
    lists[expert[row] * rule.groups + row / choices / (tokens / rule.groups)].push_back(row);
  }
  auto comesBefore = [&](int64_t a, int64_t b) {
    if (rule.priority == Priority::ChoiceMajor && a % choices != b % choices)
      return a % choices < b % choices;
    bool aNan = std::isnan(score[a]), bNan = std::isnan(score[b]);
    if (aNan != bNan)
      return bNan;
    return aNan || score[a] == score[b] ? a < b : score[a] > score[b];
  };
  std::vector<int32_t> result(tokens * choices, -1);
  for (std::vector<int64_t>& list : lists) {
    std::sort(list.begin(), list.end(), comesBefore);
    for (size_t place = 0; place < list.size(); ++place)
      result[list[place]] = static_cast<int32_t>(place);
  }
  return Tensor::of(std::move(result), {tokens, choices});
}

namespace {

/// One choice of all tokens: what each worker still takes, and what becomes of the rest.
class Swipe {
public:
  Swipe(int64_t workers, int64_t run, int64_t expertsOfWorker) : workers_(workers), run_(run), expertsOfWorker_(expertsOfWorker) {}

  void once(std::vector<int32_t>& chosen, std::vector<int64_t>& room, int32_t bias) const {
    // accepted[source * W + worker]: rows of the source's tokens that the worker takes.
    std::vector<int64_t> accepted(workers_ * workers_, 0), homeless(workers_, 0);
    for (size_t i = 0; i < chosen.size(); ++i)
      if (chosen[i] >= 0)
        ++accepted[sourceOf(i) * workers_ + chosen[i] / expertsOfWorker_];
    for (int64_t worker = 0; worker < workers_; ++worker)
      for (int64_t source = 0; source < workers_; ++source) {
        int64_t& rows = accepted[source * workers_ + worker];
        int64_t taken = std::min(rows, room[worker]);
        homeless[source] += rows - taken;
        room[worker] -= taken;
        rows = taken;
      }
    int64_t host = 0;
    for (int64_t source = 0; source < workers_; ++source)
      while (homeless[source] > 0) {
        int64_t taken = std::min(homeless[source], room[host]);
        homeless[source] -= taken;
        room[host] -= taken;
        accepted[source * workers_ + host] += taken;
        if (homeless[source] > 0)
          ++host;
      }
    std::vector<bool> moves(chosen.size(), false);
    for (size_t i = 0; i < chosen.size(); ++i)
      if (chosen[i] >= 0) {
        int64_t& rows = accepted[sourceOf(i) * workers_ + chosen[i] / expertsOfWorker_];
        moves[i] = rows == 0;
        rows -= moves[i] ? 0 : 1;
      }
    for (size_t i = 0; i < chosen.size(); ++i)
      if (moves[i]) {
        int64_t* rows = accepted.data() + sourceOf(i) * workers_;
        int64_t worker = std::find_if(rows, rows + workers_, [](int64_t left) { return left > 0; }) - rows;
        --rows[worker];
        chosen[i] = static_cast<int32_t>(worker * expertsOfWorker_) + bias;
      }
  }

private:
  int64_t sourceOf(size_t token) const { return static_cast<int64_t>(token) / run_; }

  int64_t workers_, run_, expertsOfWorker_; // run: tokens of a worker
};

} // namespace

Tensor swipe(const Tensor& indices, int64_t experts, int64_t workers) {
  int64_t tokens = indices.shape()[0], choices = indices.shape()[1];
  if (tokens % workers != 0)
    throw Error(Fault::Data, "swipe: " + std::to_string(tokens) + " tokens are no " + std::to_string(workers) + " equal runs");
  int64_t run = tokens / workers, expertsOfWorker = experts / workers;
  std::span<const int32_t> before = indices.as<const int32_t>();
  for (int32_t index : before)
    if (index < -1 || index >= experts)
      throw Error(Fault::Data, "swipe: there is no expert " + std::to_string(index) + " of " + std::to_string(experts));
  std::vector<int32_t> result(before.begin(), before.end());
  std::vector<int64_t> room(workers, run * choices);
  for (int64_t choice = 0; choice < choices; ++choice) {
    std::vector<int32_t> chosen;
    for (int64_t token = 0; token < tokens; ++token)
      chosen.push_back(result[token * choices + choice]);
    Swipe(workers, run, expertsOfWorker).once(chosen, room, static_cast<int32_t>(choice % expertsOfWorker));
    for (int64_t token = 0; token < tokens; ++token)
      result[token * choices + choice] = chosen[token];
  }
  return Tensor::of(std::move(result), {tokens, choices});
}

} // namespace moec::reference
