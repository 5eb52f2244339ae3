// Models through the command, with libmoec_compiler: what the user sees of it. Results themselves are judged by the
// goldens.

#include "tests/cli/Process.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

using namespace moec::test;
using testing::HasSubstr;

namespace {

const std::string kZoo = MOEC_SOURCE "/models/zoo/";
const std::string kPhoto = MOEC_SOURCE "/examples/photo.png";

class Model : public CommandTest {};

TEST_F(Model, ParametersAreCounted) {
  shareCompiledKernelsAlone();
  for (auto [name, parameters] : {std::pair("vit", 41546), std::pair("vit-moe", 54482)}) {
    Outcome outcome = moec({"inspect", kZoo + name + ".json", "--json"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(nlohmann::json::parse(outcome.out)["parameters"], parameters) << name;
  }
}

TEST_F(Model, ThePhotoGetsTenScores) {
  shareCompiledKernelsAlone();
  Outcome outcome = moec({"run", kZoo + "vit-moe.json", "--init", "0", "--input", "image=" + kPhoto, "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  auto outputs = nlohmann::json::parse(outcome.out)["outputs"];
  EXPECT_EQ(outputs["scores"]["shape"], nlohmann::json({1, 10}));
  // The second run is from the cache, and the same.
  EXPECT_EQ(moec({"run", kZoo + "vit-moe.json", "--init", "0", "--input", "image=" + kPhoto, "--json"}).out, outcome.out);
}

TEST_F(Model, MoreThanATargetHasIsTheModelsFault) {
  std::string model = file("many.json", R"({"name": "many", "inputs": {"x": {"shape": ["batch", 8]}},
  "model": {"kind": "moe", "gate": {"kind": "top_k", "top_k": 2}, "experts": {"kind": "mlp", "count": 3000, "hidden": 4}}})");
  expectFailure({"compile", model, "--target", "cuda:sm_90a", "-o", "many.moec"}, 1, "many.json:2:");
  Outcome outcome = moec({"compile", model, "--target", "cuda:sm_90a", "-o", "many.moec"});
  EXPECT_THAT(outcome.err, testing::ContainsRegex(
                               "in 'moe.gate': cuda:sm_90a cannot run this: it assigns to 3000 experts: .* at most 2457; fewer experts do, or a CPU target"));
  EXPECT_EQ(moec({"compile", model, "--target", "cpu:x86-64-v3", "-o", "many.moec"}).code, 0);
}

TEST_F(Model, ARuleOfMoefyNeedsAnMlp) {
  std::string model = file("plain.json", R"({"name": "plain", "inputs": {"x": {"shape": ["batch", 8]}}, "model": {"kind": "linear", "out": 4}})");
  expectFailure({"compile", model, "--moefy", "experts=4,top_k=2"}, 2,
                "--moefy experts=4,top_k=2: \"moefy\" puts experts in the place of mlp blocks, and this model has none");
}

TEST_F(Model, CompileWritesAProgramThatRuns) {
  shareCompiledKernelsAlone();
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

TEST_F(Model, ARoutingIsRecordedAndReplayed) {
  std::string model = file("moe.json", R"({"name": "m", "inputs": {"x": {"shape": ["batch", 4]}}, "model": [{"kind": "moe", "gate": {"kind": "top_k"},
    "experts": {"kind": "linear", "count": 5}}]})");
  std::string x = file("x.json", "[[1, 2, 3, 4], [-1, 0.5, 2, 0], [0.25, -3, 1, 1]]"), record = path("record.safetensors");
  auto run = [&](const std::string& seed, std::vector<std::string> more) {
    std::vector<std::string> arguments{"run", model, "--init", seed, "--input", "x=" + x, "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Outcome outcome = moec(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.out;
  };
  std::string plain = run("0", {});
  EXPECT_EQ(run("0", {"--record", record}), plain); // the record is no output
  EXPECT_EQ(run("0", {"--replay", record}), plain);
  // Other weights would choose otherwise.
  std::string others = path("others.safetensors");
  run("1", {"--replay", record, "--record", others});
  EXPECT_NE(run("1", {}), plain);
  EXPECT_EQ(run("0", {"--replay", others}), plain);
  expectFailure({"run", model, "--init", "0", "--input", "x=" + x, "--replay", path("nosuch.safetensors")}, 1, "nosuch.safetensors");
  std::string linear = file("linear.json", R"({"name": "m", "inputs": {"x": {"shape": ["batch", 4]}}, "model": [{"kind": "linear", "out": 2}]})");
  expectFailure({"run", linear, "--init", "0", "--input", "x=" + x, "--replay", record}, 2, "takes no choices from a file");
  expectFailure({"run", linear, "--init", "0", "--input", "x=" + x, "--record", path("none.safetensors")}, 2, "no gate that chooses");
  ASSERT_EQ(moec({"compile", model, "--replay", "-o", path("replay.moec")}).code, 0);
  expectFailure({"run", path("replay.moec"), "--init", "0", "--input", "x=" + x}, 2, "give --replay FILE with moe.gate.choices");
}

TEST_F(Model, LogitsThatAreNoFiniteNumbersEndARunThatWantsIt) {
  std::string model =
      file("wide.json", R"({"name": "m", "inputs": {"x": {"shape": ["batch", 2]}}, "model": [{"kind": "moe", "gate": {"kind": "top_k", "bias": false,
    "init": {"weight": 1e30}}, "experts": {"kind": "linear", "count": 3}}]})");
  std::string fits = file("fits.json", "[[1, 2], [-1, 0.5]]"), large = file("large.json", "[[1, 2], [1e30, 0]]");
  auto run = [&](const std::string& what, const std::string& x, std::vector<std::string> more) {
    std::vector<std::string> arguments{"run", what, "--init", "0", "--input", "x=" + x};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  EXPECT_EQ(moec(run(model, large, {})).code, 0);
  expectFailure(run(model, large, {"--non-finite", "error"}), 1, "3 router logits of gate 'moe.gate' are no finite numbers");
  Outcome strict = moec(run(model, fits, {"--non-finite", "error", "--output", path("y.npy")}));
  EXPECT_EQ(strict.code, 0) << "the count is no output: " << strict.err;
  EXPECT_EQ(moec(run(model, fits, {"--non-finite", "error"})).out, moec(run(model, fits, {})).out);
  ASSERT_EQ(moec({"compile", model, "--non-finite", "error", "--target", "cpu:x86-64-v3", "-o", path("strict.moec")}).code, 0);
  expectFailure(run(path("strict.moec"), large, {}), 1, "3 router logits of gate 'moe.gate'");
  expectFailure(run(path("strict.moec"), large, {"--non-finite", "count"}), 2, "--non-finite is a choice of how a model is compiled");
  expectFailure({"compile", model, "--non-finite", "error", "--context", "8"}, 2, "--non-finite error is not for generation");
}

