#include "compiler/cli/ProgramCache.h"
#include "moec_build_id.h"
#include "tests/cli/Process.h"
#include "tests/cli/ScaleProgram.h"

#include <set>
#include <span>

using namespace moec;
using namespace moec::cli;
using namespace moec::test;
using testing::HasSubstr;

namespace {

std::string key(const std::string& model, const CompileOptions& options = {}, const std::string& build = "b",
                const std::string& cpu = "c") {
  return ProgramCache::key({reinterpret_cast<const uint8_t*>(model.data()), model.size()}, options, build, cpu);
}

TEST(ProgramCacheKey, EverythingThatChangesTheProgramChangesIt) {
  std::set<std::string> keys{key("m"),
                             key("n"),
                             key("m", {}, "other build"),
                             key("m", {}, "b", "other cpu"),
                             key("m", {.targets = {"cpu"}}),
                             key("m", {.targets = {"cpu", "cpu"}}),
                             key("m", {.drawsAsInputs = true}),
                             key("m", {.checkSizes = true}),
                             key("m", {.moefy = "experts=4"}),
                             key("m", {.let = {{"dim", 1}}}),
                             key("m", {.let = {{"dim", 2}}}),
                             key("m", {.let = {{"dimm", 1}}})};
  EXPECT_EQ(keys.size(), 12u);
  EXPECT_EQ(key("m"), key("m"));
  // Fields do not run into each other.
  EXPECT_NE(key("m", {}, "bc", "c"), key("m", {}, "b", "cc"));
  EXPECT_NE(key("m", {.targets = {"ab", "c"}}), key("m", {.targets = {"a", "bc"}}));
}

TEST(ProgramCacheKey, TheCpuIsTheSameOnEveryCore) {
  std::string first = hostCpu();
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(hostCpu(), first);
}

class Cache : public CommandTest {};

TEST_F(Cache, ADamagedEntryIsAMiss) {
  ProgramCache cache(folder / "programs");
  EXPECT_FALSE(cache.find("k"));
  cache.store("k", scaleProgram());
  ASSERT_TRUE(cache.find("k"));
  EXPECT_EQ(cache.find("k")->bytes(), scaleProgram().bytes());
  std::string whole = slurp(cache.entry("k"));
  for (size_t size = 0; size < whole.size(); size += 97) {
    std::ofstream(cache.entry("k"), std::ios::binary) << whole.substr(0, size);
    EXPECT_FALSE(cache.find("k")) << size;
  }
  for (size_t i = 0; i < whole.size(); i += 101) {
    std::string flipped = whole;
    flipped[i] ^= 1;
    std::ofstream(cache.entry("k"), std::ios::binary) << flipped;
    auto found = cache.find("k"); // a flip in the padding between sections may pass, if what is read is whole
    EXPECT_TRUE(!found || found->bytes() == scaleProgram().bytes()) << i;
  }
}

TEST_F(Cache, ARunFromItNeedsNoCompiler) {
  std::string model = file("model.json", "{\"this\": \"would not compile\"}");
  std::string rows = file("x.json", "[[1, 2, 3]]");
  ProgramCache cache(folder / "cache" / "moec");
  std::string content = slurp(model);
  cache.store(key(content, {}, sourceId(), hostCpu()), scaleProgram());
  Outcome outcome = moec({"run", model, "--init", "0", "--input", "x=" + rows});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "y f32[1, 3]\n[0]  1  2  3\n");
  // Another option, or no cache, means compiling, which this model does not survive.
  EXPECT_NE(moec({"run", model, "--init", "0", "--input", "x=" + rows, "--no-cache"}).code, 0);
  EXPECT_NE(moec({"run", model, "--init", "0", "--input", "x=" + rows, "--moefy", "experts=4"}).code, 0);
}

} // namespace
