// The flags --evaluate and --context, which ask for plans beside that for inference: what they compile, show, check and refuse.

#include "tests/cli/JsonSchema.h"
#include "tests/cli/Process.h"

#include <set>

using namespace moec::test;
using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

namespace {

/// A gate that drops more in training than when it infers.
constexpr const char* kModel = R"({
  "name": "speaker",
  "inputs": {"tokens": {"shape": ["batch", "sequence"], "dtype": "i64"}, "targets": {"shape": ["batch", "sequence"], "dtype": "i64", "for": "loss"}},
  "model": [
    {"kind": "embedding", "vocabulary": 40, "dim": 16},
    {"kind": "position_embedding", "length": 12},
    {"kind": "residual", "body": [{"kind": "layer_norm"}, {"kind": "attention", "heads": 2, "causal": true}]},
    {"kind": "residual", "body": [{"kind": "layer_norm"}, {"kind": "moe", "gate": {"kind": "top_k", "top_k": 2}, "experts": {"kind": "mlp", "count": 4, "hidden": 8, "activation": "gelu"}}]},
    {"kind": "linear", "out": 40, "name": "scores"}
  ],
  "loss": {"kind": "cross_entropy", "scores": "scores", "labels": "targets"},
  "check": {"batch": 2, "sequence": 5}
})";

class PlansOfModels : public CommandTest {
protected:
  void SetUp() override {
    CommandTest::SetUp();
    shareCompiledKernels();
    file("speaker.json", kModel);
    file("lossless.json", R"({"name": "lossless", "inputs": {"x": {"shape": ["batch", 4]}}, "model": [{"kind": "linear", "out": 2, "name": "y"}]})");
  }

  json printed(const std::vector<std::string>& arguments) const {
    Outcome outcome = moec(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out, nullptr, false);
  }
  static void expectFits(const json& found, const std::string& command) {
    EXPECT_THAT(JsonSchema(json::parse(slurp(fs::path(MOEC_SOURCE) / "docs/schemas" / (command + ".json")))).problems(found), IsEmpty());
  }
  static std::set<std::string> namesIn(const json& list) {
    std::set<std::string> names;
    for (const json& one : list)
      names.insert(one["name"]);
    return names;
  }
};

TEST_F(PlansOfModels, EvaluateIsThePlanWithTheLoss) {
  json compiled = printed({"compile", "speaker.json", "--evaluate", "--statistics", "--target", "cpu:x86-64-v3", "-o", "speaker.moec", "--json"});
  expectFits(compiled, "compile");
  ASSERT_EQ(compiled["targets"].size(), 2u);
  EXPECT_FALSE(compiled["targets"][0].contains("purpose"));
  EXPECT_EQ(compiled["targets"][1]["purpose"], "evaluation");
  // The program's plan and the model's are one.
  json ofProgram = printed({"inspect", "speaker.moec", "--evaluate", "--json", "--size", "batch=2", "--size", "sequence=5"});
  expectFits(ofProgram, "inspect");
  EXPECT_EQ(ofProgram["purpose"], "evaluation");
  EXPECT_EQ(namesIn(ofProgram["inputs"]), (std::set<std::string>{"tokens", "targets"}));
  std::set<std::string> outputs = namesIn(ofProgram["outputs"]);
  for (const char* name : {"loss", "accuracy", "labels", "moe.gate.load"})
    EXPECT_TRUE(outputs.contains(name)) << name;
  json ofModel =
      printed({"inspect", "speaker.json", "--evaluate", "--statistics", "--target", "cpu:x86-64-v3", "--json", "--size", "batch=2", "--size", "sequence=5"});
  EXPECT_EQ(ofModel["outputs"], ofProgram["outputs"]);
  EXPECT_EQ(ofModel["flops"], ofProgram["flops"]);
  EXPECT_FALSE(namesIn(printed({"inspect", "speaker.moec", "--json"})["outputs"]).contains("loss"));
  // Every launch and result of it agrees with the reference.
  json checked = printed({"check", "speaker.json", "--evaluate", "--json"});
  expectFits(checked, "check");
  EXPECT_TRUE(checked["passed"]);
  EXPECT_TRUE(namesIn(checked["outputs"]).contains("accuracy"));
  EXPECT_THAT(moec({"explain", "speaker.moec", "--evaluate"}).out, HasSubstr("speaker for cpu:x86-64-v3, evaluation: "));
  EXPECT_THAT(moec({"compile", "speaker.json", "--evaluate", "--stop-after", "import"}).out, HasSubstr("@evaluate"));
  EXPECT_THAT(moec({"compile", "speaker.json", "--stop-after", "import"}).out, Not(HasSubstr("@evaluate")));
}

