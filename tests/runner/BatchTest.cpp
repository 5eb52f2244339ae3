// Batches of the planted cases: what becomes of each.

#include "tests/runner/Planted.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <regex>
#include <vector>

namespace moec::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

struct Report {
  int code = 0;
  std::string output, file;
  std::map<std::string, std::string> status; // by the case's name

  /// The <testcase> element of a case.
  std::string of(const std::string& name) const {
    size_t begin = file.find("\t<testcase name=\"" + name + "\"");
    return begin == std::string::npos ? "" : file.substr(begin, file.find("\n\t<testcase ", begin) - begin);
  }
};

Report run(const std::string& batch, int together) {
  Folder folder;
  Output output = shell(std::string(MOEC_PLANTED_CASES) + " --batch=" + batch + " --together=" + std::to_string(together) +
                        " --seconds=1 --program=planted --report=" + (folder / "report.xml").string());
  Report report{output.code, output.text, slurp(folder / "report.xml"), {}};
  std::regex element("<testcase name=\"([^\"]+)\" classname=\"planted\" time=\"[0-9.e-]+\" status=\"([a-z]+)\"");
  for (std::sregex_iterator one(report.file.begin(), report.file.end(), element), end; one != end; ++one)
    EXPECT_TRUE(report.status.emplace((*one)[1], (*one)[2]).second) << (*one)[1] << " stands twice";
  return report;
}

const std::map<std::string, std::string> wanted{
    {"PlantedDeathTest.Dies", "run"},
    {"Planted.APasses", "run"},
    {"Planted.BFails", "fail"},
    {"Planted.CSkips", "notrun"},
    {"Planted.DCrashes", "fail"},
    {"Planted.EPassesBehindTheCrash", "run"},
    {"Planted.FHangs", "fail"},
    {"Planted.GEndsItsProcess", "fail"},
    {"Planted.HTellsHowManyRanBeforeInItsProcess", "run"},
    {"Few/Numbers.AreSmall/0", "run"},
    {"Few/Numbers.AreSmall/1", "run"},
    {"Few/Numbers.AreSmall/2", "run"},
    {"Few/Numbers.AreSmall/3", "fail"},
    {"Last/PlantedEnd.ArmsACrashBehindIt/0", "fail"},
};

class Batch : public testing::TestWithParam<int> {}; // cases in one process

TEST_P(Batch, EveryCaseHasItsOwnResult) {
  Report report = run("1/1", GetParam());
  EXPECT_EQ(report.code, 1);
  EXPECT_EQ(report.status, wanted);
  EXPECT_THAT(report.file, HasSubstr("<!-- all 14 cases -->"));
  EXPECT_THAT(report.of("Planted.BFails"), HasSubstr("said before &lt;it&gt; failed"));
  EXPECT_THAT(report.of("Planted.BFails"), HasSubstr("1 + 1"));
  EXPECT_THAT(report.of("Planted.CSkips"), HasSubstr("no such device"));
  EXPECT_THAT(report.of("Planted.DCrashes"), HasSubstr("said before the crash"));
  EXPECT_THAT(report.of("Planted.DCrashes"), HasSubstr("its process was ended by signal 11"));
  EXPECT_THAT(report.of("Planted.FHangs"), HasSubstr("it took longer than 1 s"));
  EXPECT_THAT(report.of("Planted.GEndsItsProcess"), HasSubstr("its process ended with code 0"));
  EXPECT_THAT(report.of("Last/PlantedEnd.ArmsACrashBehindIt/0"), HasSubstr("behind it, its process was ended by signal 6"));
  // What failed is printed, and nothing else.
  EXPECT_THAT(report.output, HasSubstr("FAILED: Planted.DCrashes: its process was ended by signal 11"));
  EXPECT_THAT(report.output, Not(HasSubstr("CSkips")));
  EXPECT_THAT(report.output, HasSubstr("planted, part 1 of 1: 14 cases, 6 failed"));
}

INSTANTIATE_TEST_SUITE_P(Together, Batch, testing::Values(1, 2, 100));

TEST(Batches, PartsHoldEveryCaseOnce) {
  std::map<std::string, std::string> all;
  for (const char* batch : {"1/3", "2/3", "3/3"}) {
    Report report = run(batch, 1);
    EXPECT_GE(report.status.size(), 4u);
    for (auto& [name, status] : report.status)
      EXPECT_TRUE(all.emplace(name, status).second) << name << " is in two parts";
  }
  EXPECT_EQ(all, wanted);
}

TEST(Batches, PartsAreOfTheCasesThatAFilterLetsIn) {
  const std::string filter = " '--gtest_filter=Planted.APasses:Few/*.AreSmall/1:Few/*/2'";
  std::map<std::string, std::string> all;
  for (const char* batch : {"1/4", "2/4", "3/4", "4/4"}) { // the last one has none
    Report report = run(batch + filter, 1);
    EXPECT_EQ(report.code, 0) << report.output;
    all.merge(report.status);
  }
  EXPECT_EQ(all, (std::map<std::string, std::string>{{"Planted.APasses", "run"}, {"Few/Numbers.AreSmall/1", "run"}, {"Few/Numbers.AreSmall/2", "run"}}));
}

TEST(Batches, WrongWordsAreRefused) {
  for (auto& [words, message] : std::vector<std::pair<std::string, std::string>>{
           {"--batch=3/2 --program=p --report=r", "there is no part 3 of 2"},
           {"--batch=x/2 --program=p --report=r", "--batch=\"x\" is no number from 1 on"},
           {"--batch=1 --program=p --report=r", "--batch=INDEX/\"\" is no number from 1 on"},
           {"--batch=1/1", "--batch needs --report=FILE and --program=NAME"},
           {"--batch=1/1 --program=p --report=/nonexistent/folder/r --seconds=1", "cannot write the report /nonexistent/folder/r"},
           {"--batch=1/1 --program=p --report=r --preload=/nonexistent/library.so", "--preload: /nonexistent/library.so"},
       }) {
    Output output = shell(std::string(MOEC_PLANTED_CASES) + " " + words);
    EXPECT_EQ(output.code, 2) << words;
    EXPECT_THAT(output.text, HasSubstr(message)) << words;
  }
}

// All of a run's processes have the pipe, so reading it waits for the last of them.
TEST(Batches, NoProcessOfACaseIsLeft) {
  for (const char* how : {"", "timeout 1 "}) { // a case that takes too long; an end from outside, to the batch alone
    Folder folder;
    auto begin = std::chrono::steady_clock::now();
    shell("exec 3>&1; " + std::string(how) + MOEC_PLANTED_CASES + " --batch=1/1 --seconds=" + (*how ? "100" : "1") +
          " --program=p --report=" + (folder / "r").string());
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15)) << how;
  }
}

TEST(Batches, WithoutABatchGoogleTestRunsTheCases) {
  Output output = shell(std::string(MOEC_PLANTED_CASES) + " --gtest_filter=Planted.A*:Planted.B*");
  EXPECT_EQ(output.code, 1);
  EXPECT_THAT(output.text, HasSubstr("[       OK ] Planted.APasses"));
  EXPECT_THAT(output.text, HasSubstr("[  FAILED  ] Planted.BFails"));
}

} // namespace
} // namespace moec::test
