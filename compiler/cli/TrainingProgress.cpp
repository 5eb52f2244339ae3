#include "compiler/cli/TrainingProgress.h"

#include "compiler/cli/Terminal.h"
#include "runtime/core/Printable.h"
#include "runtime/train/Page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sys/ioctl.h>
#include <unistd.h>

namespace moec::cli {

namespace {

constexpr auto kTerminalStep = std::chrono::milliseconds(100);
constexpr int64_t kMostSkipped = 10; // records that are named

int terminalWidth() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string bar(int64_t step, int64_t steps, int cells) {
  auto done = static_cast<int>(static_cast<double>(cells) * static_cast<double>(step) / static_cast<double>(std::max<int64_t>(steps, 1)));
  done = std::clamp(done, 0, cells);
  return fmt::format("[{}{}{}] ", std::string(static_cast<size_t>(done), '='), done < cells ? ">" : "",
                     std::string(static_cast<size_t>(std::max(0, cells - done - 1)), ' '));
}

/// What cannot be told (a terminal that is gone, a full disk under the log) ends no training.
void tell(const std::string& text) { static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr)); }

} // namespace

std::string placeText(const TrainingPlace& place, int width) {
  std::string first = fmt::format("step {}/{} ", place.step, place.steps),
              rest = fmt::format(" epoch {}  loss {:.4f}  lr {:.3g}  {:.0f} {}/s", place.epoch + 1, place.loss, place.learningRate, place.rate,
                                 place.countsTokens ? "tokens" : "records");
  if (place.stopping)
    rest += "  stopping after this step; again to stop at once";
  else if (place.secondsLeft >= 0)
    rest += fmt::format("  {} left", train::durationText(place.secondsLeft));
  if (width <= 0)
    return first.substr(0, first.size() - 1) + "," + rest;
  constexpr int kLeast = 8, kMost = 28;
  int room = width - 1 - static_cast<int>(first.size() + rest.size()) - 3;
  std::string line = first + (room >= kLeast ? bar(place.step, place.steps, std::min(room, kMost)) : "") + rest.substr(1);
  return line.substr(0, static_cast<size_t>(width - 1));
}

std::string evaluationText(const train::EvaluationRecord& record) {
  std::string text = fmt::format("step {}: validation loss {:.4f}", record.step, record.loss);
  if (record.accuracy)
    text += fmt::format(", accuracy {:.2f} %", 100 * *record.accuracy);
  return text + (record.best ? ", the best so far" : "");
}

TrainingProgress::TrainingProgress(bool quiet, const std::atomic<bool>& stop, std::chrono::milliseconds step)
    : quiet_(quiet), terminal_(isatty(STDERR_FILENO)), stop_(stop), step_(step) {
  if (!quiet)
    thread_ = std::thread([this] { watch(); });
}

TrainingProgress::~TrainingProgress() { end(); }

void TrainingProgress::end() {
  if (!thread_.joinable())
    return;
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void TrainingProgress::onStart(int64_t fromStep, int64_t steps, int64_t) {
  std::lock_guard lock(mutex_);
  begin_ = Clock::now();
  fromStep_ = fromStep;
  place_.step = fromStep;
  place_.steps = steps;
}

void TrainingProgress::onStep(const train::StepRecord& record) {
  std::lock_guard lock(mutex_);
  started_ = true;
  place_.step = record.step;
  place_.epoch = record.epoch;
  place_.learningRate = record.learningRate;
  place_.countsTokens = place_.countsTokens || record.tokensPerSecond * record.seconds > 1.01 * static_cast<double>(record.records);
  constexpr double kKept = 0.95; // of the loss, from step to step
  lossSum_ = kKept * lossSum_ + (1 - kKept) * record.loss;
  lossWeight_ = kKept * lossWeight_ + (1 - kKept);
  place_.loss = lossSum_ / lossWeight_;
  constexpr double kSeconds = 3; // over which the rate is a mean
  double share = place_.rate == 0 ? 1 : 1 - std::exp(-record.seconds / kSeconds);
  place_.rate += share * (record.tokensPerSecond - place_.rate);
}

void TrainingProgress::onEvaluation(const train::EvaluationRecord& record) {
  std::lock_guard lock(mutex_);
  say(evaluationText(record));
}

void TrainingProgress::onSkippedRecord(const std::string& message) {
  std::lock_guard lock(mutex_);
  ++skipped_;
  if (skipped_ <= kMostSkipped)
    say(fmt::format("{} skipped {}", coloured(STDERR_FILENO, Colour::Yellow, "warning:"), printable(message)));
  if (skipped_ == kMostSkipped)
    say("further records that are skipped stand in metrics.jsonl");
}

void TrainingProgress::onNotice(const std::string& message) {
  std::lock_guard lock(mutex_);
  say(printable(message));
}

void TrainingProgress::say(const std::string& line) {
  if (quiet_)
    return;
  tell(fmt::format("{}moec: {}\n", painted_ ? "\r\033[K" : "", line));
  painted_ = false;
  std::fflush(stderr);
}

void TrainingProgress::paint() {
  place_.stopping = stop_;
  int64_t done = place_.step - fromStep_;
  double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
  place_.secondsLeft = done > 0 ? seconds / static_cast<double>(done) * static_cast<double>(place_.steps - place_.step) : -1;
  if (terminal_) {
    constexpr int kFront = 6; // "moec: "
    tell(fmt::format("\r\033[Kmoec: {}", placeText(place_, terminalWidth() - kFront)));
    painted_ = true;
  } else if (place_.step != saidStep_) {
    tell(fmt::format("moec: {}\n", placeText(place_, 0)));
    saidStep_ = place_.step;
  }
  std::fflush(stderr);
}

void TrainingProgress::watch() {
  std::unique_lock lock(mutex_);
  auto said = Clock::now();
  while (!changed_.wait_for(lock, std::min<std::chrono::milliseconds>(kTerminalStep, step_), [this] { return ended_; })) {
    bool due = terminal_ || Clock::now() - said >= step_;
    if (stop_ && !saidStop_ && !terminal_) { // a log tells it once
      say("stopping after this step; a second signal stops at once");
      saidStop_ = true;
    }
    if (!started_ || !due)
      continue;
    paint();
    said = Clock::now();
  }
  if (painted_)
    tell("\r\033[K");
  painted_ = false;
}

} // namespace moec::cli
