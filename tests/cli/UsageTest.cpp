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

TEST_F(Usage, HelpIsACommandToo) {
  EXPECT_EQ(moec({"help"}).out, moec({"--help"}).out);
  EXPECT_EQ(moec({"help", "run"}).out, moec({"run", "--help"}).out);
  expectFailure({"help", "runn"}, 2, "did you mean \"run\"?");
}

TEST_F(Usage, NoResultTakesThePlaceOfASource) {
  std::string text = R"({"name": "m", "inputs": {"x": {"shape": ["batch", 2]}}, "model": {"kind": "linear", "out": 2}})";
  std::string model = file("m.json", text), weights = file("w.safetensors", "-"), x = file("x.json", "[[1, 2]]");
  expectFailure({"compile", model, "-o", folder / "." / "m.json"}, 2, "-o would write over the model, ");
  expectFailure({"compile", model, "-o", "m.moec", "--trace", model}, 2, "--trace would write over the model, ");
  expectFailure({"compile", model, "-o", "m.moec", "--trace", "m.moec"}, 2, "-o and --trace name one file, m.moec");
  expectFailure({"inspect", model, "--init", "0", "--save-weights", model}, 2, "--save-weights would write over the model, ");
  expectFailure({"run", model, "--weights", weights, "--input", "x=" + x, "--output", weights}, 2, "--output would write over --weights, ");
  expectFailure({"run", model, "--init", "0", "--input", "x=" + x, "--output", x}, 2, "--output would write over --input x, ");
  EXPECT_EQ(slurp(model), text);
  EXPECT_EQ(slurp(x), "[[1, 2]]");
}

TEST_F(Usage, WhereAResultCannotGoIsSaidBeforeAnyWork) { // the model would be the next error
  expectFailure({"run", path("absent.json"), "--output", "scores.txt"}, 2, "scores.txt: cannot tell the format from the name");
  expectFailure({"run", path("absent.json"), "--output", path("none/o.npy")}, 5, "there is no folder " + path("none"));
}

TEST_F(Usage, AResultIsAFile) {
  std::string model = file("m.json", R"({"name": "m", "inputs": {"x": {"shape": ["batch", 2]}}, "model": {"kind": "linear", "out": 2}})");
  fs::create_directories(folder / "results.npy");
  expectFailure({"compile", model, "-o", "results.npy"}, 2, "-o results.npy: it is a folder; name a file");
  expectFailure({"compile", model, "--trace", "results.npy"}, 2, "--trace results.npy: it is a folder; name a file");
  expectFailure({"run", model, "--init", "0", "--output", "results.npy"}, 2, "--output results.npy: it is a folder; name a file");
  expectFailure({"bench", model, "-o", "/dev/null"}, 2, "-o /dev/null: it is a device or a pipe, which no file takes the place of; name a file");
}

TEST_F(Usage, AFolderIsNoFileAndAFileIsNoFolder) {
  std::string model = file("m.json", R"({"name": "m", "inputs": {"x": {"shape": ["batch", 2]}}, "model": {"kind": "linear", "out": 2}})");
  std::string x = file("x.json", "[[1, 2]]"), there = file("there", "words");
  expectFailure({"compile", model, "--dump-phases", there}, 2, "--dump-phases " + there + ": it is a file; name a folder");
  expectFailure({"run", model, "--init", "0", "--input", "x=" + x, "--kernel-files", there}, 2, "--kernel-files " + there + ": it is a file; name a folder");
  expectFailure({"bench", model, "--kernel-files", there}, 2, "--kernel-files " + there + ": it is a file; name a folder");
  expectFailure({"inspect", model, "--extract", there}, 2, "--extract " + there + ": it is a file; name a folder");
  expectFailure({"train", model, "--out", there}, 2, "--out " + there + ": it is a file; name a folder");
  expectFailure({"compile", model, "--tuning", folder}, 2, "--tuning " + folder.string() + ": it is a folder; name a file, or \"off\"");
  EXPECT_EQ(slurp(there), "words");
}

TEST_F(Usage, AFolderThatTakesNoResultIsSaidBeforeAnyWork) {
  if (geteuid() == 0)
    GTEST_SKIP() << "[SKIP] root writes everywhere";
  fs::create_directories(folder / "closed");
  file("closed/old.npy", "");
  file("closed/t.jsonl", "");
  fs::create_symlink(path("closed/old.npy"), folder / "link.npy");
  fs::permissions(folder / "closed", fs::perms::owner_read | fs::perms::owner_exec);
  std::string words = "nothing can be written into " + path("closed") + ": Permission denied";
  expectFailure({"run", path("absent.json"), "--output", path("closed/o.npy")}, 5, words);
  expectFailure({"run", path("absent.json"), "--output", path("closed/old.npy")}, 5, words); // another takes its place
  expectFailure({"run", path("absent.json"), "--output", path("link.npy")}, 5, words);
  expectFailure({"tune", path("absent.json"), "--tuning", path("closed/t.jsonl")}, 1, "absent.json: cannot read"); // which is added to
  fs::permissions(folder / "closed", fs::perms::owner_all);                                                        // to be removed
}

