#include "runtime/train/Replay.h"

#include "runtime/core/Error.h"
#include "runtime/train/FiniteWatch.h"

#include <fmt/format.h>

namespace moec::train {

std::optional<std::string> Replay::badWeight() const {
  auto look = [&](const auto& infos, const char* kind) -> std::optional<std::string> {
    for (const auto& info : infos)
      if (info.buffer >= 0)
        if (auto problem = findNonFinite(training.executable().read(info.buffer)))
          return fmt::format("{} '{}': {}", kind, info.name, problem->text);
    return {};
  };
  if (auto problem = look(training.plan().parameters, "parameter"))
    return problem;
  return look(training.plan().states, "state");
}

std::optional<Replay::Bad> Replay::advance(data::Loader& loader, int64_t step) const {
  while (training.steps() + 1 < step && !stop) {
    int64_t now = training.steps() + 1;
    if (!steps.next(loader).isFinite)
      return Bad{now, "its loss or its norm of gradients"};
    if (auto problem = badWeight())
      return Bad{now, *problem};
  }
  return {};
}

/// Where the `row`th record of a batch stands. What was skipped moved those behind it.
std::string Replay::placeOf(const data::Batch& batch, int64_t row) const {
  if (!batch.skipped.empty())
    return fmt::format("one of the records from {} of epoch {} on", batch.begin.record, batch.begin.epoch);
  std::vector<int64_t> order = data::orderOf(dataset->size(), config.seed, batch.begin.epoch, true);
  return dataset->placeOf(order[static_cast<size_t>(batch.begin.record + row)]);
}

Replay::Found Replay::watch(data::Loader& loader) {
  if (auto problem = badWeight())
    return {"it began before: " + *problem};
  std::optional<std::string> input;
  FiniteWatch launches(training.executable());
  Watching<Training> watching(training, launches);
  int64_t batches = 0;
  auto look = [&](const data::Batch& batch) {
    ++batches;
    if (launches.first())
      return;
    for (const auto& [name, tensor] : batch.fields)
      if (auto problem = findNonFinite(tensor); problem && !input)
        input = fmt::format("it began with the data: of input '{}', {}, {}; that is {}", name, describe(tensor), problem->text,
                            placeOf(batch, problem->first / (tensor.elements() / batch.records)));
  };
  while (!steps.next(loader, look).isStep()) {
  }
  if (input)
    return {*input, true};
  if (!launches.first())
    throw Error(
        Fault::Mismatch,
        fmt::format("step {} gave numbers that are not finite, but done again it does not: the device does not give the same bits twice", training.steps()));
  return {fmt::format("it began in {}{}", batches > 1 ? fmt::format("batch {} of the step, ", batches) : "", *launches.first())};
}

std::optional<Replay::Found> Replay::find(int64_t failed) {
  for (int64_t step = failed;;) {
    data::Loader again(dataset, loader(), restore());
    std::optional<Bad> earlier = advance(again, step);
    if (stop)
      return {};
    if (earlier) { // the step that left it is the one to look at
      step = earlier->step;
      continue;
    }
    Found found = watch(again);
    if (step < failed)
      found.text = fmt::format("already step {} left numbers that are not finite: {}", step, found.text);
    return found;
  }
}

} // namespace moec::train
