#include "runtime/train/Config.h"

#include "runtime/core/Error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <iterator>

namespace moec::train {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string problem(const std::string& text) {
  Config config;
  try {
    parseConfig(text, "train.json", config);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Data) << error.what();
    return error.what();
  }
  return "";
}

std::string flagProblem(const std::string& key, const std::string& text) {
  Config config;
  try {
    setConfig(config, key, text);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Usage) << error.what();
    return error.what();
  }
  return "";
}

std::string checkProblem(const Config& config) {
  try {
    checkConfig(config);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Usage);
    return error.what();
  }
  return "";
}

} // namespace

TEST(Config, WhatIsWrittenIsReadBack) {
  Config config;
  config.data.path = "/data/text \"of\" many";
  config.data.kind = "text";
  config.data.validation = 0.25;
  config.data.inputs = {{"tokens", "words"}};
  config.badRecords = data::BadRecords::Skip;
  config.batch = 7;
  config.dropLast = true;
  config.accumulate = 3;
  config.epochs = 4;
  config.schedule = {.kind = Schedule::Kind::Cosine, .peak = 0.1 + 0.2, .warmup = 5, .last = 1.0 / 3};
  config.seed = 18446744073709551615u;
  config.ema = 0.999;
  config.tensorboard = true;
  config.let = {{"dim", 64}, {"layers", 2}};
  config.moefy = "experts=4";
  config.device = "cuda:0";
  std::string text = toJson(config);
  Config read;
  parseConfig(text, "train.json", read);
  EXPECT_EQ(toJson(read), text);
  EXPECT_EQ(read.schedule.peak, config.schedule.peak);
  EXPECT_EQ(read.seed, config.seed);
  EXPECT_EQ(read.data.inputs, config.data.inputs);
  EXPECT_EQ(read.let, config.let);
  EXPECT_NE(toJson(Config()), text);
}

TEST(Config, WhatIsNotNamedStays) {
  Config config;
  config.batch = 9;
  config.seed = 4;
  parseConfig(R"({"seed": 5})", "train.json", config);
  EXPECT_EQ(config.batch, 9);
  EXPECT_EQ(config.seed, 5u);
}

TEST(Config, EveryKeyIsWrittenAndHasItsStandardValue) {
  auto json = nlohmann::ordered_json::parse(toJson(Config()));
  ASSERT_EQ(json.size(), configKeys().size());
  for (const ConfigKey& key : configKeys()) {
    ASSERT_TRUE(json.contains(key.name)) << key.name;
    EXPECT_EQ(json[key.name].dump(), key.standard);
    EXPECT_FALSE(key.doc.empty()) << key.name;
    EXPECT_EQ(key.type == "word", !key.words.empty()) << key.name;
  }
}

TEST(Config, ErrorsSayWhereAndWhatIsExpected) {
  EXPECT_THAT(problem("{\n  \"seed\": 1,\n  \"bacth\": 3\n}"), StartsWith("train.json:3:3: unknown key \"bacth\"; did you mean \"batch\"?"));
  EXPECT_EQ(problem("{\"batch\": 0}"), "train.json:1:11: \"batch\" is 0, expected an integer that is at least 1");
  EXPECT_EQ(problem("{\n\"batch\" :\n   2.5}"), "train.json:3:4: \"batch\" is 2.5, expected an integer that is at least 1");
  EXPECT_THAT(problem(R"({"batch": "many"})"), HasSubstr("1:11: \"batch\" is \"many\""));
  EXPECT_THAT(problem(R"({"steps": 9223372036854775808})"), HasSubstr("1:11: \"steps\" is 9223372036854775808, expected an integer that is at least 0"));
  EXPECT_THAT(problem(R"({"seed": -1})"), HasSubstr("expected an integer that is at least 0"));
  EXPECT_THAT(problem(R"({"learning_rate": 0})"), HasSubstr("expected a number that is above 0"));
  EXPECT_THAT(problem(R"({"learning_rate": 1e999})"), HasSubstr("train.json:1:"));
  EXPECT_THAT(problem(R"({"final_rate": 1.5})"), HasSubstr("at least 0, at most 1"));
  EXPECT_THAT(problem(R"({"ema": 1})"), HasSubstr("expected a number that is at least 0, below 1, or null"));
  EXPECT_EQ(problem(R"({"ema": null, "validation": null})"), "");
  EXPECT_THAT(problem(R"({"batch": null})"), HasSubstr("\"batch\" is null"));
  EXPECT_THAT(problem(R"({"schedule": "cosin"})"),
              HasSubstr("expected one of \"constant\", \"linear\", \"cosine\", \"inverse_square_root\"; did you mean \"cosine\"?"));
  EXPECT_THAT(problem(R"({"let": {"dim": 1.5}})"), HasSubstr("1:9: \"let\" is {\"dim\":1.5}, expected an object whose values are integers"));
  EXPECT_THAT(problem(R"({"tensorboard": 1})"), HasSubstr("expected true or false"));
}

