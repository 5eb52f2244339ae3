// Cases for BatchTest.cpp. No test by itself: most of them go wrong.

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

namespace {

int count = 0; // of the cases that this process ran

TEST(Planted, APasses) { EXPECT_EQ(count++, 0); }
TEST(Planted, BFails) {
  ++count;
  std::puts("said before <it> failed");
  EXPECT_EQ(1 + 1, 3);
}
TEST(Planted, CSkips) { GTEST_SKIP() << "no such device"; }
TEST(Planted, DCrashes) {
  std::puts("said before the crash");
  std::raise(SIGSEGV);
}
TEST(Planted, EPassesBehindTheCrash) {}
TEST(Planted, FHangs) {
  if (fork() == 0) { // a process that it leaves behind
    sleep(20);
    _exit(0);
  }
  while (true)
    pause();
}
TEST(Planted, GEndsItsProcess) { _exit(0); }
TEST(Planted, HTellsHowManyRanBeforeInItsProcess) { std::printf("before: %d\n", count); }
TEST(Planted, DISABLED_IIsDisabled) { ADD_FAILURE(); }

class Numbers : public testing::TestWithParam<int> {};
TEST_P(Numbers, AreSmall) { EXPECT_LT(GetParam(), 3); }
INSTANTIATE_TEST_SUITE_P(Few, Numbers, testing::Range(0, 4));

struct CrashesAtItsEnd {
  ~CrashesAtItsEnd() {
    if (armed)
      std::raise(SIGABRT);
  }
  bool armed = false;
} end;
class PlantedEnd : public testing::TestWithParam<int> {}; // with a parameter: these stand behind all others
TEST_P(PlantedEnd, ArmsACrashBehindIt) { end.armed = true; }
INSTANTIATE_TEST_SUITE_P(Last, PlantedEnd, testing::Values(0));

// Starts this program once more, with its words.
TEST(PlantedDeathTest, Dies) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(std::exit(3), testing::ExitedWithCode(3), "");
}

} // namespace