TEST_F(Model, MistakesCarryTheirPlace) {
  std::string model = file("bad.json", "{\n  \"name\": \"bad\",\n  \"inputs\": {\"x\": {\"shape\": [4]}},\n  "
                                       "\"model\": [{\"kind\": \"linaer\", \"out\": 2}]\n}\n");
  expectFailure({"run", model, "--init", "0"}, 1, "bad.json:4:");
  expectFailure({"run", model, "--init", "0"}, 1, "linear");
  expectFailure({"run", file("cut.json", "{\"name\": "), "--init", "0"}, 1, "cut.json:1:");
}

TEST_F(Model, ARuleOfTheCallIsTheCallersFault) {
  for (const auto& [rule, words] : {std::pair("experts", "--moefy experts: moefy: expected NAME=VALUE"),
                                    {"experts=4,top_k=2,gate=gshardd", "unknown gate \"gshardd\"; did you mean \"gshard\"?"},
                                    {"experts=4,top_k=2,gate=gshard,bogus=1", "has no parameter \"bogus\""}})
    expectFailure({"compile", kZoo + "vit.json", "--moefy", rule}, 2, words);
  expectFailure({"compile", file("bad.json", "{\"name\": \"bad\"}"), "--moefy", "experts=4,top_k=2,gate=gshard"}, 1, "bad.json:1:");
}

