#include "runtime/train/Trainer.h"

#include "runtime/FiniteLogits.h"
#include "runtime/Weights.h"
#include "runtime/core/Digest.h"
#include "runtime/core/Error.h"
#include "runtime/io/MappedFile.h"
#include "runtime/train/BatchSizes.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Evaluation.h"
#include "runtime/train/FiniteWatch.h"
#include "runtime/train/Identity.h"
#include "runtime/train/Metrics.h"
#include "runtime/train/OutFolder.h"
#include "runtime/train/Replay.h"
#include "runtime/train/StepChoices.h"
#include "runtime/train/Steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace moec::train {
namespace {

constexpr int64_t kUsualSteps = 1500;

const Config& checked(const Config& config) {
  checkConfig(config);
  if (config.out.empty())
    throw Error(Fault::Usage, "a training has no folder: give Config::out");
  return config;
}

/// What is wrong with the first tensor that is not finite: the last checkpoint is always one to go on from.
std::optional<std::string> badTensor(const Checkpoint& checkpoint) {
  for (const TensorMap* tensors : {&checkpoint.weights, &checkpoint.state})
    for (const auto& [name, tensor] : *tensors)
      if (auto problem = findNonFinite(tensor))
        return fmt::format("'{}': {}", name, problem->text);
  return {};
}

} // namespace

struct Trainer::State {
  State(const Program& program, const std::string& deviceName, const DeviceOptions& options, const Config& given, data::OpenedData opened)
      : config(checked(given)), data(std::move(opened)), device(openDevice(deviceName, options)), training(program, device), choices(training.plan(), config),
        programName(program.name()) {
    if (!data.train)
      throw Error(Fault::Usage, "a training has no data");
    if (config.accumulate > 1 && training.plan().apply.empty())
      throw Error(Fault::Usage, fmt::format("\"accumulate\" is {}, but the program's steps are whole: compile it with accumulation", config.accumulate));
    if (data.validation)
      evaluation.emplace(program, device, data.validation, config);
    else if (config.patience > 0)
      throw Error(Fault::Usage, fmt::format("\"patience\" is {}, but there are no data to evaluate with", config.patience));
    if (config.nonFinite == NonFiniteLogits::Error && training.plan().nonFinite != NonFiniteLogits::Error)
      throw Error(Fault::Usage, "\"non_finite\" is \"error\", but the program only counts router logits: compile it with that too");
    std::vector<BatchUse> uses{
        {"training", data.train, config.dropLast, [this](const TensorMap& inputs) { training.bindings(choices.withAnyChoices(inputs)); }}};
    if (evaluation)
      uses.push_back({"evaluation", data.validation, false, [this](const TensorMap& inputs) { evaluation->session().bindings(inputs); }});
    checkBatchSizes(uses, config.batch);
    int64_t size = data.train->size();
    batchesPerEpoch = batchesOf(size);
    if (config.accumulate > batchesPerEpoch)
      throw Error(
          Fault::Usage,
          fmt::format(
              "\"accumulate\" is {}, but an epoch of {} records has {} batches of {}, and no step goes past its end: give a smaller \"batch\" or \"accumulate\"",
              config.accumulate, size, batchesPerEpoch, config.batch));
    setTotal(config.steps > 0 ? config.steps : config.epochs > 0 ? stepsFrom({}) : kUsualSteps);
    steps.emplace(training, config, *data.train, &choices);
  }

  bool isByEpochs() const { return config.steps == 0 && config.epochs > 0; }
  bool isDone() const { return isByEpochs() ? place.epoch >= config.epochs : training.steps() >= total; }

  int64_t batchesOf(int64_t records) const { return records / config.batch + (!config.dropLast && records % config.batch != 0); }
  /// Steps of an epoch from its `record`th record on.
  int64_t stepsOfEpoch(int64_t record) const {
    int64_t batches = batchesOf(data.train->size() - record);
    return batches / config.accumulate + (batches % config.accumulate != 0);
  }
  /// Steps from a place to the end of the last epoch.
  int64_t stepsFrom(const data::Place& from) const {
    if (from.epoch >= config.epochs)
      return 0;
    constexpr int64_t most = std::numeric_limits<int64_t>::max() / 4; // sums do not overflow
    int64_t whole = stepsOfEpoch(0);
    return stepsOfEpoch(from.record) + std::min(config.epochs - from.epoch - 1, most / whole) * whole;
  }
  void setTotal(int64_t steps) { config.schedule.total = total = steps; }
  Length lengthOf(int64_t steps) const { return {steps, config.batch, config.accumulate, config.dropLast, config.epochs}; }

