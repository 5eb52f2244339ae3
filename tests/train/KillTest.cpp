// Trainings that are killed, at any moment and in each call that changes a file: what is there is whole, at most the steps since the last checkpoint are lost,
// and the end has the bytes of a training that nobody killed.

#include "runtime/train/Checkpoint.h"
#include "runtime/train/Metrics.h"
#include "tests/e2e/Support.h"
#include "tests/train/Support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <random>
#include <set>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

extern char** environ;

namespace moec::train {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr int64_t kEvery = 3; // steps between checkpoints

class Killed : public testing::Test {
protected:
  test::TemporaryFolder folder;
  fs::path model = folder.path() / "model.json", program = folder.path() / "program.moec";
  std::map<std::string, std::string> expected; // files of the last checkpoint
  double seconds = 0;                          // of a training that nobody kills
  fs::path out;
  int trainings = 0;

  int64_t steps = 0;

  /// Of so many steps; gives how many calls of it change files.
  long prepare(int64_t ofSteps) {
    steps = ofSteps;
    compileSmall(model).save(program);
    begin();
    auto start = steady_clock::now();
    EXPECT_EQ(finish(""), 0);
    seconds = std::chrono::duration<double>(steady_clock::now() - start).count();
    expected = filesOf(listCheckpoints(out).back());
    EXPECT_EQ(stepOf(listCheckpoints(out).back()), steps);
    long calls = 0;
    std::ifstream(folder.path() / "said") >> calls;
    EXPECT_GT(calls, 50);
    return calls;
  }

  void begin() { out = folder.path() / ("out" + std::to_string(trainings++)); }

  pid_t start(const std::string& call) {
    std::vector<std::string> words{MOEC_KILL_CHILD, program, model, out, std::to_string(steps), std::to_string(kEvery)};
    if (!call.empty())
      words.push_back(call);
    std::vector<char*> arguments;
    for (std::string& word : words)
      arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, (folder.path() / "said").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    pid_t child = 0;
    EXPECT_EQ(posix_spawn(&child, MOEC_KILL_CHILD, &actions, nullptr, arguments.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return child;
  }

  /// The exit code, or -9 for one that was killed.
  int wait(pid_t child) {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  int finish(const std::string& call) { return wait(start(call)); }

  /// What a killed training left.
  void look() {
    int64_t last = 0;
    for (const fs::path& folder : listCheckpoints(out)) {
      Checkpoint checkpoint = readCheckpoint(folder); // whole, or it throws
      EXPECT_EQ(checkpoint.step, stepOf(folder));
      last = checkpoint.step;
    }
    Remembering told;
    readMetrics(out / "metrics.jsonl", told);
    if (!told.steps.empty()) {
      EXPECT_LE(told.steps.back().step, last + kEvery);
    }
  }

  void expectTheSameEnd(const std::string& what) {
    std::vector<fs::path> all = listCheckpoints(out);
    ASSERT_FALSE(all.empty()) << what;
    EXPECT_EQ(filesOf(all.back()), expected) << what;
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(out))
      names.insert(entry.path().filename());
    EXPECT_EQ(names, (std::set<std::string>{"checkpoints", "metrics.jsonl", "model.json", "train.json"})) << what;
    for (const auto& entry : fs::directory_iterator(out / "checkpoints")) {
      EXPECT_TRUE(std::ranges::find(all, entry.path()) != all.end()) << what << ": " << entry.path() << " is no whole checkpoint";
      EXPECT_EQ(filesOf(entry.path()).size(), 3u) << what << ": something is left in " << entry.path();
    }
    fs::remove_all(out);
  }

  /// At moments drawn by a seed, until so many died.
  void killAtAnyMoment(int kills) {
    std::mt19937 draws(7);
    std::uniform_real_distribution<double> moment(0, seconds);
    begin();
    for (int killed = 0; killed < kills;) {
      pid_t child = start("");
      std::this_thread::sleep_for(std::chrono::duration<double>(moment(draws)));
      kill(child, SIGKILL);
      int code = wait(child);
      if (code == -SIGKILL) {
        ++killed;
        look();
      } else {
        ASSERT_EQ(code, 0);
        expectTheSameEnd("a training with kills at any moment");
        begin();
      }
      if (HasFatalFailure() || HasNonfatalFailure())
        return;
    }
    ASSERT_EQ(finish(""), 0);
    expectTheSameEnd("the last of them");
  }

  /// In every `stride`th call that changes a file.
  void killInCalls(long calls, long stride) {
    for (long call = 1; call <= calls; call += stride) {
      begin();
      ASSERT_EQ(finish(std::to_string(call)), -SIGKILL) << "call " << call;
      look();
      ASSERT_EQ(finish(""), 0) << "behind call " << call;
      expectTheSameEnd("killed in call " + std::to_string(call));
      if (HasFatalFailure() || HasNonfatalFailure())
        return;
    }
  }
};

} // namespace

#ifdef MOEC_MANY_KILLS
TEST_F(Killed, TwoHundredTimesAtAnyMoment) {
  prepare(40);
  killAtAnyMoment(200);
}

TEST_F(Killed, InEveryCallThatChangesAFile) {
  long calls = prepare(9);
  killInCalls(calls, 1);
}
#else
TEST_F(Killed, TenTimesAtAnyMoment) {
  prepare(12);
  killAtAnyMoment(10);
}

TEST_F(Killed, InTenCallsThatChangeAFile) {
  long calls = prepare(6);
  killInCalls(calls, calls / 10 + 1);
}
#endif

} // namespace moec::train