TEST_F(Model, TargetsThatWereMeantAreNamed) {
  auto expect = [&](const std::string& target, const std::string& words) {
    expectFailure({"compile", kZoo + "vit.json", "--target", target}, 2, "unknown target \"" + target + "\"" + words);
  };
  expect("cuda", "; a GPU is named with its architecture: cuda:sm_80 (");
  expect("gpu", "; a GPU is named with its architecture: cuda:sm_80 (");
  expect("sm_90a", "; did you mean \"cuda:sm_90a\"?");
  expect("x86-64-v3", "; did you mean \"cpu:x86-64-v3\"?");
  expect("x86-64-v2", "; did you mean \"cpu:x86-64-v2\"?");
  EXPECT_EQ(moec({"compile", file("m.json", R"({"name": "m", "inputs": {"x": {"shape": ["batch", 4]}}, "model": [{"kind": "linear", "out": 2}]})"), "--target",
                  "cpu, cpu:x86-64-v3, cpu:x86-64-v2"})
                .code,
            0);
}

TEST_F(Model, ASizeThatTheModelRefusesComesWithTheFlag) {
  std::string model = file("capacity.json", R"({"name": "capacity", "inputs": {"x": {"shape": ["tokens", 8]}}, "model": [{"kind": "moe",
    "gate": {"kind": "gshard", "capacity": 1.2, "random_routing": false}, "experts": {"kind": "mlp", "count": 64, "hidden": 8}}]})");
  expectFailure({"check", model}, 2, "must be at least 1; the inputs were generated at tokens=2: give others, as --size tokens=4");
  EXPECT_EQ(moec({"check", model, "--size", "tokens=64"}).code, 0);
}

TEST_F(Model, BothCommandsNameTheBuildAlike) {
  shareCompiledKernelsAlone();
  ASSERT_EQ(moec({"compile", kZoo + "vit.json", "-o", path("vit.moec")}).code, 0);
  std::string version = moec({"--version"}).out, inspected = moec({"inspect", path("vit.moec")}).out;
  size_t open = version.find('(');
  ASSERT_NE(open, std::string::npos) << version;
  EXPECT_THAT(inspected, HasSubstr("compiled by moec " + version.substr(open + 1, version.find(')') - open - 1) + "\n"));
}

TEST_F(Model, APictureOfAnotherSizeNeedsARule) {
  shareCompiledKernelsAlone();
  std::string text = slurp(kZoo + "vit.json");
  size_t rule = text.find("\"stretch\"");
  ASSERT_NE(rule, std::string::npos);
  text.replace(rule, 9, "\"none\"");
  expectFailure({"run", file("strict.json", text), "--init", "0", "--input", "image=" + kPhoto}, 1, "takes 32 by 32");
}