  /// Where batches as they are now go on from it: what is left of an epoch may fill none.
  data::Place nextPlace(const data::Place& from) const {
    return config.dropLast && data.train->size() - from.record < config.batch ? data::Place{from.epoch + 1, 0} : from;
  }

  data::LoaderOptions loaderOptions() const {
    return {.batch = config.batch, .seed = config.seed, .dropLast = config.dropLast, .badRecords = config.badRecords};
  }

  /// Weights and states of the beginning.
  data::Place begin() {
    if (config.weights.empty())
      training.init(config.seed);
    else
      training.load(weightsFile(config.weights));
    return {};
  }

  /// Those of a checkpoint.
  data::Place restore(const std::filesystem::path& folder, const Checkpoint& checkpoint) {
    TensorMap all = checkpoint.state;
    for (const StateInfo& info : training.plan().states)
      if (isGradient(training.plan(), info))
        all.emplace(info.name, Tensor(info.dtype, info.shape));
    try {
      training.restore(checkpoint.weights, all, checkpoint.step);
    } catch (const Error& error) {
      throw Error(error.fault(), fmt::format("{}: {}", folder.string(), error.what()));
    }
    return checkpoint.place;
  }

  data::Place restoreLast() { return lastCheckpoint.empty() ? begin() : restore(lastCheckpoint, readCheckpoint(lastCheckpoint)); }

  /// Data are read whole for their digest: once.
  const Identity& identity() {
    if (!known)
      known = identityOf(training.plan(), programName, config, data);
    return *known;
  }

  Config config;
  data::OpenedData data;
  std::shared_ptr<Device> device;
  Training training;
  StepChoices choices;
  std::string programName;
  std::optional<Evaluation> evaluation;
  std::optional<Steps> steps;
  std::optional<Identity> known;
  int64_t batchesPerEpoch = 0, total = 0;

  bool begun = false, resumed = false;
  std::string notice; // of resume(), for the listener
  data::Place place;
  std::optional<BestEvaluation> best;
  int64_t evaluationsSinceBest = 0, evaluated = -1; // evaluated: the step of the last evaluation; -1: there was none
  std::filesystem::path lastCheckpoint;             // the last one in out; empty: none
  data::Place lastPlace;                            // as that one has it
  std::string recorded;                             // StepChoices::digest(), as that one has it
  std::unique_ptr<FolderLock> lock;                 // from resume() to the end of the run

  // Of a run.
  Listener* listener = nullptr;
  std::optional<Metrics> metrics;
  std::optional<EvaluationRecord> last;
  bool toldSkipped = false, toldNonFinite = false;
  int64_t failing = 0; // the step to speak of when something is not finite

  void resume();
  Outcome run(Listener& told, const std::atomic<bool>& stop);
  DoneStep next(data::Loader& loader);
  Outcome::End loop(const std::atomic<bool>& stop);
  void tellSkipped(int64_t step, const std::vector<std::string>& messages);
  void tellNonFinite(const std::string& where, const std::map<std::string, double>& byGate);
  bool evaluate();
  Checkpoint take();
  void write(const Checkpoint& checkpoint);
  void writeCheckpoint(const std::atomic<bool>& stop);
  void keep();
  [[noreturn]] void fail(const std::string& what, const std::atomic<bool>& stop);
};