TEST(Config, WhatIsNoJsonIsAnErrorWhereItStands) {
  EXPECT_THAT(problem("{\"batch\": 3,}"), StartsWith("train.json:1:13: this is not JSON"));
  EXPECT_THAT(problem("{\n\"batch\": tru\n}"), StartsWith("train.json:2:"));
  EXPECT_THAT(problem(""), StartsWith("train.json:1:1: this is not JSON"));
  EXPECT_THAT(problem("\n [1]"), StartsWith("train.json:2:2: expected an object"));
  EXPECT_THAT(problem("{\"seed\": 1,\n \"seed\": 2}"), "train.json:2:2: the key \"seed\" is written twice");
  EXPECT_THAT(problem("{\"inputs\": {\"a\": \"b\",\n \"a\": \"c\"}}"), "train.json:2:2: the key \"a\" is written twice");
  EXPECT_THAT(problem("{\"ä\\\"ö\": 1}"), StartsWith("train.json:1:2: unknown key")) << "an escaped quote does not end the key";
  EXPECT_THAT(problem("{\"inputs\": {\"ä\": \"ö\"}, \"batch\": 0}"), StartsWith("train.json:1:33:")) << "columns count characters";
  EXPECT_THAT(problem("{\"let\": " + std::string(100, '[') + std::string(100, ']') + "}"), HasSubstr("levels deep"));
}

TEST(Config, NothingIsTakenOverFromAFileWithAnError) {
  Config config;
  EXPECT_THROW(parseConfig(R"({"seed": 8, "batch": 0})", "train.json", config), Error);
  EXPECT_EQ(config.seed, 0u);
}

TEST(Config, FlagsAreHeldToTheSameTable) {
  Config config;
  setConfig(config, "evaluate_every", "12");
  setConfig(config, "learning_rate", "3e-4");
  setConfig(config, "schedule", "linear");
  setConfig(config, "bad_records", "skip");
  setConfig(config, "seed", "18446744073709551615");
  setConfig(config, "data", "a b.txt");
  setConfig(config, "recompute", "true");
  EXPECT_EQ(config.evaluateEvery, 12);
  EXPECT_EQ(config.schedule.peak, 3e-4);
  EXPECT_EQ(config.schedule.kind, Schedule::Kind::Linear);
  EXPECT_EQ(config.badRecords, data::BadRecords::Skip);
  EXPECT_EQ(config.seed, 18446744073709551615u);
  EXPECT_EQ(config.data.path, "a b.txt");
  EXPECT_TRUE(config.recompute);
  EXPECT_EQ(flagProblem("evaluate_every", "-1"), "--evaluate-every -1: expected an integer that is at least 0");
  EXPECT_EQ(flagProblem("batch", "12x"), "--batch 12x: expected an integer that is at least 1");
  EXPECT_THAT(flagProblem("learning_rate", "nan"), HasSubstr("expected a number that is above 0"));
  EXPECT_THAT(flagProblem("schedule", "lineal"), HasSubstr("did you mean \"linear\"?"));
  EXPECT_THAT(flagProblem("recompute", "yes"), HasSubstr("expected true or false"));
}

TEST(Config, WhatDoesNotGoTogetherIsRefused) {
  EXPECT_EQ(checkProblem({}), "");
  EXPECT_THAT(checkProblem({.steps = 5, .epochs = 2}), HasSubstr("after 5 steps or after 2 epochs"));
  EXPECT_THAT(checkProblem({.batch = 0}), HasSubstr("\"batch\" of a training is 0, expected an integer that is at least 1"));
  Config config;
  config.patience = 3;
  config.data.validation = 0;
  EXPECT_THAT(checkProblem(config), HasSubstr("no data are held out"));
}

// Every key stands in the documentation as the table has it.
TEST(Config, TheDocumentationHoldsTheTable) {
  std::ifstream file(MOEC_SOURCE_DIR "/docs/TRAINING.md");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  for (const ConfigKey& key : configKeys()) {
    std::string type = key.type;
    for (const std::string& word : key.words)
      type += (&word == key.words.data() ? " `" : ", `") + nlohmann::json(word).dump() + "`";
    std::string row = "| `" + key.name + "` | " + type + " | " + (key.range.empty() ? "" : key.range + " ") + "| `" + key.standard + "` | " + key.doc + " |";
    EXPECT_THAT(text, HasSubstr(row));
  }
}

} // namespace moec::train