TEST_F(Model, ExplainNamesTheLaunchesOfEachMoELayer) {
  shareCompiledKernelsAlone();
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

std::string changed(std::string text, const std::string& what, const std::string& with) {
  size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return at == std::string::npos ? text : text.replace(at, what.size(), with);
}

TEST_F(Model, AChangedModelTakesTheOtherKernelsFromTheCache) {
  std::string text = slurp(kZoo + "vit.json"), model = file("vit.json", text);
  std::vector<std::string> compile{"compile", model, "--target", "cpu:x86-64-v3", "--json"};
  auto kernels = [&](std::vector<std::string> more = {}) {
    more.insert(more.begin(), compile.begin(), compile.end());
    Outcome outcome = moec(more);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out)["kernels"];
  };
  auto first = kernels();
  EXPECT_EQ(first["from_cache"], 0);
  file("vit.json", changed(text, "\"out\": 10", "\"out\": 12"));
  auto second = kernels();
  EXPECT_LE(second["compiled"], 2);
  EXPECT_EQ(second["compiled"].get<int>() + second["from_cache"].get<int>(), first["compiled"]);
  // Times of phases are of work; and without the caches there is nothing to take.
  EXPECT_EQ(kernels({"--time-phases"})["compiled"], first["compiled"]);
  EXPECT_EQ(kernels({"--no-cache"})["compiled"], first["compiled"]);
  // A dump looks at the phases, which take what the cache has.
  EXPECT_EQ(kernels({"--dump-phases", path("dumps")})["compiled"], 0);
  compile.pop_back();
  EXPECT_THAT(moec({"compile", model, "--target", "cpu:x86-64-v3", "--dump-phases", path("dumps")}).out, HasSubstr("\n0 kernels compiled, "));
  expectFailure({"compile", model, "--dump-phases", model + "/dumps"}, 5, model + "/dumps: cannot make the folder: Not a directory");
}

TEST_F(Model, TwoProcessesShareTheCache) {
  std::string model = kZoo + "batched-experts.json";
  std::vector<Running> running;
  for (const char* name : {"a.moec", "b.moec", "c.moec"})
    running.push_back(start({"compile", model, "--target", "cpu:x86-64-v3", "-o", path(name)}));
  for (const Running& one : running)
    EXPECT_EQ(finish(one).code, 0);
  EXPECT_EQ(slurp(path("a.moec")), slurp(path("b.moec")));
  EXPECT_EQ(slurp(path("a.moec")), slurp(path("c.moec")));
  Outcome after = moec({"compile", model, "--target", "cpu:x86-64-v3", "--dump-phases", path("dumps"), "-o", path("d.moec"), "--json"});
  auto kernels = nlohmann::json::parse(after.out)["kernels"];
  EXPECT_EQ(kernels["compiled"], 0);
  EXPECT_EQ(kernels["bad_cache_entries"], 0);
  EXPECT_EQ(slurp(path("a.moec")), slurp(path("d.moec")));
}