void Trainer::State::resume() {
  std::error_code code;
  std::unique_ptr<FolderLock> held; // what is read stays the last of this training
  if (std::filesystem::is_directory(config.out, code))
    held = std::make_unique<FolderLock>(config.out);
  std::vector<std::filesystem::path> all = listCheckpoints(config.out);
  if (all.empty())
    throw Error(Fault::Usage, fmt::format("{}: there is no checkpoint to go on from", config.out.string()));
  const std::filesystem::path& folder = all.back();
  Checkpoint checkpoint = readCheckpoint(folder);
  checkSame(folder, checkpoint.identity, identity());
  if (isByEpochs()) {
    if (data::Place at = checkpoint.place; at.epoch > config.epochs || (at.epoch == config.epochs && at.record > 0))
      throw Error(Fault::Usage, fmt::format("{} is in epoch {}, but the training has {} in all: give more", folder.string(), at.epoch + 1, config.epochs));
  } else if (checkpoint.step > total)
    throw Error(Fault::Usage, fmt::format("{} is of step {}, but the training has {} steps in all: give more", folder.string(), checkpoint.step, total));
  if (checkpoint.place.record >= data.train->size())
    throw Error(Fault::Data,
                fmt::format("{}: record {} of an epoch is the next, but the data have {}", folder.string(), checkpoint.place.record, data.train->size()));
  lastPlace = restore(folder, checkpoint);
  place = nextPlace(lastPlace);
  if (isByEpochs()) {
    const auto& length = checkpoint.length;
    bool isSame = length && *length == lengthOf(length->steps);
    setTotal(isSame ? length->steps : checkpoint.step + stepsFrom(place)); // batches may have had another size so far
  }
  best = checkpoint.best;
  evaluationsSinceBest = checkpoint.evaluationsSinceBest;
  evaluated = checkpoint.evaluated;
  lastCheckpoint = folder;
  recorded = checkpoint.record;
  if (checkpoint.target != training.plan().target)
    notice = fmt::format("{} was trained on {}; on {} the bits will not be those that it would have given", folder.string(), checkpoint.target,
                         training.plan().target);
  lock = std::move(held);
  begun = resumed = true;
}

void Trainer::State::tellSkipped(int64_t step, const std::vector<std::string>& messages) {
  for (const std::string& message : messages) {
    metrics->addSkipped(step, message);
    listener->onSkippedRecord(message);
  }
}

/// The first ones are told, and all of them stand in the metrics.
void Trainer::State::tellNonFinite(const std::string& where, const std::map<std::string, double>& byGate) {
  if (!byGate.empty() && !std::exchange(toldNonFinite, true))
    listener->onNotice(
        fmt::format("warning: {}: {}; metrics.jsonl counts further ones, and with --non-finite error they end the training", where, describeNonFinite(byGate)));
}

/// Is it the best so far?
bool Trainer::State::evaluate() {
  TensorMap weights = training.weights();
  bool mayAverage = std::ranges::any_of(training.plan().states, [](const StateInfo& state) { return state.name.ends_with(".average"); });
  if (auto averaged = mayAverage ? averagedWeights(weights, training.state()) : std::nullopt) // states are copied for it alone
    weights = std::move(*averaged);
  int64_t step = training.steps();
  EvaluationRecord record;
  try {
    record = evaluation->run(weights, step);
  } catch (const Error&) {
    keep();
    throw;
  }
  if (!std::exchange(toldSkipped, true))
    tellSkipped(step, evaluation->skipped());
  record.best = !best || record.loss < best->loss;
  if (record.best)
    best = {step, record.records, record.loss, record.accuracy};
  evaluationsSinceBest = record.best ? 0 : evaluationsSinceBest + 1;
  evaluated = step;
  metrics->add(record);
  tellNonFinite(fmt::format("evaluation behind step {}", step), record.nonFinite);
  listener->onEvaluation(record);
  last = record;
  return record.best;
}

Checkpoint Trainer::State::take() {
  Checkpoint checkpoint{.weights = training.weights(),
                        .state = training.state(),
                        .step = training.steps(),
                        .place = place,
                        .identity = identity(),
                        .target = training.plan().target,
                        .best = best,
                        .evaluationsSinceBest = evaluationsSinceBest,
                        .evaluated = evaluated,
                        .length = isByEpochs() ? std::optional(lengthOf(total)) : std::nullopt,
                        .record = choices.digest()};
  for (const StateInfo& info : training.plan().states)
    if (isGradient(training.plan(), info))
      checkpoint.state.erase(info.name);
  return checkpoint;
}