TEST_F(PlansOfModels, ContextIsThePlanThatKeepsKeysAndValues) {
  json compiled = printed({"compile", "speaker.json", "--context", "12", "--batch", "3", "--target", "cpu:x86-64-v3", "-o", "speaker.moec", "--json"});
  expectFits(compiled, "compile");
  ASSERT_EQ(compiled["targets"].size(), 2u);
  EXPECT_EQ(compiled["targets"][1]["purpose"], "generation");
  json ofProgram = printed({"inspect", "speaker.moec", "--generate", "--json"});
  expectFits(ofProgram, "inspect");
  EXPECT_EQ(ofProgram["purpose"], "generation");
  ASSERT_EQ(ofProgram["states"].size(), 2u) << "keys and values";
  for (const json& state : ofProgram["states"])
    EXPECT_EQ(state["shape"], json({3, 12, 16})) << state;
  json ofModel = printed({"inspect", "speaker.json", "--context", "12", "--batch", "3", "--target", "cpu:x86-64-v3", "--json"});
  EXPECT_EQ(ofModel["states"], ofProgram["states"]);
  EXPECT_EQ(printed({"inspect", "speaker.json", "--context", "12", "--json"})["states"][0]["shape"], json({1, 12, 16})) << "one text, when nobody says";
  json checked = printed({"check", "speaker.json", "--context", "7", "--json"});
  expectFits(checked, "check");
  EXPECT_TRUE(checked["passed"]);
  EXPECT_THAT(moec({"explain", "speaker.moec", "--generate"}).out, HasSubstr("cached_attention"));
}

TEST_F(PlansOfModels, WhatCannotBeIsRefused) {
  for (const char* command : {"compile", "inspect", "explain", "check"}) {
    SCOPED_TRACE(command);
    expectFailure({command, "lossless.json", "--evaluate"}, 1, "loss");
    expectFailure({command, "speaker.json", "--context", "13"}, 1, "a context of 13 tokens is asked for, and there are only 12 positions");
    expectFailure({command, "lossless.json", "--context", "4"}, 1, "lossless.json");
    for (const char* none : {"0", "-3", "many"})
      expectFailure({command, "speaker.json", "--context", none}, 2, "--context");
    expectFailure({command, "speaker.json", "--batch", "2"}, 2, "--batch requires --context");
    expectFailure({command, "speaker.json", "--context", "16777217"}, 2, "expected numbers from 1 to 16777216");
  }
  for (const char* command : {"inspect", "explain", "check"}) {
    SCOPED_TRACE(command);
    expectFailure({command, "speaker.json", "--evaluate", "--context", "8"}, 2,
                  "--evaluate and --context name two plans, and one is wanted: leave one of them out");
    expectFailure({command, "speaker.json", "--generate"}, 2, "has no plan for generation: compile it with --context");
  }
  ASSERT_EQ(moec({"compile", "speaker.json", "-o", "speaker.moec"}).code, 0);
  expectFailure({"inspect", "speaker.moec", "--context", "8"}, 2, "speaker.moec: --context changes how a model is compiled, but this file is compiled already");
  expectFailure({"inspect", "speaker.moec", "--evaluate"}, 2, "has no plan for evaluation: compile it with --evaluate");
}

} // namespace
