#include "compiler/cli/bench/BenchSubject.h"

#include "compiler/cli/CommandInputs.h"
#include "compiler/cli/OpenProgram.h"

#include <algorithm>

namespace moec::cli {

namespace {

/// A program does not tell of all that it was compiled with; that its gradients add up shows in its plan.
std::string madeOf(const Plan& plan, const CommonOptions& options, bool isProgram) {
  std::string words = name(plan.purpose);
  if (!plan.apply.empty())
    words += ", --accumulate";
  if (options.recompute)
    words += ", --recompute";
  if (!options.moefy.empty())
    words += ", --moefy " + options.moefy;
  auto isTuned = [](const LaunchInfo& launch) { return launch.isTuned; };
  if (std::ranges::any_of(plan.forward, isTuned) || std::ranges::any_of(plan.apply, isTuned))
    words += ", with tuned schedules";
  if (!plan.weightsAs.empty())
    words += ", --weights-as " + plan.weightsAs;
  if (isProgram)
    words += ", compiled before";
  return words;
}

} // namespace

BenchSubject::BenchSubject(const std::filesystem::path& file, const CommonOptions& options, std::shared_ptr<Device> device) : seed_(options.seed) {
  CommonOptions own = options;
  own.file = file;
  if (!own.weights && !own.init)
    own.init = 0;
  OpenedProgram opened = openProgram(own, {.targets = targetsFor({device})});
  Program program = std::move(opened.program);
  name_ = program.name();
  if (!own.train) {
    session_.emplace(program, device);
    checkInvariant(plan(), own);
    loadWeights(*session_, own);
    made_ = madeOf(plan(), own, opened.precompiled);
    return;
  }
  training_.emplace(program, device);
  made_ = madeOf(plan(), own, opened.precompiled);
  own.weights ? training_->load(*own.weights, own.allowNonFinite) : training_->init(*own.init);
}

BenchSubject::BenchSubject(const Program& program, Purpose purpose, const TensorMap& weights, uint64_t seed, std::shared_ptr<Device> device)
    : name_(program.name()), seed_(seed) {
  if (purpose == Purpose::Training) {
    training_.emplace(program, device);
    training_->load(weights, /*allowNonFinite=*/true);
  } else {
    session_.emplace(program, device);
    session_->load(weights, /*allowNonFinite=*/true);
  }
  made_ = moec::name(purpose);
}

const Plan& BenchSubject::plan() const { return training_ ? training_->plan() : session_->plan(); }

void BenchSubject::setSizes(const Bindings& sizes) {
  if (!inputs_.empty() && sizes == sizes_)
    return;
  inputs_ = generatedInputs(plan(), sizes, seed_);
  sizes_ = sizes;
}

void BenchSubject::call() {
  if (training_)
    training_->step(inputs_, {.learningRate = 0, .seed = seed_});
  else
    session_->run(inputs_, {.seed = seed_});
}

void BenchSubject::timeLaunches(LaunchClock clock) { training_ ? training_->timeLaunches(std::move(clock)) : session_->timeLaunches(std::move(clock)); }

} // namespace moec::cli