void Trainer::State::write(const Checkpoint& checkpoint) {
  choices.sync(); // a training that goes on from the checkpoint finds its record up to there
  std::filesystem::path folder = checkpointFolder(config.out, checkpoint.step);
  if (folder == lastCheckpoint)
    rewriteCheckpoint(folder, checkpoint);
  else
    train::writeCheckpoint(folder, checkpoint);
  lastCheckpoint = folder;
  lastPlace = place;
  recorded = checkpoint.record;
  metrics->addCheckpoint(checkpoint.step, folder.lexically_relative(config.out).string());
  listener->onCheckpoint(folder);
  pruneCheckpoints(config.out, config.keep, best ? best->step : -1);
}

void Trainer::State::writeCheckpoint(const std::atomic<bool>& stop) {
  Checkpoint checkpoint = take();
  if (auto problem = badTensor(checkpoint))
    fail(*problem, stop);
  write(checkpoint);
}

/// An error ends the training, and weights and states are those behind the last step: a checkpoint has what was learnt since the last one. The error stays the
/// one to speak of, whatever becomes of this.
void Trainer::State::keep() {
  if (training.steps() == 0 || (place == lastPlace && lastCheckpoint == checkpointFolder(config.out, training.steps())))
    return;
  try {
    if (Checkpoint checkpoint = take(); !badTensor(checkpoint))
      write(checkpoint);
  } catch (const Error&) { // a full disk, or a device that failed
  }
}

void Trainer::State::fail(const std::string& what, const std::atomic<bool>& stop) {
  int64_t step = failing, from = lastCheckpoint.empty() ? 0 : *stepOf(lastCheckpoint);
  choices.endRecord();
  std::string message = fmt::format("step {}: {}", step, what);
  listener->onNotice(fmt::format("{}: looking for where it began, by doing steps {} to {} again", message, from + 1, step));
  Replay replay{training, *steps, config, data.train, [this] { return restoreLast(); }, [this] { return loaderOptions(); }, stop};
  auto found = replay.find(step);
  if (found)
    message += "; " + found->text;
  message += lastCheckpoint.empty() ? ". There is no checkpoint before it" : fmt::format(". The last checkpoint, {}, stays as it is", lastCheckpoint.string());
  if (!found || !found->isData)
    message += fmt::format(". A smaller learning rate (this was {}) or \"clip_norm\" in the model's optimizer may help", config.schedule.at(step));
  throw Error(Fault::Data, message);
}

/// The next step. Where an error keeps it from being done, as of a record of choices that has come to its end, no step before it is lost.
DoneStep Trainer::State::next(data::Loader& loader) {
  int64_t before = training.steps();
  try {
    return steps->next(loader);
  } catch (const Error&) {
    if (training.steps() == before)
      keep();
    throw;
  }
}

Outcome::End Trainer::State::loop(const std::atomic<bool>& stop) {
  data::Loader loader(data.train, loaderOptions(), place);
  auto every = [](int64_t step, int64_t steps, bool otherwise) { return steps > 0 ? step % steps == 0 : otherwise; };
  while (!isDone()) {
    if (config.patience > 0 && evaluationsSinceBest >= config.patience)
      return Outcome::End::EarlyStop;
    if (stop)
      return Outcome::End::Interrupted;
    failing = training.steps() + 1;
    DoneStep done = next(loader);
    int64_t step = done.record.step;
    tellSkipped(step, done.skipped);
    std::string logits = done.record.nonFinite.empty() ? "" : ", and " + describeNonFinite(done.record.nonFinite);
    if (!std::isfinite(done.record.loss))
      fail("the loss is " + nameOfNonFinite(done.record.loss) + logits, stop);
    if (!std::isfinite(done.record.gradientNorm))
      fail("the norm of the gradients is " + nameOfNonFinite(done.record.gradientNorm) + logits, stop);
    tellNonFinite(fmt::format("step {}", step), done.record.nonFinite);
    place = done.end;
    if (done.isStep()) {
      metrics->add(done.record);
      listener->onStep(done.record);
    }
    bool atEnd = isDone(), evaluates = evaluation && evaluated != step && (atEnd || every(step, config.evaluateEvery, done.endsEpoch));
    bool isBest = evaluates && evaluate();
    // Behind an epoch that ended without a step the place alone is new: what goes on from the checkpoint before would tell its bad records again.
    if (atEnd || isBest || !done.isStep() || every(step, config.checkpointEvery, evaluation ? evaluates : done.endsEpoch))
      writeCheckpoint(stop);
  }
  if (evaluation && evaluated != training.steps()) { // it was interrupted behind this step, and now nothing more is asked for
    evaluate();
    writeCheckpoint(stop);
  } else if (place != lastPlace) // nothing was left for batches of this size
    writeCheckpoint(stop);
  return Outcome::End::Finished;
}

