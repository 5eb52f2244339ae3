// Owner of what follows from a CPU's and a system's answers: which features count, and what is said where tiles are withheld.

#include "runtime/core/CpuFeatures.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cerrno>

namespace moec {
namespace {

using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr uint64_t kVectors = 0xE6, kTiles = 0x60000;

/// A CPU that has all there is, with a system that saves these registers.
CpuAnswers everything(uint64_t saved) { return {~0u, ~0u, ~0u, ~0u, saved, ""}; }

/// A system that answers the question for what it supports, and nothing else.
ArchControl supporting(uint64_t mask) {
  return [mask](int code, uintptr_t argument) {
    if (code != 0x1021)
      return EINVAL;
    *reinterpret_cast<uint64_t*>(argument) = mask;
    return 0;
  };
}

TEST(CpuFeatures, AreThoseWhoseRegistersAProcessGets) {
  std::vector<std::string> all = featuresOf(everything(kVectors | kTiles));
  EXPECT_EQ(all.size(), 21);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  EXPECT_THAT(featuresOf(everything(kVectors)), Each(Not(StartsWith("amx"))));
  EXPECT_THAT(featuresOf(everything(0x6)), Each(Not(StartsWith("avx512"))));
  EXPECT_THAT(featuresOf(everything(0x6)), Contains("fma"));
  EXPECT_THAT(featuresOf(everything(0)), Not(Contains("avx2")));
  EXPECT_THAT(featuresOf(everything(0)), Contains("sse4.2"));
  EXPECT_TRUE(featuresOf({}).empty());
}

TEST(CpuFeatures, TilesThatTheSystemRefusesAreNone) {
  CpuAnswers answers = everything(kVectors | kTiles);
  EXPECT_EQ(withheldTiles(answers), "");
  answers.tilesRefusal = "no";
  EXPECT_THAT(featuresOf(answers), Each(Not(StartsWith("amx"))));
  EXPECT_THAT(featuresOf(answers), Contains("avx512f"));
  EXPECT_EQ(withheldTiles(answers), "no");
  EXPECT_EQ(withheldTiles(everything(kVectors)), "the system does not save them");
  answers.extendedD = 0; // the CPU has none
  EXPECT_EQ(withheldTiles(answers), "");
}

TEST(CpuFeatures, TheSystemSaysWhetherItGivesTiles) {
  EXPECT_EQ(tilesRefusalOf(supporting(1u << 18 | 0x2E7)), "");
  EXPECT_EQ(tilesRefusalOf(supporting(0x2E7)), "the system gives them to no process");
  EXPECT_THAT(tilesRefusalOf([](int, uintptr_t) { return EPERM; }), HasSubstr("Operation not permitted"));
}

TEST(CpuFeatures, TilesAreAskedForByTheirNumber) {
  EXPECT_EQ(requestTiles([](int code, uintptr_t argument) { return code == 0x1023 && argument == 18 ? 0 : EINVAL; }), "");
  EXPECT_THAT(requestTiles([](int, uintptr_t) { return ENOSPC; }), HasSubstr("No space left"));
}

} // namespace
} // namespace moec
