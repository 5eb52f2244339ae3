#include "runtime/train/Checkpoint.h"

#include "runtime/core/Error.h"
#include "tests/e2e/Support.h"
#include "tests/train/Support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <limits>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace moec::train {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Checkpoint sample(int64_t step = 20) {
  Checkpoint checkpoint;
  checkpoint.weights = {{"w", Tensor::of<float>({1, 2, 3, static_cast<float>(step)}, {2, 2})}, {"b", Tensor::of<double>({0.1}, {})}};
  checkpoint.state = {{"w.exp_avg", Tensor::of<float>({0, 1, 0, 1}, {2, 2})}};
  checkpoint.step = step;
  checkpoint.place = {3, 17};
  checkpoint.identity = {"small (00ff)", "{\"kind\":\"adam\"}, states: exp_avg", "points", 18446744073709551615u};
  checkpoint.target = "cpu:x86-64-v3";
  checkpoint.best = {12, 64, 0.1 + 0.2, 1.0 / 3};
  checkpoint.evaluationsSinceBest = 2;
  checkpoint.evaluated = 18;
  checkpoint.length = {.steps = 40, .batch = 16, .accumulate = 2, .dropLast = true, .epochs = 5};
  return checkpoint;
}

bool same(const TensorMap& a, const TensorMap& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.shape() == y.second.shape() && x.second.toDoubles() == y.second.toDoubles();
  });
}

std::string problem(const fs::path& folder) {
  try {
    readCheckpoint(folder);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Data) << error.what();
    return error.what();
  }
  return "";
}

void replace(const fs::path& file, const std::string& from, const std::string& to) {
  std::ifstream in(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  std::ofstream(file, std::ios::binary) << text.replace(at, from.size(), to);
}

std::vector<std::string> names(const std::vector<fs::path>& folders) {
  std::vector<std::string> result;
  for (const fs::path& folder : folders)
    result.push_back(folder.filename());
  return result;
}

/// writeCheckpoint() throws Error(System); of the checkpoint nothing is left, what was there before is whole.
void expectFailure(const fs::path& out) {
  try {
    writeCheckpoint(checkpointFolder(out, 20), sample(20));
    FAIL() << "it was written";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::System) << error.what();
    EXPECT_EQ(exitCode(error.fault()), 5);
  }
  EXPECT_THAT(names(listCheckpoints(out)), ElementsAre("step-00000010"));
  EXPECT_FALSE(fs::exists(checkpointFolder(out, 20)));
  EXPECT_TRUE(same(readCheckpoint(checkpointFolder(out, 10)).weights, sample(10).weights));
}

} // namespace

TEST(Checkpoint, WhatIsWrittenIsReadBack) {
  test::TemporaryFolder folder;
  Checkpoint written = sample();
  fs::path path = checkpointFolder(folder.path(), written.step);
  writeCheckpoint(path, written);
  Checkpoint read = readCheckpoint(path);
  EXPECT_TRUE(same(read.weights, written.weights));
  EXPECT_TRUE(same(read.state, written.state));
  EXPECT_EQ(read.step, 20);
  EXPECT_EQ(read.place, written.place);
  EXPECT_EQ(read.identity, written.identity);
  EXPECT_EQ(read.target, written.target);
  EXPECT_EQ(read.best, written.best) << "to the bit";
  EXPECT_EQ(read.evaluationsSinceBest, 2);
  EXPECT_EQ(read.evaluated, 18);
  EXPECT_EQ(read.length, written.length);

  written.best.reset();
  written.length.reset();
  written.evaluated = -1;
  written.state.clear();
  writeCheckpoint(path, written);
  EXPECT_FALSE(readCheckpoint(path).best);
  EXPECT_EQ(readCheckpoint(path).evaluated, -1);
  EXPECT_FALSE(readCheckpoint(path).length) << "by steps, or by a moec that wrote none";
  EXPECT_THAT(readCheckpoint(path).state, IsEmpty());
}

TEST(Checkpoint, EqualTrainingsWriteEqualBytes) {
  test::TemporaryFolder a, b;
  writeCheckpoint(checkpointFolder(a.path(), 20), sample());
  writeCheckpoint(checkpointFolder(b.path(), 20), sample());
  auto files = filesOf(checkpointFolder(a.path(), 20));
  EXPECT_EQ(files.size(), 3u);
  EXPECT_EQ(files, filesOf(checkpointFolder(b.path(), 20)));
}

TEST(Checkpoint, RewrittenItIsTheOneThatWouldHaveBeenWritten) {
  test::TemporaryFolder a, b;
  Checkpoint later = sample();
  later.best = {20, 64, 0.25, {}};
  later.evaluated = 20;
  writeCheckpoint(checkpointFolder(a.path(), 20), sample());
  rewriteCheckpoint(checkpointFolder(a.path(), 20), later);
  writeCheckpoint(checkpointFolder(b.path(), 20), later);
  EXPECT_EQ(filesOf(checkpointFolder(a.path(), 20)), filesOf(checkpointFolder(b.path(), 20)));
  std::ofstream(checkpointFolder(a.path(), 20) / "training.json.x1y2z3.part") << "half";
  pruneCheckpoints(a.path(), 1, -1);
  EXPECT_EQ(filesOf(checkpointFolder(a.path(), 20)).size(), 3u) << "what a kill left is taken away";
}

