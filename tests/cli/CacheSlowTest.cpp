// One cache, 64 processes that compile the same model.

#include "tests/cli/CacheOfModels.h"

using namespace moec::test;

namespace {

TEST_F(CacheOfModels, SixtyFourProcessesShareOneCache) {
  compileAtOnce(64, false);
  EXPECT_EQ(entries("programs").size(), 1u);
  EXPECT_EQ(counts()["program_cache"], "hit");
}

TEST_F(CacheOfModels, AmongSixtyFourSomeMayClearAndShrinkIt) { compileAtOnce(64, true); }

} // namespace
