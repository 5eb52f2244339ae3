// `moec bench` as a process, on programs that are compiled already. Times are the machine's business; what is held here is that they fit together.

#include "tests/cli/JsonSchema.h"
#include "tests/cli/Process.h"
#include "tests/cli/ScaleProgram.h"
#include "tests/runtime/TinyTraining.h"

#include <algorithm>

using namespace moec;
using namespace moec::test;
using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

namespace {

class Bench : public CommandTest {
protected:
  std::string program = path("scale.moec");

  void SetUp() override {
    CommandTest::SetUp();
    scaleProgram().save(program);
  }

  /// Quick, and with more arguments.
  Outcome bench(std::vector<std::string> more) const {
    std::vector<std::string> arguments{"bench", "--threads", "2", "--min-time", "0.0005"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return moec(arguments);
  }

  static json fitting(const std::string& text) {
    json result = json::parse(text);
    EXPECT_THAT(JsonSchema(json::parse(slurp(fs::path(MOEC_SOURCE) / "docs/schemas/bench.json"))).problems(result), IsEmpty());
    return result;
  }
};

TEST_F(Bench, FiguresFitTogether) {
  Outcome outcome = bench({program, "--tokens", "2,64", "--repetitions", "3", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  json result = fitting(outcome.out);
  EXPECT_EQ(result["model"], "scale");
  EXPECT_EQ(result["threads"], 2);
  EXPECT_EQ(result["target"], "cpu:x86-64-v3");
  ASSERT_EQ(result["benchmarks"].size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const json& one = result["benchmarks"][i];
    int64_t tokens = i == 0 ? 2 : 64;
    EXPECT_EQ(one["name"], fmt::format("scale/forward/tokens:{}", tokens));
    EXPECT_EQ(one["sizes"], json({{"batch", tokens}}));
    auto seconds = one["seconds"].get<std::vector<double>>();
    ASSERT_EQ(seconds.size(), 3u);
    EXPECT_EQ(one["best"], *std::ranges::min_element(seconds));
    std::ranges::sort(seconds);
    EXPECT_EQ(one["median"], seconds[1]);
    EXPECT_NEAR(one["spread"].get<double>(), (seconds[2] - seconds[0]) / 4, 1e-9 * seconds[2]); // quartiles lie half way to the ends
    EXPECT_DOUBLE_EQ(one["tokens_per_second"], tokens / seconds[1]);
    EXPECT_GE(one["calls"].get<double>() * seconds[2], 0.0005 * 0.5); // of the repetition that the number was found with
    ASSERT_EQ(one["launches"].size(), 1u);
    EXPECT_EQ(one["launches"][0]["flops"], tokens * 3);
    EXPECT_EQ(one["launches"][0]["bytes"], tokens * 24 + 12);
    EXPECT_EQ(one["launches"][0]["seconds"].size(), 3u);
    const json& kernel = one["kernels"][0];
    auto ofLaunch = one["launches"][0]["seconds"].get<std::vector<double>>();
    EXPECT_EQ(kernel["best"], *std::ranges::min_element(ofLaunch));
    double arithmetic = tokens * 3 / result["machine"]["f32_flops"].get<double>(), memory = (tokens * 24 + 12) / result["machine"]["bytes_read"].get<double>();
    EXPECT_DOUBLE_EQ(kernel["limit"], std::max(arithmetic, memory));
    EXPECT_DOUBLE_EQ(kernel["limit_in_turn"], arithmetic + memory);
    EXPECT_DOUBLE_EQ(kernel["of_limit"], std::max(arithmetic, memory) / kernel["best"].get<double>());
    EXPECT_DOUBLE_EQ(one["sum"]["share"].get<double>() + one["outside"].get<double>(), 1);
    EXPECT_GT(one["outside"].get<double>(), 0);
    for (const char* limit : {"f32_flops", "f64_flops", "bytes_read"}) {
      ASSERT_EQ(one["limits"][limit].size(), 3u);
      for (double sample : one["limits"][limit])
        EXPECT_LE(sample, result["machine"][limit].get<double>());
    }
  }
}

TEST_F(Bench, AStepOfTraining) {
  Program(tinyTrainingData(true)).save(path("tiny.moec"));
  Outcome outcome = bench({path("tiny.moec"), "--train", "--repetitions", "1", "--size", "T=10", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  json result = fitting(outcome.out);
  EXPECT_EQ(result["purpose"], "training");
  const json& one = result["benchmarks"][0];
  EXPECT_EQ(one["name"], "tiny/step/tokens:10");
  std::vector<std::string> lists;
  for (const json& launch : one["launches"])
    lists.push_back(launch["list"].get<std::string>() + launch["launch"].dump());
  EXPECT_THAT(lists, testing::ElementsAre("forward0", "forward1", "forward2", "apply0", "apply1"));
  EXPECT_THAT(bench({program, "--train"}).err, HasSubstr("--train"));
}

TEST_F(Bench, TablesFilesAndAPage) {
  Outcome table = bench({program, "--repetitions", "2", "-o", path("r.json"), "--html", path("r.html")});
  ASSERT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("scale/forward/tokens:5")); // the model's check size
  EXPECT_THAT(table.out, HasSubstr("layers.0.scale"));
  EXPECT_THAT(table.out, Not(HasSubstr("\033")));
  EXPECT_EQ(fitting(slurp(path("r.json")))["benchmarks"][0]["tokens"], 5);
  EXPECT_THAT(slurp(path("r.html")), HasSubstr("<svg"));
  Outcome csv = bench({program, "--repetitions", "2", "--format", "csv"});
  EXPECT_THAT(csv.out, HasSubstr("scale/forward/tokens:5,5,scale,rows,layers.0.scale,1,"));
  // The library's own variables change nothing.
  environment = {{"BENCHMARK_OUT", path("library.json")}, {"BENCHMARK_FILTER", "nothing"}, {"BENCHMARK_LIST_TESTS", "1"}};
  EXPECT_THAT(bench({program, "--repetitions", "2"}).out, HasSubstr("scale/forward/tokens:5"));
  EXPECT_FALSE(fs::exists(path("library.json")));
}

TEST_F(Bench, ComparesResultsAndPrograms) {
  for (const char* name : {"a.json", "b.json"})
    ASSERT_EQ(bench({program, "--repetitions", "6", "--tokens", "8", "-o", path(name)}).code, 0);
  auto seconds = [&](const char* name) { return json::parse(slurp(path(name)))["benchmarks"][0]["median"].get<double>(); };
  Outcome results = moec({"bench", "--compare", path("a.json"), path("b.json"), "--json"});
  ASSERT_EQ(results.code, 0) << results.err;
  json compared = fitting(results.out);
  EXPECT_DOUBLE_EQ(compared["comparisons"][0]["ratio"], seconds("b.json") / seconds("a.json"));
  EXPECT_EQ(compared["differences"], json::array());
  EXPECT_EQ(moec({"bench", "--compare", path("a.json"), path("b.json"), "--json"}).out, results.out);

  Outcome byTurns = bench({"--compare", program, program, "--repetitions", "6", "--tokens", "8", "--json"});
  ASSERT_EQ(byTurns.code, 0) << byTurns.err;
  json turns = fitting(byTurns.out);
  EXPECT_THAT(turns["method"].get<std::string>(), HasSubstr("of pairs"));
  EXPECT_EQ(turns["comparisons"][0]["benchmark"], "forward/tokens:8");
  EXPECT_LE(turns["comparisons"][0]["low"], turns["comparisons"][0]["ratio"]);
  EXPECT_GE(turns["comparisons"][0]["high"], turns["comparisons"][0]["ratio"]);

  expectFailure({"bench", "--compare", path("a.json"), program}, 2, "a.json is a result of `moec bench` and " + program + " is none");
  expectFailure({"bench", "--compare", path("a.json"), path("b.json"), "--threads", "2"}, 2,
                "--threads says how to measure, and " + path("a.json") + " is a result");
  expectFailure({"bench", "--compare", path("a.json"), path("b.json"), "--html", "x.html"}, 2, "--html shows one result");
  expectFailure({"bench", "--compare", program, program, "--repetitions", "5"}, 2, "--repetitions 5: an interval of 95 % needs at least 6");
}

/// scale, with another name and check size; its calls need memory of batch^8 bytes, which beyond 2^48 there is none of.
Program otherProgram(int64_t checkSize, bool isGreedy = false) {
  ProgramData data = scaleProgram().data();
  data.name = "other";
  data.plans[0].checkSizes = {{"batch", checkSize}};
  if (isGreedy) {
    Size batch = Size::symbol("batch"), square = batch * batch, fourth = square * square;
    data.plans[0].buffers.push_back(
        {.name = "room", .kind = BufferKind::Temporary, .dtype = DType::U8, .shape = {fourth * fourth}, .firstLaunch = 0, .lastLaunch = 0});
    data.plans[0].forward[0].workspaces = {3};
  }
  return Program(std::move(data));
}

TEST_F(Bench, ModelsAreComparedAtAsManyTokens) {
  otherProgram(7).save(path("other.moec"));
  expectFailure({"bench", "--compare", program, path("other.moec")}, 2,
                "a call of " + program + " has 5 tokens (batch=5), and one of " + path("other.moec") + " has 7 (batch=7): give --tokens");
  Outcome outcome = bench({"--compare", program, path("other.moec"), "--repetitions", "6", "--tokens", "8", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(fitting(outcome.out)["comparisons"][0]["sizes_b"], json({{"batch", 8}}));
  EXPECT_EQ(bench({"--compare", program, path("other.moec"), "--repetitions", "6", "--size", "batch=8"}).code, 0);
}

TEST_F(Bench, BehindACallThatFailsNothingIsMeasuredAndWhatIsLostIsNamed) {
  otherProgram(2, true).save(path("greedy.moec"));
  Outcome outcome = bench({path("greedy.moec"), "--repetitions", "2", "--tokens", "2,100,3"});
  EXPECT_NE(outcome.code, 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("error: other/forward/tokens:100: "));
  EXPECT_THAT(outcome.err, HasSubstr("; measured before, and lost with it: other/forward/tokens:2\n"));
}

TEST_F(Bench, WhatWasMeasuredIsToldBeforeAFileFails) {
  Outcome outcome = bench({program, "--repetitions", "1", "-o", path(std::string(250, 'r'))}); // too long for what is written aside
  EXPECT_EQ(outcome.code, 5);
  EXPECT_THAT(outcome.out, HasSubstr("scale/forward/tokens:5"));
  expectFailure({"bench", program, "--html", path("")}, 2, "--html " + path("") + ": it is a folder; name a file");
}

TEST_F(Bench, AResultThatLiesIsRefused) {
  std::string deep = file("deep.json", "{\"format\": \"moec bench 1\", \"model\": " + std::string(200'000, '[') + std::string(200'000, ']') + "}");
  expectFailure({"bench", "--compare", deep, deep}, 1, "objects and lists are more than 16 levels deep");
}

TEST_F(Bench, MistakesAreSaidBeforeAnyWork) {
  expectFailure({"bench", program, "--tokens", ""}, 2, "\"\" is no positive integer; write them with commas");
  expectFailure({"bench", program, "--tokens", "8", "--size", "batch=8"}, 2, "--size says all that counts tokens: batch");
  expectFailure({"bench", program, "--tokens", "1,,8"}, 2, "\"\" is no positive integer; write them with commas");
  expectFailure({"bench", program, "--repetitions", "0"}, 2, "--repetitions");
  expectFailure({"bench", program, "--min-time", "0"}, 2, "--min-time");
  expectFailure({"bench", program, "--format", "xml"}, 2, "xml");
  expectFailure({"bench", program, "--format", "csv", "--json"}, 2, "excludes");
  expectFailure({"bench", program, "-o", program}, 2, "-o would write over the model, ");
  expectFailure({"bench", program, "-o", "r", "--html", "r"}, 2, "--html and -o name one file, r");
  expectFailure({"bench", "--tokens", "8"}, 2, "file is required");
  expectFailure({"bench", program, "--weights", path("none.safetensors")}, 1, "none.safetensors");
}

} // namespace
