// main() of the test programs: GoogleTest's own, or a batch of cases.

#include "tests/runner/Batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string_view>

int main(int argc, char** argv) {
  // A death test starts its program once more with all of its words.
  bool ofDeathTest = std::any_of(argv, argv + argc, [](std::string_view word) { return word.starts_with("--gtest_internal_run_death_test="); });
  testing::InitGoogleMock(&argc, argv);
  try {
    moec::test::BatchOptions options = moec::test::takeBatchOptions(argc, argv);
    return options.count && !ofDeathTest ? moec::test::runBatch(options) : RUN_ALL_TESTS();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 2;
  }
}
