#include "bench/gpu/TorchLayer.h"

#include "runtime/core/Error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moec::bench {
namespace {

using testing::HasSubstr;

TEST(TorchLayer, SaysWhatIsMissing) {
  try {
    TorchLayer layer("/no/such/python", {}, "cpu");
    FAIL() << "a Python that is not there answers";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Device);
    EXPECT_THAT(error.what(), HasSubstr("cannot start /no/such/python"));
  }
}

// `true` ends without a word.
TEST(TorchLayer, AProcessThatEndsIsTold) {
  try {
    TorchLayer layer("true", {}, "cpu");
    FAIL() << "`true` answers";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("ended without an answer"));
  }
}

} // namespace
} // namespace moec::bench
