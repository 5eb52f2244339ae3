// The caches with the compiler behind them: why a model is compiled again, what is counted, the limit, several processes at once.

#include "tests/cli/CacheOfModels.h"

using namespace moec::test;
using testing::HasSubstr;
using testing::StartsWith;

namespace {

TEST_F(CacheOfModels, EveryMissHasItsReason) {
  EXPECT_THAT(explain(), HasSubstr("there is no entry of this model"));
  compile();
  EXPECT_THAT(explain(), StartsWith("hit: "));
  EXPECT_THAT(explain({"--target", "cpu:x86-64-v3"}), HasSubstr("--target: not given for the entry, cpu:x86-64-v3 now"));
  EXPECT_THAT(explain({"-g"}), HasSubstr("-g: not given for the entry, given now"));
  EXPECT_THAT(explain({"--draws-as-inputs"}), HasSubstr("--draws-as-inputs: not given for the entry, given now"));
  file("small.json", kSmall + "\n");
  EXPECT_THAT(explain(), HasSubstr("the file's bytes changed since the entry was made"));
  EXPECT_THAT(explain(), HasSubstr("the nearest entry is of " + model));
  file("small.json", kSmall);
  std::string entry = entries("programs").at(0).string();
  std::string whole = slurp(entry);
  std::ofstream(entry, std::ios::binary) << whole.substr(0, whole.size() / 2);
  EXPECT_THAT(explain(), HasSubstr("the entry is damaged: " + entry));
  auto json = nlohmann::json::parse(explain({"--json"}));
  EXPECT_EQ(json["result"], "miss");
  EXPECT_EQ(json["entry"], entry);
  EXPECT_EQ(moec({"cache", "clear"}).code, 0);
  EXPECT_THAT(explain(), HasSubstr("there is no entry of this model"));
  expectFailure({"cache", "explain", path("out.moec")}, 2, "is compiled already");
}

TEST_F(CacheOfModels, DamageIsCountedAndReplaced) {
  auto first = counts();
  EXPECT_EQ(first["program_cache"], "miss");
  EXPECT_GT(first["kernels"]["compiled"], 1);
  EXPECT_EQ(counts()["program_cache"], "hit");
  EXPECT_EQ(counts({"--no-cache"})["program_cache"], "unused");
  std::string program = slurp(path("out.moec"));
  for (const char* of : {"programs", "kernels"})
    for (const fs::path& entry : entries(of))
      std::ofstream(entry, std::ios::binary) << "poison";
  Outcome outcome = compile();
  auto again = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(again["program_cache"], "damaged");
  EXPECT_EQ(again["kernels"]["bad_cache_entries"], first["kernels"]["compiled"]);
  EXPECT_EQ(again["kernels"]["compiled"], first["kernels"]["compiled"]);
  EXPECT_THAT(outcome.err, HasSubstr("; compiled again"));
  EXPECT_EQ(slurp(path("out.moec")), program);
  EXPECT_EQ(counts()["program_cache"], "hit");
}

TEST_F(CacheOfModels, TheLimitHolds) {
  compile();
  size_t kernels = entries("kernels").size();
  ASSERT_GT(kernels, 2u);
  EXPECT_EQ(entries("programs").size(), 1u);
  compile({"--target", "cpu:x86-64-v3", "--cache-limit", "40K"}); // all kernels are hits
  uintmax_t bytes = 0;
  for (const char* of : {"programs", "kernels"})
    for (const fs::path& entry : entries(of))
      bytes += fs::file_size(entry);
  EXPECT_LE(bytes, 40u << 10);
  EXPECT_GT(bytes, 0u);
  environment = {{"MOEC_CACHE_LIMIT", "0"}};
  compile({"--target", "cpu:x86-64-v3", "--draws-as-inputs"});
  EXPECT_TRUE(entries("programs").empty());
  EXPECT_TRUE(entries("kernels").empty());
  environment = {{"MOEC_CACHE_LIMIT", "lots"}};
  expectFailure({"compile", model, "--draws-as-inputs"}, 2, "MOEC_CACHE_LIMIT");
}

TEST_F(CacheOfModels, EightProcessesShareOneCache) {
  compileAtOnce(8, false);
  auto list = nlohmann::json::parse(moec({"cache", "list", "--json"}).out);
  EXPECT_EQ(entries("programs").size(), 1u);
  EXPECT_EQ(list["entries"].size(), 1 + entries("kernels").size());
  EXPECT_EQ(counts()["program_cache"], "hit");
}

TEST_F(CacheOfModels, SomeMayClearAndShrinkIt) { compileAtOnce(8, true); }

} // namespace