TEST_F(Usage, NumbersThatNoOptionTakes) {
  expectFailure({"run", "m.json", "--init", "99999999999999999999"}, 2, "--init: 99999999999999999999 is not an integer from 0 to 2^64-1");
  expectFailure({"run", "m.json", "--seed", "-1"}, 2, "--seed: -1 is not an integer from 0 to 2^64-1");
  expectFailure({"run", "m.json", "--max-instructions", "0"}, 2, "--max-instructions: 0 is not an integer from 1 to 2^64-1");
  expectFailure({"compile", "m.json", "--context", "0"}, 2, "--context: 0 is not an integer from 1 to 2^63-1");
  expectFailure({"compile", "m.json", "--context", "8", "--batch", "9223372036854775808"}, 2,
                "--batch: 9223372036854775808 is not an integer from 1 to 2^63-1");
  expectFailure({"generate", "m.json", "--tokens", "-3"}, 2, "--tokens: -3 is not an integer from 1 to 2^63-1");
  expectFailure({"run", "m.json", "--threads", "4097"}, 2, "--threads: 4097 is not an integer from 1 to 4096");
  expectFailure({"compile", "m.json", "--context", "00"}, 2, "--context: 00 is not an integer from 1 to 2^63-1");
  expectFailure({"compile", "m.json", "--target", ""}, 2, "--target: expected a target, as cpu or cuda:sm_90a; found an empty text");
}

TEST_F(Usage, ALeadingZeroIsNoOtherBase) {
  std::string model = file("m.json", R"({"name": "m", "inputs": {"x": {"shape": ["batch", 2]}}, "model": {"kind": "linear", "out": 2}})");
  for (const auto& [text, plain] : {std::pair("010", "10"), {"09", "9"}, {"0", "0"}}) {
    Outcome padded = moec({"inspect", model, "--init", text, "--save-weights", "padded.safetensors"});
    ASSERT_EQ(padded.code, 0) << padded.err;
    ASSERT_EQ(moec({"inspect", model, "--init", plain, "--save-weights", "plain.safetensors"}).code, 0);
    EXPECT_EQ(slurp(folder / "padded.safetensors"), slurp(folder / "plain.safetensors")) << text;
  }
}

TEST_F(Usage, SizesThatNoMemoryHolds) {
  std::string model = file("m.json", R"({"name": "m", "inputs": {"x": {"shape": ["batch", 2]}}, "model": {"kind": "linear", "out": 2}})");
  std::string words = "takes more than 2^48 bytes; the inputs are generated at batch=1000000000000000000: give smaller sizes";
  expectFailure({"check", model, "--size", "batch=1000000000000000000"}, 2, words);
  expectFailure({"bench", model, "--tokens", "1000000000000000000"}, 2, words);
  expectFailure({"inspect", model, "--size", "batch=99999999999999999"}, 2, "x: f32[99999999999999999, 2] takes more than 2^48 bytes: give smaller sizes");
}

TEST_F(Usage, ATrainingThatIsNotThereIsNotLookedForElsewhere) {
  expectFailure({"train", "--resume", "absent"}, 1, "absent: there is no such model, nor the folder of a training");
  expectFailure({"train", "absent"}, 1, "absent: there is no such model");
  expectFailure({"generate", "absent", "--checkpoint", "best"}, 1, "absent: there is no such model, program or folder of a training");
}

