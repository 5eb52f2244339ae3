#include "runtime/train/Replay.h"

#include "runtime/core/Error.h"
#include "runtime/train/FiniteWatch.h"

#include <fmt/format.h>

namespace moec::train {

std::optional<std::string> Replay::badWeight() const {
  auto look = [&](const auto& infos, const char* kind) -> std::optional<std::string> {
    for (const auto& info : infos)
      if (info.buffer >= 0)
        if (auto problem = describeNonFinite(training.executable().read(info.buffer)))
          return fmt::format("{} '{}': {}", kind, info.name, *problem);
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

std::string Replay::watch(data::Loader& loader) {
  if (auto problem = badWeight())
    return "it began before: " + *problem;
  std::optional<std::string> input;
  FiniteWatch launches(training.executable());
  training.watch(std::ref(launches));
  int64_t batches = 0;
  auto look = [&](const data::Batch& batch) {
    ++batches;
    if (launches.first())
      return;
    for (const auto& [name, tensor] : batch.fields)
      if (auto problem = describeNonFinite(tensor); problem && !input)
        input = fmt::format("it began with the data: of input '{}', {}, {}; its records are those from {} of epoch {} on", name, describe(tensor), *problem, batch.begin.record, batch.begin.epoch);
  };
  steps.next(loader, look);
  training.watch({});
  if (input)
    return *input;
  if (!launches.first())
    return "no launch's result has such numbers"; // what is not finite is the sum of losses
  return fmt::format("it began in {}{}", batches > 1 ? fmt::format("batch {} of the step, ", batches) : "", *launches.first());
}

std::optional<std::string> Replay::find(int64_t failed) {
  for (int64_t step = failed;;) {
    data::Loader again(dataset, loader(), restore());
    std::optional<Bad> earlier = advance(again, step);
    if (stop)
      return {};
    if (earlier) { // the step that left it is the one to look at
      step = earlier->step;
      continue;
    }
    std::string found = watch(again);
    if (step < failed)
      return fmt::format("already step {} left numbers that are not finite: {}", step, found);
    return found;
  }
}

} // namespace moec::train
