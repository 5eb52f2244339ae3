#include "compiler/cli/tune/Contender.h"

#include "compiler/cli/bench/BenchReport.h"
#include "runtime/bench/Statistics.h"
#include "runtime/core/Error.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <set>

namespace moec::cli {

namespace {

Program programOf(CompileResult& result) {
  if (!result.program)
    throw Error(Fault::Internal, "the compiler gave no program to tune");
  return std::move(*result.program);
}

/// The launches of a call by place.
std::vector<const LaunchInfo*> launchesOf(const Plan& plan) {
  std::vector<const LaunchInfo*> launches;
  for (const auto* list : {&plan.forward, &plan.apply})
    for (const LaunchInfo& launch : *list)
      launches.push_back(&launch);
  return launches;
}

/// What this thread has computed.
double threadSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

bool reads(const LaunchInfo& launch, int buffer) { return std::ranges::find(launch.inputs, buffer) != launch.inputs.end(); }

} // namespace

CompileResult TunedModel::compiled(const Schedules& schedules) const {
  CompileOptions own = compile;
  own.schedules = schedules;
  own.listChoices = true;
  CompileResult result = compileFile(options.file, own);
  std::erase_if(result.choices, [&](const KernelChoice& choice) { return choice.purpose != purpose; });
  return result;
}

Contender::Contender(const TunedModel& model, CompileResult result)
    : choices_(std::move(result.choices)), subject_(programOf(result), model.purpose, model.weights, model.options.seed, model.device),
      isAlone_(model.device->threads() == 1) {
  findLaunches();
}

void Contender::findLaunches() {
  std::vector<const LaunchInfo*> launches = launchesOf(plan());
  std::map<int, std::set<std::string>> readers; // of packed weights, by buffer
  for (const KernelChoice& choice : choices_)
    for (size_t i = 0; i < launches.size(); ++i)
      if (std::ranges::find(choice.kernels, launches[i]->kernel) != choice.kernels.end())
        own_[choice.key].push_back(i);
  for (const auto* list : {&plan().prepare, &plan().forward})
    for (size_t i = 0; i < list->size(); ++i) {
      const LaunchInfo& pack = (*list)[i];
      if (pack.kind != "pack")
        continue;
      for (const auto& [key, places] : own_)
        for (size_t place : places)
          if (reads(*launches[place], pack.outputs.at(0))) {
            readers[pack.outputs[0]].insert(key);
            if (list == &plan().forward && std::ranges::find(packs_[key], i) == packs_[key].end())
              packs_[key].push_back(i);
          }
    }
  for (const auto& [buffer, keys] : readers)
    for (const std::string& key : keys)
      shares_[key] |= keys.size() > 1;
}

int Contender::launches(const std::string& key) const {
  auto found = own_.find(key);
  return found == own_.end() ? 0 : static_cast<int>(found->second.size());
}

std::string Contender::sizesOf(const std::string& key, const Bindings& sizes) const {
  std::vector<const LaunchInfo*> launches = launchesOf(plan());
  Bindings used;
  if (auto found = own_.find(key); found != own_.end())
    for (size_t place : found->second)
      for (const Size& size : {launches[place]->flops, launches[place]->bytes})
        for (const std::string& symbol : size.symbols())
          if (auto value = sizes.find(symbol); value != sizes.end())
            used.insert(*value);
  return sizeText(used);
}

bool Contender::sharesWeights(const std::string& key) const {
  auto found = shares_.find(key);
  return found != shares_.end() && found->second;
}

KernelTimes Contender::time(int64_t calls) {
  size_t launches = plan().forward.size() + plan().apply.size();
  std::vector<double> seconds; // by call and place
  size_t begin = 0;            // of the call's
  double before = 0;           // on the thread's clock, behind the launch before
  subject_.timeLaunches([&](LaunchList list, size_t index, std::chrono::nanoseconds time) {
    double wall = std::chrono::duration<double>(time).count(), now = isAlone_ ? threadSeconds() : 0;
    if (list != LaunchList::Prepare)
      seconds[begin + index + (list == LaunchList::Apply ? plan().forward.size() : 0)] += isAlone_ ? std::min(wall, now - before) : wall;
    before = isAlone_ ? threadSeconds() : 0;
  });
  for (int64_t i = 0; i < calls; ++i) {
    begin = seconds.size();
    seconds.resize(begin + launches);
    before = isAlone_ ? threadSeconds() : 0;
    subject_.call();
  }
  subject_.timeLaunches({});
  KernelTimes times;
  for (const auto& [key, own] : own_) {
    std::vector<size_t> places = own;
    if (auto packs = packs_.find(key); packs != packs_.end())
      places.insert(places.end(), packs->second.begin(), packs->second.end());
    std::vector<double> sums(static_cast<size_t>(calls));
    for (size_t call = 0; call < sums.size(); ++call)
      for (size_t place : places)
        sums[call] += seconds[call * launches + place];
    times[key] = bench::spreadOf(std::move(sums)).median;
  }
  return times;
}

} // namespace moec::cli
