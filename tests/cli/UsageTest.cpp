#include "tests/cli/Process.h"

using namespace moec::test;
using testing::HasSubstr;
using testing::StartsWith;

namespace {

class Usage : public CommandTest {};

TEST_F(Usage, HelpAndVersionAreResults) {
  Outcome help = moec({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* command : {"compile", "run", "check", "inspect", "explain", "devices"}) {
    EXPECT_THAT(help.out, HasSubstr(command));
    Outcome own = moec({command, "--help"});
    EXPECT_EQ(own.code, 0) << command;
    EXPECT_THAT(own.out, HasSubstr("--json")) << command;
    EXPECT_EQ(own.err, "") << command;
  }
  Outcome version = moec({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_THAT(version.out, testing::MatchesRegex("moec [0-9.]+ \\([0-9.]+-[0-9a-f]+\\)\n"));
}

TEST_F(Usage, MistakesOfTheCallerAreTwo) {
  expectFailure({}, 2, "moec: error: ");
  expectFailure({"runn"}, 2, "moec: error: unknown command \"runn\"; did you mean \"run\"?");
  expectFailure({"run"}, 2, "moec: error: file is required");
  expectFailure({"run", "m.json", "--wat"}, 2, "--wat");
  expectFailure({"run", "m.json", "--init", "many"}, 2, "--init");
  expectFailure({"run", "m.json", "--init", "-1"}, 2, "--init");
  expectFailure({"run", "m.json", "--init", "0", "--weights", "w"}, 2, "excludes");
  expectFailure({"run", "m.json", "--threads", "0"}, 2, "--threads");
  expectFailure({"compile", "m.json", "--stop-after", "fry"}, 2, "fry");
  expectFailure({"compile", "m.json", "--emit", "java"}, 2, "java");
  expectFailure({"compile", "m.json", "--target", "cpu,", "cuda:sm_90a"}, 2, "--target: \"cpu,\" has nothing behind its last comma; write it without blanks");
  expectFailure({"completion", "csh"}, 2, "csh");
}

TEST_F(Usage, WhatIsNoModelIsNamed) {
  expectFailure({"run", path("absent.json")}, 1,
                "moec: error: " + path("absent.json") + ": cannot read: No such file or directory\n");
  expectFailure({"run", folder.string()}, 1, "cannot read: Is a directory");
  expectFailure({"inspect", file("a.gif", "GIF89a")}, 1,
                "expected a model (JSON) or a compiled program; found a GIF picture");
  expectFailure({"explain", file("empty", "")}, 1, "found an empty file");
}

TEST_F(Usage, DevicesListsTheCpu) {
  Outcome outcome = moec({"devices"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("cpu"));
  Outcome json = moec({"devices", "--json"});
  EXPECT_THAT(json.out, StartsWith("[{\"name\":"));
}

TEST_F(Usage, AFullDiskBehindStdoutIsFive) {
  Outcome outcome = moec({"--help"}, "/dev/full");
  EXPECT_EQ(outcome.code, 5);
  EXPECT_THAT(outcome.err, HasSubstr("cannot write the results to stdout"));
}

} // namespace