TEST_F(Model, ACacheThatCannotBeWrittenIsAWarning) {
  file("cache", "a file where the folder should be");
  Outcome outcome = moec({"compile", kZoo + "batched-experts.json", "--target", "cpu:x86-64-v3"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.err, testing::StartsWith("moec: warning: what was compiled is not cached: "));
  EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  EXPECT_TRUE(fs::exists(path("batched-experts.moec")));
  EXPECT_EQ(moec({"compile", kZoo + "batched-experts.json", "--target", "cpu:x86-64-v3", "--no-cache"}).err, "");
}

TEST_F(Model, CudaKernelsAreShownWithWhatTheyTake) {
  shareCompiledKernelsAlone();
  std::vector<std::string> compile{"compile", kZoo + "vit-moe.json", "--target", "cuda:sm_90a,cpu:x86-64-v3", "-o", path("m.moec")};
  Outcome first = moec(compile);
  if (first.code == 3 && first.err.find("CUDA targets need NVRTC") != std::string::npos)
    GTEST_SKIP() << "[SKIP] " << first.err;
  ASSERT_EQ(first.code, 0) << first.err;
  Outcome again = moec(compile);
  EXPECT_THAT(again.out, HasSubstr("taken from the cache\n"));
  std::string table = first.out.substr(first.out.find("\nkernels of cuda:sm_90a\n"));
  EXPECT_THAT(again.out, testing::EndsWith(table)) << "the same table";
  EXPECT_THAT(first.out, HasSubstr("phase"));

  compile.push_back("--json");
  auto summary = nlohmann::json::parse(moec(compile).out);
  auto inspected = nlohmann::json::parse(moec({"inspect", path("m.moec"), "--json", "--target", "cuda:sm_90a"}).out);
  nlohmann::json target;
  for (auto& one : summary["targets"]) {
    EXPECT_EQ(one.contains("functions"), one["target"] == "cuda:sm_90a") << one["target"];
    if (one["target"] == "cuda:sm_90a")
      target = one;
  }
  std::map<std::string, nlohmann::json> byFunction;
  for (auto& kernel : inspected["kernels"])
    for (auto& function : kernel["functions"])
      byFunction[function["function"]] = function;
  ASSERT_EQ(target["functions"].size(), byFunction.size());
  bool anySpills = false;
  for (auto& function : target["functions"]) {
    auto& same = byFunction.at(function["function"]);
    for (const char* field : {"threads", "registers", "spill_bytes", "stack_bytes", "shared_bytes", "blocks_per_multiprocessor", "occupancy"})
      EXPECT_EQ(function[field], same[field]) << field;
    EXPECT_GT(function["registers"], 0);
    EXPECT_GE(same["blocks"], 0);
    int warps = (function["threads"].get<int>() + 31) / 32;
    EXPECT_EQ(function["occupancy"], function["blocks_per_multiprocessor"].get<int>() * warps / 64.0);
    anySpills |= function["spill_bytes"] > 0;
  }
  EXPECT_EQ(table.ends_with("\nno spills\n"), !anySpills) << table;

  ASSERT_EQ(moec({"inspect", path("m.moec"), "--extract", path("parts")}).code, 0);
  std::string symbol = target["functions"][0]["kernel"], stem = path("parts/cuda_sm_90a/kernels/" + symbol);
  EXPECT_THAT(slurp(stem + ".cu"), HasSubstr("__global__"));
  EXPECT_THAT(slurp(stem + ".ptx"), HasSubstr(".target sm_90a"));
  EXPECT_THAT(slurp(stem + ".cubin"), testing::StartsWith("\x7f"
                                                          "ELF"));
}

TEST_F(Model, WithoutNvrtcOnlyWholeProgramsComeFromTheCache) {
  std::string text = R"({"name": "m", "inputs": {"x": {"shape": ["batch", 4]}}, "model": [{"kind": "linear", "out": 2, "name": "y"}]})";
  std::string model = file("m.json", text);
  Outcome first = moec({"compile", model, "--target", "cuda:sm_80"});
  if (first.code == 3 && first.err.find("CUDA targets need NVRTC") != std::string::npos)
    GTEST_SKIP() << "[SKIP] " << first.err;
  ASSERT_EQ(first.code, 0) << first.err;
  const char* old = getenv("MOEC_NVRTC_DIR");
  std::string folder = old ? old : "";
  setenv("MOEC_NVRTC_DIR", path("nowhere").c_str(), 1);
  Outcome whole = moec({"compile", model, "--target", "cuda:sm_80"});
  // The same kernels, but whether a model compiles is not a matter of what was compiled before.
  file("m.json", text + "\n");
  Outcome kernels = moec({"compile", model, "--target", "cuda:sm_80"});
  old ? setenv("MOEC_NVRTC_DIR", folder.c_str(), 1) : unsetenv("MOEC_NVRTC_DIR");
  EXPECT_EQ(whole.code, 0) << whole.err;
  EXPECT_EQ(kernels.code, 3);
  EXPECT_THAT(kernels.err, HasSubstr("CUDA targets need NVRTC"));
}

/// One token: where its second choice weighs little, terms of the gate's gradient cancel, and f32 has few digits of it.
TEST_F(Model, AGradientIsHeldToTheDigitsThatItHas) {
  shareCompiledKernelsAlone();
  for (const char* model : {"lucidrains-moe", "custom-experts"}) {
    Outcome outcome = moec({"check", kZoo + model + ".json", "--train", "--size", "batch=1", "--size", "tokens=1"});
    EXPECT_EQ(outcome.code, 0) << model << ": " << outcome.err;
  }
}

// --- every file of the zoo ---

class Zoo : public CommandTest, public testing::WithParamInterface<std::string> {
protected:
  Zoo() { shareCompiledKernels(); }
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
  if (outcome.code != 0 && outcome.err.find("CUDA targets need NVRTC") != std::string::npos)
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
