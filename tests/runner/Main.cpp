// main() of the test programs: GoogleTest's own, or a batch of cases.

#include "tests/runner/Batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  try {
    moec::test::BatchOptions options = moec::test::takeBatchOptions(argc, argv);
    return options.count ? moec::test::runBatch(options) : RUN_ALL_TESTS();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 2;
  }
}
