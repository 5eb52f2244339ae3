// What the commands say of a program that trains, and the memory that `moec inspect --train` foretells. The program's kernels are written by hand.

#include "compiler/cli/CommandInputs.h"
#include "compiler/cli/MemoryForecast.h"
#include "runtime/Training.h"
#include "tests/cli/JsonSchema.h"
#include "tests/cli/MemoryCounter.h"
#include "tests/cli/Process.h"
#include "tests/runtime/TinyProgram.h"
#include "tests/runtime/TinyTraining.h"

#include <algorithm>
#include <set>
#include <sstream>

using namespace moec;
using namespace moec::test;
using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

namespace {

class TrainingCommands : public CommandTest {
protected:
  std::string whole, parts, without;

  void SetUp() override {
    CommandTest::SetUp();
    for (auto [place, data] : {std::pair(&whole, tinyTrainingData(false)), std::pair(&parts, tinyTrainingData(true)), std::pair(&without, tinyProgramData())}) {
      *place = path(place == &whole ? "whole.moec" : place == &parts ? "parts.moec" : "without.moec");
      Program(data).save(*place);
    }
  }

  json printed(const std::vector<std::string>& arguments) const {
    Outcome outcome = moec(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out, nullptr, false);
  }

  static JsonSchema schema(const std::string& command) { return JsonSchema(json::parse(slurp(fs::path(MOEC_SOURCE) / "docs/schemas" / (command + ".json")))); }
};

TEST_F(TrainingCommands, InspectShowsStatesAndBothLists) {
  for (const std::string& file : {whole, parts}) {
    bool isWhole = file == whole;
    json found = printed({"inspect", "--train", file, "--json", "--size", "T=50", "--threads", "1"});
    EXPECT_THAT(schema("inspect").problems(found), IsEmpty());
    EXPECT_EQ(found["purpose"], "training");
    EXPECT_EQ(found["states"].size(), isWhole ? 2u : 3u);
    EXPECT_EQ(found["states"][1], (json{{"name", "w.average"}, {"dtype", "f32"}, {"shape", {kTinyWidth}}, {"from", "w"}}));
    EXPECT_EQ(found["forward"].size(), 3u);
    EXPECT_EQ(found["apply"].size(), isWhole ? 0u : 2u);
    EXPECT_EQ(found["memory"]["states"], (isWhole ? 2 : 3) * kTinyWidth * 4);
    EXPECT_EQ(found["targets"].size(), 1u);
    Outcome text = moec({"inspect", "--train", file});
    EXPECT_EQ(text.code, 0) << text.err;
    for (const char* words : {", training, compiled by", "w.average", "peak of training", "gradients that add up, moments", "activations, gradients"})
      EXPECT_THAT(text.out, HasSubstr(words));
    EXPECT_THAT(text.out, HasSubstr(isWhole ? "launches of a step" : "launches that apply what has added up"));
  }
  json inference = printed({"inspect", whole, "--json"});
  EXPECT_THAT(schema("inspect").problems(inference), IsEmpty());
  for (const char* key : {"purpose", "states", "apply"})
    EXPECT_FALSE(inference.contains(key)) << key;
  EXPECT_THAT(moec({"inspect", whole}).out, Not(HasSubstr("states")));
}

TEST_F(TrainingCommands, ExplainShowsTheLaunchesOfAStep) {
  Outcome outcome = moec({"explain", "--train", parts, "--json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  std::istringstream lines(outcome.out);
  std::string lists;
  JsonSchema expected = schema("explain");
  for (std::string line; std::getline(lines, line);) {
    EXPECT_THAT(expected.problems(json::parse(line)), IsEmpty());
    lists += json::parse(line)["list"].get<std::string>() + " ";
  }
  EXPECT_EQ(lists, "forward forward forward apply apply ");
  EXPECT_THAT(moec({"explain", "--train", parts}).out, HasSubstr("-- each step, with the gradients that have added up"));
  EXPECT_THAT(moec({"explain", "--train", whole}).out, HasSubstr("training: 3 launches a step"));
}

TEST_F(TrainingCommands, CheckComparesParametersAndStates) {
  for (const std::string& file : {whole, parts}) {
    json found = printed({"check", "--train", file, "--against", "cpu", "--size", "T=20", "--json"});
    EXPECT_THAT(schema("check").problems(found), IsEmpty());
    EXPECT_TRUE(found["passed"]);
    EXPECT_EQ(found["launches"].size(), file == whole ? 3u : 5u);
    std::set<std::string> compared;
    for (const auto& output : found["outputs"])
      compared.insert(output["kind"].get<std::string>() + " " + output["name"].get<std::string>());
    for (const char* name : {"output loss", "output gradient_norm", "parameter w", "state w.momentum"})
      EXPECT_TRUE(compared.contains(name)) << name;
    EXPECT_EQ(compared.contains("state w.gradient"), file == parts);
  }
}

TEST_F(TrainingCommands, RefusesWhatIsNotThere) {
  for (const char* command : {"inspect", "explain", "check"})
    expectFailure({command, "--train", without}, 2, "has no plan for training: compile it with --train");
  expectFailure({"compile", file("m.json", "{}"), "--accumulate"}, 2, "--train");
  expectFailure({"inspect", "--train", "--accumulate", whole}, 2, "--accumulate changes how a model is compiled");
}

// A plan for evaluation is one for inference to the commands but for its name and its inputs.
TEST_F(TrainingCommands, ShowsAPlanForEvaluation) {
  ProgramData data = tinyProgramData();
  data.plans.push_back(data.plans[0]);
  data.plans.back().purpose = Purpose::Evaluation;
  std::string evaluates = path("evaluates.moec");
  Program(data).save(evaluates);
  json found = printed({"inspect", "--evaluate", evaluates, "--json", "--threads", "1"});
  EXPECT_THAT(schema("inspect").problems(found), IsEmpty());
  EXPECT_EQ(found["purpose"], "evaluation");
  for (const char* key : {"states", "apply"})
    EXPECT_FALSE(found.contains(key)) << key;
  EXPECT_EQ(found["memory"], printed({"inspect", evaluates, "--json", "--threads", "1"})["memory"]);
  EXPECT_THAT(moec({"inspect", "--evaluate", evaluates}).out, HasSubstr(", evaluation, compiled by"));
  EXPECT_THAT(moec({"explain", "--evaluate", evaluates}).out, HasSubstr(", evaluation: "));
  EXPECT_TRUE(printed({"check", "--evaluate", evaluates, "--against", "cpu", "--json"})["passed"]);
  for (const char* command : {"inspect", "explain", "check"}) {
    expectFailure({command, "--evaluate", without}, 2, "has no plan for evaluation: compile it with --evaluate");
    expectFailure({command, "--evaluate", "--train", evaluates}, 2, "leave one of them out");
  }
  expectFailure({"inspect", "--evaluate", "--statistics", evaluates}, 2, "--statistics changes how a model is compiled");
  expectFailure({"compile", file("m.json", "{}"), "--ema", "0.5"}, 2, "--train");
}

TEST(MemoryOfATraining, IsWhatInspectForetells) {
  for (bool accumulate : {false, true})
    for (int64_t tokens : {1, 300}) {
      Program program(tinyTrainingData(accumulate));
      MemoryCounter counter;
      Training training(program, "cpu", {.threads = 2, .allocator = counter.allocator()});
      Bindings sizes = cli::checkSizes(training.plan(), {{"T", tokens}});
      cli::MemoryForecast forecast = cli::forecastMemory(program, training.plan(), sizes, 2);
      EXPECT_EQ(forecast.states, (accumulate ? 3 : 2) * kTinyWidth * 4);
      training.init(0);
      EXPECT_EQ(counter.most, forecast.loading());
      TensorMap results = training.step(tinyBatch(tokens, 1), {.learningRate = 0.1});
      EXPECT_EQ(counter.now, forecast.call());
      EXPECT_EQ(counter.most, forecast.call());
      results.clear();
      EXPECT_EQ(counter.now, forecast.call() - forecast.results);
    }
}

} // namespace