TEST_F(Usage, AFileThatCannotBeReadIsSaidBeforeAModelIsCompiled) {
  std::string model = file("m.json", R"({"name": "m", "inputs": {"x": {"shape": ["batch", 2]}}, "model": {"kind": "linear", "out": 2}})");
  std::string text = file("words.txt", "words"), x = file("x.json", "[[1, 2]]"), absent = path("absent"), whats = ": cannot read: No such file or directory";
  expectFailure({"run", model, "--init", "0", "--input", "x=" + absent}, 1, absent + whats);
  expectFailure({"run", model, "--init", "0", "--input", "x"}, 2, "--input x: expected NAME=VALUE");
  expectFailure({"run", model, "--init", "0", "--input", "x=" + text}, 1, text + ": for input \"x\", expected a picture");
  expectFailure({"run", model, "--weights", absent, "--input", "x=" + x}, 1, absent + whats);
  expectFailure({"run", model, "--weights", text, "--input", "x=" + x}, 1, text);
  expectFailure({"run", model, "--init", "0", "--input", "x=" + x, "--draws", absent}, 1, absent + whats);
  expectFailure({"run", model, "--init", "0", "--input", "x=" + x, "--replay", absent}, 1, absent + whats);
  expectFailure({"check", model, "--weights", absent}, 1, absent + whats);
  expectFailure({"bench", model, "--weights", absent}, 1, absent + whats);
  expectFailure({"tune", model, "--weights", absent}, 1, absent + whats);
  expectFailure({"train", model, "--weights", absent}, 1, absent + whats);
  expectFailure({"train", model, "--data", absent}, 1, absent + whats);
  expectFailure({"train", model, "--data", x, "--validation-data", absent}, 1, absent + whats);
  EXPECT_FALSE(fs::exists(folder / "cache" / "moec" / "programs"));
  EXPECT_FALSE(fs::exists(folder / "cache" / "moec" / "kernels"));
}

TEST_F(Usage, AnEmptyTextNamesNoFile) {
  std::string model = file("m.json", R"({"name": "m", "inputs": {"x": {"shape": ["batch", 2]}}, "model": {"kind": "linear", "out": 2}})");
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"compile", model, "-o", ""},
                                                                                     {"compile", model, "--trace", ""},
                                                                                     {"compile", model, "--dump-phases", ""},
                                                                                     {"compile", model, "--kernels", ""},
                                                                                     {"run", model, "--init", "0", "--output", ""},
                                                                                     {"run", model, "--init", "0", "--kernel-files", ""},
                                                                                     {"inspect", model, "--extract", ""},
                                                                                     {"inspect", model, "--init", "0", "--save-weights", ""},
                                                                                     {"bench", model, "-o", ""},
                                                                                     {"bench", model, "--html", ""},
                                                                                     {"train", model, "--out", ""},
                                                                                     {"run", model, "--weights", ""}})
    expectFailure(words, 2, "found an empty one");
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

TEST_F(Usage, ATuningDatabaseThatIsNamedIsUsed) {
  std::string model = file("m.json", "{}"), database = file("t.jsonl", "");
  for (const char* phase : {"plan", "emit", "pack"})
    expectFailure({"compile", model, "--tuning", database, "--from", phase}, 2,
                  fmt::format("--tuning is for phase 'schedule', which lies before --from {}: give it where the dump is made, and leave it out here", phase));
  for (const char* phase : {"import", "grad", "fuse"})
    expectFailure({"compile", model, "--tuning", database, "--stop-after", phase}, 2,
                  fmt::format("--tuning is for phase 'schedule', which does not run with --stop-after {}: leave one of them out", phase));
}

TEST_F(Usage, AMistypedOptionIsTold) {
  expectFailure({"run", "m.json", "--wieghts", "w.safetensors"}, 2, "`moec run` has no option --wieghts; did you mean \"--weights\"? see `moec run --help`");
  expectFailure({"run", "m.json", "--inptu=x=x.json"}, 2, "`moec run` has no option --inptu; did you mean \"--input\"?");
  expectFailure({"compile", "m.json", "-traget", "cpu"}, 2, "did you mean \"--target\"?");
  expectFailure({"cache", "list", "--jsn"}, 2, "`moec cache list` has no option --jsn; did you mean \"--json\"?");
  expectFailure({"run", "m.json", "--zzzzzzzz"}, 2, "`moec run` has no option --zzzzzzzz; see `moec run --help`");
  expectFailure({"run", "m.json", "-x"}, 2, "`moec run` has no option -x; see");
  expectFailure({"devices", "cpu"}, 2, "\"cpu\" is one argument too many for `moec devices`");
}

TEST_F(Usage, WhatIsNoModelIsNamed) {
  expectFailure({"run", path("absent.json")}, 1, "moec: error: " + path("absent.json") + ": cannot read: No such file or directory\n");
  expectFailure({"run", folder.string()}, 1, "cannot read: Is a directory");
  expectFailure({"inspect", file("a.gif", "GIF89a")}, 1, "expected a model (JSON) or a compiled program; found a GIF picture");
  expectFailure({"explain", file("empty", "")}, 1, "found an empty file");
  expectFailure({"explain", file("empty.json", "")}, 1, "empty.json:1:1: error: this is not JSON");
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