Outcome Trainer::State::run(Listener& told, const std::atomic<bool>& stop) {
  listener = &told;
  std::unique_ptr<FolderLock> held = lock ? std::move(lock) : std::make_unique<FolderLock>(config.out);
  if (!begun) {
    if (auto all = listCheckpoints(config.out); !all.empty())
      throw Error(Fault::Usage, fmt::format("{} holds a training, up to step {}: go on with it (--resume), or give another folder", config.out.string(),
                                            *stepOf(all.back())));
    place = begin();
    begun = true;
  }
  identity();
  bool mayBeShorter = config.patience > 0 || (isByEpochs() && config.badRecords == data::BadRecords::Skip);
  std::string aboutRecord = choices.begin(
      programName, [this] { return data.train->recordsDigest(); }, training.steps(), mayBeShorter ? std::nullopt : std::optional(total),
      resumed ? std::optional(recorded) : std::nullopt);
  removeUnfinished(config.out);
  writeOutFolder(config, data);
  pruneCheckpoints(config.out, std::numeric_limits<int64_t>::max(), -1); // halves of an interrupted one
  failing = training.steps();
  metrics.emplace(config.out / "metrics.jsonl", resumed ? std::optional(Metrics::Kept{training.steps(), evaluated}) : std::nullopt);
  metrics->addEvent(training.steps(), resumed ? "resumed" : "begun", resumed ? notice : data.name);
  listener->onStart(training.steps(), total, batchesPerEpoch);
  for (const std::string& one : {notice, aboutRecord})
    if (!one.empty())
      listener->onNotice(one);
  Outcome outcome;
  try {
    if (resumed && !choices.digest().empty() && choices.digest() != recorded)
      writeCheckpoint(stop); // a record that begins here is known to be this training's, whatever ends it
    outcome.end = loop(stop);
    if (lastCheckpoint != checkpointFolder(config.out, training.steps()))
      writeCheckpoint(stop);
  } catch (const Error& error) {
    try {
      metrics->addEvent(failing, "failed", error.what());
    } catch (const Error&) { // of a full disk, say: the first one counts
    }
    throw;
  }
  constexpr const char* kEnds[] = {"finished", "early_stop", "interrupted"};
  metrics->addEvent(training.steps(), kEnds[static_cast<int>(outcome.end)]);
  metrics.reset();
  resumed = true; // another run goes on
  outcome.steps = training.steps();
  outcome.last = last;
  if (best)
    outcome.best = last && last->best
                       ? *last
                       : EvaluationRecord{.step = best->step, .records = best->records, .loss = best->loss, .accuracy = best->accuracy, .best = true};
  outcome.checkpoint = lastCheckpoint;
  return outcome;
}

Trainer::Trainer(Program program, const std::string& device, const DeviceOptions& options, const Config& config, data::OpenedData data)
    : state_(new State(program, device, options, config, std::move(data))) {}

Trainer::~Trainer() = default;
void Trainer::trace(std::shared_ptr<Trace> trace) {
  state_->training.trace(trace);
  if (state_->evaluation)
    state_->evaluation->trace(std::move(trace));
}
void Trainer::resume() { state_->resume(); }
Outcome Trainer::run(Listener& listener, const std::atomic<bool>& stop) { return state_->run(listener, stop); }

} // namespace moec::train
