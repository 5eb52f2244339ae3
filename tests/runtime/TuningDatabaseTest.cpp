// Owner of: the file of tuned schedules: what is read back, what is passed over, writers that are killed, writers at once.

#include "runtime/core/TuningDatabase.h"
#include "runtime/core/AtomicFile.h"
#include "runtime/core/Error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace moec {
namespace {

namespace fs = std::filesystem;

class Tuning : public testing::Test {
protected:
  fs::path folder = fs::temp_directory_path() / fmt::format("moec-tuning-{}", getpid());
  TuningDatabase database{folder / "deep/tuning.jsonl"};

  void TearDown() override { fs::remove_all(folder); }
  std::string text() const {
    std::ifstream file(database.path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& text) const {
    fs::create_directories(database.path().parent_path());
    std::ofstream(database.path(), std::ios::binary) << text;
  }
};

TunedSchedule entry(int number, int64_t block = 8, const std::string& sizes = "batch=8", const std::string& cpu = "A CPU") {
  return {.kernel = fmt::format("{:032x}", number),
          .target = "cpu:x86-64-v3",
          .cpu = cpu,
          .sizes = sizes,
          .schedule = {{"block", block}, {"rows", 6}},
          .ratio = 0.75,
          .threads = 2,
          .kind = "rows",
          .layer = "layers.0.\"norm\"",
          .date = "2026-01-31T12:00:00Z",
          .build = "0.1.0-0123456789abcdef"};
}

TEST_F(Tuning, WhatWasAddedIsReadBack) {
  EXPECT_TRUE(database.read().entries.empty()); // there is no file, and no folder
  database.append({entry(1), entry(2, 16, "")});
  TuningContents contents = database.read();
  ASSERT_EQ(contents.entries.size(), 2u);
  const TunedSchedule &first = contents.entries[0], expected = entry(1);
  EXPECT_EQ(std::tie(first.kernel, first.target, first.cpu, first.sizes, first.schedule, first.ratio, first.threads, first.kind, first.layer, first.date,
                     first.build),
            std::tie(expected.kernel, expected.target, expected.cpu, expected.sizes, expected.schedule, expected.ratio, expected.threads, expected.kind,
                     expected.layer, expected.date, expected.build));
  EXPECT_EQ(contents.entries[1].sizes, "");
  EXPECT_EQ(contents.lines, 2);
  EXPECT_EQ(contents.bad + contents.foreign, 0);
  EXPECT_FALSE(contents.isTorn);
}

TEST_F(Tuning, TheLastLineCountsForItsKernelCpuAndSizes) {
  database.append({entry(1, 8), entry(1, 16), entry(1, 32, "batch=1"), entry(1, 64, "batch=8", "Another"), entry(2, 128)});
  database.append({entry(1, 24)}); // for batch=8, and the last of all for its kernel
  TuningContents contents = database.read();
  EXPECT_EQ(contents.entries.size(), 4u);
  EXPECT_EQ(contents.lines, 6);
  auto schedules = contents.schedulesFor("A CPU");
  ASSERT_EQ(schedules.size(), 2u);
  EXPECT_EQ(schedules.at(entry(1).kernel).at("block"), 24);
  EXPECT_EQ(schedules.at(entry(2).kernel).at("block"), 128);
  EXPECT_EQ(contents.schedulesFor("Another").at(entry(1).kernel).at("block"), 64);
  EXPECT_TRUE(contents.schedulesFor("").empty());
}

TEST_F(Tuning, LinesThatAreNoEntriesArePassedOver) {
  database.append({entry(1)});
  std::string good = text();
  auto with = [&](const std::string& from, const std::string& to) {
    std::string line = good;
    return line.replace(line.find(from), from.size(), to);
  };
  std::string bad = "no JSON\n[1]\n{}\n";
  bad += with("\"cpu\":\"A CPU\"", "\"cpu\":3") + with("0.75", "-0.75") + with("0.75", "1e999") + with("\"block\":8", "\"block\":8.5") +
         with("\"block\":8", "\"block\":\"8\"");
  bad += with("{\"block\":8,\"rows\":6}", "{}") + with("{\"block\":8,\"rows\":6}", "[8]") + with("\"block\":8", "\"block\":9223372036854775808");
  bad += with("\"kernel\":\"0", "\"kernel\":\"g") + with("\"threads\":2", "\"threads\":-2") + with("A CPU", std::string(600, 'a'));
  bad += std::string(10'000, '[') + "\n";
  write(bad + "\n" + with("\"v\":1", "\"v\":2") + good);
  TuningContents contents = database.read();
  EXPECT_EQ(contents.entries.size(), 1u);
  EXPECT_EQ(contents.bad, 15);
  EXPECT_EQ(contents.foreign, 1);
  database.append({entry(2)});
  EXPECT_EQ(database.read().bad, 15); // nobody else's lines are removed for one more
  EXPECT_EQ(database.read().entries.size(), 2u);
}

TEST_F(Tuning, ATornLineIsPassedOverAndMended) {
  database.append({entry(1), entry(2)});
  std::string whole = text(), half = whole.substr(0, whole.find('\n') + 40);
  write(half);
  EXPECT_EQ(database.read().entries.size(), 1u);
  EXPECT_TRUE(database.read().isTorn);
  database.append({entry(3)});
  TuningContents contents = database.read();
  EXPECT_FALSE(contents.isTorn);
  EXPECT_EQ(contents.bad, 0);
  ASSERT_EQ(contents.entries.size(), 2u);
  EXPECT_EQ(contents.entries[1].kernel, entry(3).kernel);
  for (size_t length : {0, 3, 40}) {
    write(whole.substr(0, length));
    database.append({entry(4)});
    EXPECT_EQ(database.read().entries.size(), 1u);
    EXPECT_EQ(database.read().bad, 0);
  }
  write(whole + "words without an end");
  database.append({entry(4)});
  EXPECT_EQ(database.read().entries.size(), 3u);
  EXPECT_EQ(database.read().bad, 1);
  EXPECT_THAT(text(), testing::HasSubstr("words without an end\n"));
}

TEST_F(Tuning, WhetherItCanBeWrittenIsKnownBefore) {
  database.prepare();
  EXPECT_EQ(text(), "");
  database.append({entry(1)});
  database.prepare();
  EXPECT_EQ(database.read().entries.size(), 1u);
  EXPECT_THROW(TuningDatabase(database.path() / "below a file").prepare(), Error);
  write("[1]\n");
  EXPECT_THROW(database.prepare(), Error);
  EXPECT_EQ(text(), "[1]\n");
}

TEST_F(Tuning, LongLabelsAreCutOff) {
  TunedSchedule labelled = entry(1);
  labelled.layer = std::string(255, 'a'); // the cut is within a character
  for (int i = 0; i < 1000; ++i)
    labelled.layer += "\u00e9";
  labelled.kind = std::string(1000, '\x01');
  database.append({labelled});
  ASSERT_EQ(database.read().entries.size(), 1u);
  EXPECT_TRUE(database.read().entries[0].layer.starts_with(std::string(255, 'a')));
  labelled.sizes = std::string(1000, 's');
  EXPECT_THROW(database.append({labelled}), Error);
}

TEST_F(Tuning, AFileOfSomethingElseStaysAsItIs) {
  for (const char* other : {"{\"name\": \"model\"}", "{\n  \"name\": \"model\"\n}\n", "a line\nand half", "[1]\n", "words"}) {
    write(other);
    try {
      database.append({entry(1)});
      ADD_FAILURE() << "an entry was added to " << other;
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::Data);
      EXPECT_THAT(error.what(), testing::HasSubstr("is no tuning database"));
    }
    EXPECT_EQ(text(), other);
  }
}

TEST_F(Tuning, ReplacedLinesGo) {
  for (int turn = 0; turn < 40; ++turn)
    database.append({entry(1, turn + 1), entry(2, turn + 1), entry(3, turn + 1)});
  write(text() + "{\"v\":2}\nno entry\n");
  for (int turn = 0; turn < 60; ++turn)
    database.append({entry(1, turn + 41)});
  std::string left = text();
  EXPECT_LE(std::ranges::count(left, '\n'), 65); // 182 lines went by
  EXPECT_THAT(left, testing::HasSubstr("{\"v\":2}\nno entry\n"));
  auto schedules = database.read().schedulesFor("A CPU");
  EXPECT_EQ(schedules.at(entry(1).kernel).at("block"), 100);
  EXPECT_EQ(schedules.at(entry(2).kernel).at("block"), 40);
  EXPECT_TRUE(database.clear());
  EXPECT_FALSE(database.clear());
  EXPECT_TRUE(database.read().entries.empty());
}

/// Adds `entry(number)`, each with a growing block, until it is killed or has added `most`.
[[noreturn]] void addForEver(const TuningDatabase& database, int number, int most) {
  try {
    for (int turn = 1; turn <= most; ++turn)
      database.append({entry(number, turn)});
    _exit(0);
  } catch (...) {
    _exit(1);
  }
}

TEST_F(Tuning, WritersThatAreKilledLeaveWhatTheyHadAdded) {
  std::mt19937 random(7);
  database.append({entry(1, 1)});
  for (int turn = 0; turn < 60; ++turn) {
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0)
      addForEver(database, 2, 1 << 30);
    usleep(random() % 4000);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself, with " << WEXITSTATUS(status);
    TuningContents contents = database.read();
    ASSERT_EQ(contents.bad, 0) << "after " << turn << " kills";
    ASSERT_EQ(contents.schedulesFor("A CPU").at(entry(1).kernel).at("block"), turn + 1);
    database.append({entry(1, turn + 2)});
    ASSERT_FALSE(database.read().isTorn);
  }
  EXPECT_TRUE(database.read().schedulesFor("A CPU").contains(entry(2).kernel));
}

TEST_F(Tuning, SeveralWritersLoseNothing) {
  constexpr int kWriters = 4, kEach = 100; // enough for the file to be written anew several times
  std::vector<pid_t> children;
  for (int writer = 0; writer < kWriters; ++writer) {
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0)
      addForEver(database, writer, kEach);
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  TuningContents contents = database.read();
  EXPECT_EQ(contents.bad, 0);
  ASSERT_EQ(contents.entries.size(), size_t{kWriters});
  for (const TunedSchedule& each : contents.entries)
    EXPECT_EQ(each.schedule.at("block"), kEach);
  EXPECT_LT(contents.lines, kWriters * kEach);
}

TEST_F(Tuning, FilesThatCannotBeReadAreErrorsOfTheSystem) {
  fs::create_directories(database.path());
  EXPECT_THROW(database.read(), Error);
  EXPECT_THROW(database.append({entry(1)}), Error);
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(TuningDatabase(folder / "pipe").read(), Error) << "and does not wait";
  TunedSchedule wrong = entry(1);
  wrong.kernel = "short";
  try {
    TuningDatabase(folder / "other").append({wrong});
    ADD_FAILURE() << "an entry that nobody could read was written";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Internal);
  }
  EXPECT_FALSE(fs::exists(folder / "other"));
}

} // namespace
} // namespace moec
