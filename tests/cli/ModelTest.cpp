// Models through the command, with libmoec_compiler: what the user sees of it. Results themselves are judged by the
// goldens.

#include "tests/cli/Process.h"

#include <nlohmann/json.hpp>

#include <algorithm>

using namespace moec::test;
using testing::HasSubstr;

namespace {

const std::string kZoo = MOEC_SOURCE "/models/zoo/";
const std::string kPhoto = MOEC_SOURCE "/examples/photo.png";

class Model : public CommandTest {};

TEST_F(Model, ParametersAreCounted) {
  for (auto [name, parameters] : {std::pair("vit", 41546), std::pair("vit-moe", 54482)}) {
    Outcome outcome = moec({"inspect", kZoo + name + ".json", "--json"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(nlohmann::json::parse(outcome.out)["parameters"], parameters) << name;
  }
}

TEST_F(Model, ThePhotoGetsTenScores) {
  Outcome outcome = moec({"run", kZoo + "vit-moe.json", "--init", "0", "--input", "image=" + kPhoto, "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  auto outputs = nlohmann::json::parse(outcome.out)["outputs"];
  EXPECT_EQ(outputs["scores"]["shape"], nlohmann::json({1, 10}));
  // The second run is from the cache, and the same.
  EXPECT_EQ(moec({"run", kZoo + "vit-moe.json", "--init", "0", "--input", "image=" + kPhoto, "--json"}).out,
            outcome.out);
}

TEST_F(Model, CompileWritesAProgramThatRuns) {
  Outcome compiled = moec({"compile", kZoo + "vit.json"});
  ASSERT_EQ(compiled.code, 0) << compiled.err;
  EXPECT_THAT(compiled.out, HasSubstr("vit.moec"));
  ASSERT_TRUE(fs::exists(path("vit.moec")));
  Outcome fromProgram = moec({"run", path("vit.moec"), "--init", "0", "--input", "image=" + kPhoto});
  Outcome fromModel = moec({"run", kZoo + "vit.json", "--init", "0", "--input", "image=" + kPhoto});
  EXPECT_EQ(fromProgram.code, 0) << fromProgram.err;
  EXPECT_EQ(fromProgram.out, fromModel.out);
  Outcome again = moec({"compile", kZoo + "vit.json", "-o", path("again.moec")});
  EXPECT_THAT(again.out, HasSubstr("taken from the cache"));
  EXPECT_EQ(slurp(path("again.moec")), slurp(path("vit.moec")));
}

TEST_F(Model, MistakesCarryTheirPlace) {
  std::string model = file("bad.json", "{\n  \"name\": \"bad\",\n  \"inputs\": {\"x\": {\"shape\": [4]}},\n  "
                                       "\"model\": [{\"kind\": \"linaer\", \"out\": 2}]\n}\n");
  expectFailure({"run", model, "--init", "0"}, 1, "bad.json:4:");
  expectFailure({"run", model, "--init", "0"}, 1, "linear");
  expectFailure({"run", file("cut.json", "{\"name\": "), "--init", "0"}, 1, "cut.json:1:");
}

TEST_F(Model, APictureOfAnotherSizeNeedsARule) {
  std::string text = slurp(kZoo + "vit.json");
  size_t rule = text.find("\"stretch\"");
  ASSERT_NE(rule, std::string::npos);
  text.replace(rule, 9, "\"none\"");
  expectFailure({"run", file("strict.json", text), "--init", "0", "--input", "image=" + kPhoto}, 1, "takes 32 by 32");
}

TEST_F(Model, ExplainNamesTheLaunchesOfEachMoELayer) {
  Outcome outcome = moec({"explain", kZoo + "vit-moe.json", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("\"layers.0"));
  EXPECT_THAT(outcome.out, HasSubstr("\"layers.1"));
}

TEST_F(Model, PhasesCanBeSeen) {
  Outcome outcome = moec({"compile", kZoo + "vit-moe.json", "--stop-after", "fuse"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("moe.kernel"));
  EXPECT_FALSE(fs::exists(path("vit-moe.moec")));
}

// --- every file of the zoo ---

class Zoo : public CommandTest, public testing::WithParamInterface<std::string> {
protected:
  Outcome check(const std::vector<std::string>& options) {
    std::vector<std::string> arguments{"check", kZoo + GetParam() + ".json"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return moec(arguments);
  }
};

std::vector<std::string> zooModels() {
  std::vector<std::string> names;
  for (auto& entry : fs::directory_iterator(kZoo))
    if (entry.path().extension() == ".json")
      names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST_P(Zoo, TheCpuAgreesWithTheReference) {
  Outcome outcome = check({"--target", "cpu", "--device", "cpu", "--against", "reference"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("worst error"));
}

TEST_P(Zoo, CudaKernelsOnTheEmulatorAgreeWithTheCpu) {
  Outcome outcome = check({"--device", "ptx-emulator:sm_90a", "--against", "cpu"});
  if (outcome.code != 0 && outcome.err.find("no libnvrtc was found") != std::string::npos)
    GTEST_SKIP() << "[SKIP] " << outcome.err;
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("worst error"));
}

INSTANTIATE_TEST_SUITE_P(All, Zoo, testing::ValuesIn(zooModels()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

} // namespace
