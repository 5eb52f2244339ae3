// What every command prints with --json fits its published schema (docs/schemas, `moec schema COMMAND`).

#include "compiler/cli/CommandTree.h"
#include "runtime/Compile.h"
#include "tests/cli/JsonSchema.h"
#include "tests/cli/Process.h"

#include <CLI/CLI.hpp>

using namespace moec::test;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {

constexpr const char* kModel = R"({"name": "tiny", "inputs": {"x": {"shape": ["batch", 16]}},
  "model": [{"kind": "layer_norm"}, {"kind": "moe", "gate": {"kind": "top_k", "top_k": 2},
             "experts": {"kind": "mlp", "count": 4, "hidden": 32, "activation": "gelu"}}, {"kind": "linear", "out": 3, "name": "scores"}]})";

/// Of the digits that ship with moec.
constexpr const char* kLearns =
    R"({"name": "learns", "inputs": {"image": {"shape": ["batch", 3, 32, 32]}, "label": {"shape": ["batch"], "dtype": "i64", "for": "loss"}},
  "model": [{"kind": "patch_embedding", "patch": 16, "dim": 8}, {"kind": "pool", "mode": "mean"}, {"kind": "linear", "out": 10, "name": "scores"}],
  "loss": {"kind": "cross_entropy", "scores": "scores", "labels": "label"}})";

class Schema : public CommandTest {
protected:
  std::string model, input;
  std::vector<std::string> seen; // commands whose results were checked

  void SetUp() override {
    CommandTest::SetUp();
    model = file("model.json", kModel);
    input = "x=" + file("x.json", "[[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]]");
  }

  JsonSchema schema(const std::string& command) const {
    Outcome printed = moec({"schema", command});
    EXPECT_EQ(printed.code, 0) << printed.err;
    EXPECT_EQ(printed.out, slurp(fs::path(MOEC_SOURCE) / "docs/schemas" / (command + ".json")));
    return JsonSchema(json::parse(printed.out));
  }

  /// `isLines`: an object a line.
  void expectFits(std::vector<std::string> arguments, bool isLines = false) {
    std::string command = arguments[0] == "cache" ? "cache-" + arguments[1] : arguments[0];
    arguments.push_back("--json");
    Outcome outcome = moec(arguments);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    seen.push_back(command);
    JsonSchema expected = schema(command);
    std::istringstream lines(outcome.out);
    for (std::string line; isLines && std::getline(lines, line);)
      EXPECT_THAT(expected.problems(json::parse(line)), IsEmpty()) << command;
    if (!isLines)
      EXPECT_THAT(expected.problems(json::parse(outcome.out)), IsEmpty()) << command;
  }
};

TEST_F(Schema, EveryCommandsResultsFit) {
  expectFits({"compile", model, "-o", path("model.moec")});
  expectFits({"compile", model, "-o", path("model.moec")}); // from the cache
  expectFits({"run", model, "--init", "0", "--input", input});
  expectFits({"check", model});
  expectFits({"bench", model, "--tokens", "8", "--repetitions", "1", "--min-time", "0.001"});
  expectFits({"tune", model, "--budget", "1s"});
  expectFits({"train", file("learns.json", kLearns), "--steps", "1", "--out", path("training")});
  std::string speaker = file("speaker.json", R"({"name": "speaker", "inputs": {"tokens": {"shape": ["batch", "sequence"], "dtype": "i64"}},
    "model": [{"kind": "embedding", "vocabulary": 256, "dim": 8}, {"kind": "attention", "heads": 2, "causal": true}, {"kind": "linear", "out": 256}]})");
  expectFits({"generate", speaker, "--init", "0", "--tokenizer", "bytes", "--context", "8", "--tokens", "3"});
  expectFits({"inspect", path("model.moec")});
  expectFits({"explain", path("model.moec")}, true);
  expectFits({"devices"});
  expectFits({"doctor"});
  expectFits({"cache", "list"});
  expectFits({"cache", "explain", model});
  expectFits({"cache", "explain", model, "-g"});
  expectFits({"cache", "clear"});
  auto root = moec::cli::makeCommandTree();
  for (const CLI::App* command : moec::cli::commandsOf(*root))
    for (const auto& option : moec::cli::optionsOf(*command))
      if (option.heading() == "--json") {
        EXPECT_THAT(seen, testing::Contains(command->get_name())) << "a command with --json needs a schema and a line in this test";
      }
}

TEST_F(Schema, ResultsOfCudaKernelsFit) {
  if (std::string missing = moec::missingCudaCompiler(); !missing.empty())
    GTEST_SKIP() << "[SKIP] " << missing;
  expectFits({"compile", model, "--target", "cuda:sm_80", "-o", path("model.moec")});
  expectFits({"inspect", path("model.moec")});
}

TEST_F(Schema, ValuesThatJsonLacksFit) {
  std::string relu = file("relu.json", R"({"name": "r", "inputs": {"x": {"shape": ["batch", 2]}}, "model": [{"kind": "activation", "function": "relu"}]})");
  expectFits({"run", relu, "--input", "x=" + file("inf.json", R"([["NaN", "Infinity"]])")});
}

TEST_F(Schema, UnknownOnesAreNamed) {
  expectFailure({"schema", "runn"}, 2,
                "no schema for \"runn\"; did you mean \"run\"?; there is one for: bench, cache-clear, cache-explain, cache-list, check, compile");
}

/// The validator itself refuses.
TEST_F(Schema, WhatDoesNotFitIsFound) {
  JsonSchema run = schema("run");
  auto good = json::parse(R"({"target": "cpu", "outputs": {"y": {"dtype": "f32", "shape": [1], "values": [1.5]}}})");
  EXPECT_THAT(run.problems(good), IsEmpty());
  auto bad = [&](const char* pointer, json value) {
    json changed = good;
    changed[json::json_pointer(pointer)] = std::move(value);
    return run.problems(changed);
  };
  EXPECT_THAT(bad("/target", 3), ElementsAre(HasSubstr("/target: expected [\"string\"], found 3")));
  EXPECT_THAT(bad("/more", 3), ElementsAre(HasSubstr("/more: not in the schema")));
  EXPECT_THAT(bad("/outputs/y/dtype", "f31"), ElementsAre(HasSubstr("/outputs/y/dtype: expected one of")));
  EXPECT_THAT(bad("/outputs/y/shape/0", -1), ElementsAre(HasSubstr("expected at least 0")));
  EXPECT_THAT(bad("/outputs/y/values/0", "much"), ElementsAre(HasSubstr("fits nothing")));
  good["outputs"]["y"].erase("values");
  EXPECT_THAT(run.problems(good), ElementsAre("/outputs/y: lacks \"values\""));
}

} // namespace