TEST(Checkpoint, DamageIsFoundAndNamed) {
  test::TemporaryFolder out;
  fs::path folder = checkpointFolder(out.path(), 20);
  auto fresh = [&] { writeCheckpoint(folder, sample()); };
  fresh();
  fs::remove(folder / "training.json");
  EXPECT_THAT(problem(folder), HasSubstr("it has no training.json"));
  EXPECT_THAT(listCheckpoints(out.path()), IsEmpty());
  fresh();
  replace(folder / "training.json", "\"version\": 1", "\"version\": 9");
  EXPECT_THAT(problem(folder), HasSubstr("version 9 of a checkpoint, but this moec reads version 1"));
  EXPECT_THROW(pruneCheckpoints(out.path(), 1, -1), Error); // it is a later moec's, and stays
  EXPECT_TRUE(fs::exists(folder / "weights.safetensors"));
  fresh();
  replace(folder / "training.json", "\"step\": 20", "\"step\": -2");
  EXPECT_THAT(problem(folder), HasSubstr("damaged: \"step\""));
  fresh();
  replace(folder / "training.json", "\"drop_last\": true", "\"drop_last\": 1");
  EXPECT_THAT(problem(folder), HasSubstr("damaged: \"drop_last\" is missing, or no boolean"));
  fresh();
  replace(folder / "training.json", "{", "[");
  EXPECT_THAT(problem(folder), HasSubstr("training.json: damaged"));
  EXPECT_THROW(listCheckpoints(out.path()), Error);
  fresh();
  fs::resize_file(folder / "weights.safetensors", fs::file_size(folder / "weights.safetensors") - 1);
  EXPECT_THAT(problem(folder), HasSubstr("weights.safetensors: "));
  EXPECT_THAT(listCheckpoints(out.path()), IsEmpty());
  fresh();
  replace(folder / "state.safetensors", "exp_avg", "exp_abg");
  EXPECT_THAT(problem(folder), HasSubstr("state.safetensors: damaged: its digest is"));
  fresh();
  fs::remove(folder / "state.safetensors");
  EXPECT_THAT(problem(folder), HasSubstr("state.safetensors: missing"));
  fresh();
  EXPECT_EQ(problem(folder), "");
}

TEST(Checkpoint, OfManyTheLastAndTheBestAreKept) {
  test::TemporaryFolder out;
  for (int64_t step : {5, 10, 15, 20, 100000000, 25})
    writeCheckpoint(checkpointFolder(out.path(), step), sample(step));
  fs::create_directories(checkpointFolder(out.path(), 30)); // halves
  std::ofstream(checkpointFolder(out.path(), 30) / "weights.safetensors") << "half";
  fs::create_directories(out.path() / "checkpoints/step-7");
  fs::create_directories(out.path() / "checkpoints/mine");
  EXPECT_THAT(names(listCheckpoints(out.path())),
              ElementsAre("step-00000005", "step-00000010", "step-00000015", "step-00000020", "step-00000025", "step-100000000"));
  pruneCheckpoints(out.path(), 2, 10);
  EXPECT_THAT(names(listCheckpoints(out.path())), ElementsAre("step-00000010", "step-00000025", "step-100000000"));
  EXPECT_FALSE(fs::exists(checkpointFolder(out.path(), 30)));
  EXPECT_TRUE(fs::exists(out.path() / "checkpoints/step-7")) << "no folder of moec's";
  EXPECT_TRUE(fs::exists(out.path() / "checkpoints/mine"));
  pruneCheckpoints(out.path(), 1, -1);
  EXPECT_THAT(names(listCheckpoints(out.path())), ElementsAre("step-100000000"));
  EXPECT_THAT(listCheckpoints(out.path() / "nothing"), IsEmpty());
}

TEST(Checkpoint, AFileThatMayNotGrowLeavesTheOldOnesWhole) {
  test::TemporaryFolder out;
  writeCheckpoint(checkpointFolder(out.path(), 10), sample(10));
  rlimit old{}, small{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  small = old;
  auto handler = signal(SIGXFSZ, SIG_IGN);  // write() then says EFBIG
  for (rlim_t bytes : {0, 100, 300, 600}) { // in the first file, in the second, in training.json
    small.rlim_cur = bytes;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    expectFailure(out.path());
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  }
  signal(SIGXFSZ, handler);
}

TEST(Checkpoint, AFullDiskLeavesTheOldOnesWhole) {
  test::TemporaryFolder mount;
  pid_t child = fork(); // a mount of its own
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", mount.path().c_str(), "tmpfs", 0, "size=64k") != 0)
      _exit(77);
    writeCheckpoint(checkpointFolder(mount.path(), 10), sample(10));
    std::ofstream filler(mount.path() / "filler", std::ios::binary);
    filler << std::string(1 << 20, 'x');
    filler.flush();
    expectFailure(mount.path());
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
    GTEST_SKIP() << "no file system may be mounted here";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(Checkpoint, AveragesStandForTheirWeights) {
  TensorMap weights{{"w", Tensor::of<float>({1, 2}, {2})}, {"still", Tensor::of<float>({5}, {1})}};
  EXPECT_FALSE(averagedWeights(weights, {{"w.exp_avg", weights.at("w")}}));
  auto averaged = averagedWeights(weights, {{"w.average", Tensor::of<double>({3, 4}, {2})}});
  ASSERT_TRUE(averaged);
  EXPECT_EQ(averaged->at("w").dtype(), DType::F32);
  EXPECT_THAT(averaged->at("w").toDoubles(), ElementsAre(3, 4));
  EXPECT_THAT(averaged->at("still").toDoubles(), ElementsAre(5)) << "it never moved";
}

} // namespace moec::train
