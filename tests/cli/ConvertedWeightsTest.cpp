// --weights-as through the command: what the user sees of it.
#include "tests/cli/Process.h"

#include <nlohmann/json.hpp>

using namespace moec::test;
using testing::HasSubstr;

namespace {

const std::string kModel = MOEC_SOURCE "/models/zoo/vit-moe.json";

class ConvertedWeightsCommand : public CommandTest {};

TEST_F(ConvertedWeightsCommand, CheckSaysWhatConvertingCosts) {
  shareCompiledKernelsAlone();
  Outcome text = moec({"check", kModel, "--weights-as", "int8"});
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_THAT(text.out, testing::ContainsRegex("weights as int8:32: scores is [0-9.]+e-0[23] from what the model's own weights give"));
  Outcome json = moec({"check", kModel, "--weights-as", "bf16", "--json"});
  ASSERT_EQ(json.code, 0) << json.err;
  auto conversion = nlohmann::json::parse(json.out).at("conversion");
  EXPECT_EQ(conversion["weights_as"], "bf16");
  ASSERT_EQ(conversion["outputs"].size(), 1U);
  EXPECT_EQ(conversion["outputs"][0]["name"], "scores");
  EXPECT_GT(conversion["outputs"][0]["error"], 1e-5);
  EXPECT_LT(conversion["outputs"][0]["error"], 1e-2);
  Outcome plain = moec({"check", kModel, "--json"});
  EXPECT_FALSE(nlohmann::json::parse(plain.out).contains("conversion"));
}

// The cache tells programs apart by it, and both spellings of a group are one program.
TEST_F(ConvertedWeightsCommand, IsPartOfWhatIsCompiled) {
  shareCompiledKernelsAlone();
  auto inspected = [&](const std::vector<std::string>& flags) {
    std::vector<std::string> words{"inspect", kModel, "--json"};
    words.insert(words.end(), flags.begin(), flags.end());
    Outcome outcome = moec(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out);
  };
  auto plain = inspected({}), half = inspected({"--weights-as", "bf16"}), quarter = inspected({"--weights-as", "int8"});
  EXPECT_FALSE(plain.contains("weights_as"));
  EXPECT_EQ(half["weights_as"], "bf16");
  EXPECT_EQ(quarter["weights_as"], "int8:32");
  // With converted weights a layer goes by its parts, whose rows are more bytes than the weights of this model: those alone say nothing of it.
  EXPECT_GT(half["bytes"], quarter["bytes"]);
  EXPECT_GT(plain["memory"]["prepared"], half["memory"]["prepared"]);
  EXPECT_EQ(plain["flops"], quarter["flops"]);
  Outcome again = moec({"compile", kModel, "--weights-as", "int8:32", "--json", "-o", path("again.moec")});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(nlohmann::json::parse(again.out)["program_cache"], "hit");
  expectFailure({"run", path("again.moec"), "--weights-as", "int8", "--init", "0"}, 2,
                "--weights-as changes how a model is compiled, but this file is compiled already");
}

TEST_F(ConvertedWeightsCommand, OtherWordsAreRefused) {
  expectFailure({"run", kModel, "--weights-as", "int8:x", "--init", "0"}, 2, "int8:x: expected bf16, int8 or int8:GROUP with a group from 8 to 4096");
  expectFailure({"compile", kModel, "--weights-as", "int8", "--train"}, 2, "leave it or --train out");
}

} // namespace
