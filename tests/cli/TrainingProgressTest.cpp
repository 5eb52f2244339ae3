// The line of a training while it runs, and how it is painted.

#include "compiler/cli/TrainingProgress.h"
#include "tests/cli/Process.h"
#include "tests/cli/PseudoTerminal.h"

#include <pty.h>
#include <thread>

using namespace moec;
using moec::cli::TrainingPlace;
using moec::cli::TrainingProgress;
using testing::HasSubstr;
using testing::Not;

namespace {

TrainingPlace place() { return {.step = 345, .steps = 1500, .epoch = 15, .loss = 0.42131, .learningRate = 9.1e-4, .rate = 1243.4, .secondsLeft = 72}; }

TEST(TrainingLine, SaysWhereItIs) {
  EXPECT_EQ(cli::placeText(place(), 0), "step 345/1500, epoch 16  loss 0.4213  lr 0.00091  1243 records/s  1 m 12 s left");
  TrainingPlace early = place();
  early.secondsLeft = -1;
  early.countsTokens = true;
  EXPECT_EQ(cli::placeText(early, 0), "step 345/1500, epoch 16  loss 0.4213  lr 0.00091  1243 tokens/s");
  early.stopping = true;
  EXPECT_THAT(cli::placeText(early, 0), HasSubstr("stopping after this step; again to stop at once"));
}

TEST(TrainingLine, FitsTheTerminal) {
  EXPECT_EQ(cli::placeText(place(), 120), "step 345/1500 [======>                     ] epoch 16  loss 0.4213  lr 0.00091  1243 records/s  1 m 12 s left");
  EXPECT_EQ(cli::placeText(place(), 80), "step 345/1500 epoch 16  loss 0.4213  lr 0.00091  1243 records/s  1 m 12 s left");
  for (int width = 1; width < 200; ++width)
    EXPECT_LT(static_cast<int>(cli::placeText(place(), width).size()), width);
  TrainingPlace end = place();
  end.step = end.steps;
  EXPECT_THAT(cli::placeText(end, 120), HasSubstr("[============================]"));
}

TEST(TrainingLine, OfAnEvaluation) {
  EXPECT_EQ(cli::evaluationText({.step = 345, .loss = 0.39125, .accuracy = 0.913, .best = true}),
            "step 345: validation loss 0.3912, accuracy 91.30 %, the best so far");
  EXPECT_EQ(cli::evaluationText({.step = 345, .loss = 2}), "step 345: validation loss 2.0000");
}

/// What `work` writes to stderr where that is a file, or a terminal of 120 columns.
template <class Work> std::string written(bool terminal, Work work) {
  int master = -1, slave = -1;
  std::FILE* file = std::tmpfile();
  winsize size{.ws_row = 24, .ws_col = 120, .ws_xpixel = 0, .ws_ypixel = 0};
  if (terminal && openpty(&master, &slave, nullptr, nullptr, &size) != 0)
    return "no terminal";
  std::fflush(stderr);
  int before = dup(STDERR_FILENO);
  dup2(terminal ? slave : fileno(file), STDERR_FILENO);
  work();
  std::fflush(stderr);
  dup2(before, STDERR_FILENO);
  close(before);
  std::string text;
  char buffer[4096];
  if (terminal) {
    close(slave);
    for (ssize_t got; (got = read(master, buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<size_t>(got));
    close(master);
  } else {
    std::rewind(file);
    for (size_t got; (got = std::fread(buffer, 1, sizeof buffer, file)) > 0;)
      text.append(buffer, got);
  }
  std::fclose(file);
  return text;
}

train::StepRecord step(int64_t number) { return {.step = number, .records = 64, .loss = 0.5, .learningRate = 1e-3, .seconds = 0.5, .tokensPerSecond = 128}; }

TEST(TrainingPainting, IsRareAndEndsWithAnEmptyLine) {
  MOEC_NEEDS_TERMINAL();
  std::atomic<bool> stop = false;
  std::string text = written(true, [&] {
    TrainingProgress progress(false, stop);
    progress.onStart(0, 400, 10);
    for (int i = 1; i <= 350; ++i) {
      progress.onStep(step(i));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    progress.onEvaluation({.step = 350, .loss = 1});
    stop = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
  });
  size_t paintings = 0;
  for (size_t at = 0; (at = text.find("\r\033[Kmoec: step", at)) != std::string::npos; ++at)
    ++paintings;
  EXPECT_GE(paintings, 2u) << text;
  EXPECT_LE(paintings, 12u) << "ten a second";
  EXPECT_THAT(text, HasSubstr("\r\033[Kmoec: step 350: validation loss 1.0000"));
  EXPECT_THAT(text, HasSubstr("stopping after this step"));
  EXPECT_TRUE(text.ends_with("\r\033[K")) << text;
}

TEST(TrainingPainting, OfAFileIsWholeLines) {
  std::atomic<bool> stop = false;
  auto run = [&](std::chrono::milliseconds every, bool quiet) {
    return written(false, [&] {
      TrainingProgress progress(quiet, stop, every);
      progress.onStart(0, 400, 10);
      for (int i = 1; i <= 40; ++i) {
        progress.onStep(step(i));
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      progress.onEvaluation({.step = 40, .loss = 1});
      for (int i = 1; i <= 12; ++i)
        progress.onSkippedRecord("cats/\033" + std::to_string(i) + ".png: damaged");
    });
  };
  std::string text = run(std::chrono::milliseconds(50), false);
  EXPECT_THAT(text, HasSubstr("moec: step "));
  EXPECT_THAT(text, HasSubstr("/400, epoch 1  loss 0.5000"));
  EXPECT_THAT(text, HasSubstr("moec: step 40: validation loss 1.0000\n"));
  EXPECT_THAT(text, HasSubstr("warning: skipped cats/\\u001b10.png: damaged\n"));
  EXPECT_THAT(text, Not(HasSubstr("11.png")));
  EXPECT_THAT(text, HasSubstr("further records that are skipped stand in metrics.jsonl"));
  EXPECT_THAT(text, Not(HasSubstr("\r")));
  EXPECT_THAT(run(std::chrono::seconds(10), false), Not(HasSubstr("/400")));
  std::atomic<bool> asked = true;
  EXPECT_THAT(written(false,
                      [&] {
                        TrainingProgress progress(false, asked);
                        std::this_thread::sleep_for(std::chrono::milliseconds(250));
                      }),
              HasSubstr("moec: stopping after this step; a second signal stops at once\n"));
  EXPECT_EQ(run(std::chrono::milliseconds(50), true), "");
}

} // namespace
