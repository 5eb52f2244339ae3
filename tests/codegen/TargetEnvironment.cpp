// Skips every test where this machine does not run the target that MOEC_TEST_TARGET names.
#include "runtime/core/CpuTarget.h"
#include "tests/codegen/KernelHarness.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

namespace moec::testing {
namespace {

class OnlyWhereItRuns : public ::testing::Environment {
  void SetUp() override {
    for (const std::string& target : testTargets())
      if (auto missing = missingFeatures(target); !missing.empty())
        GTEST_SKIP() << fmt::format("[SKIP] {}: this machine lacks {}", target, fmt::join(missing, ", "));
  }
};
const ::testing::Environment* const environment = ::testing::AddGlobalTestEnvironment(new OnlyWhereItRuns);

} // namespace
} // namespace moec::testing
