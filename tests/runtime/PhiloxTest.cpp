// Owner of the random numbers: the published test vectors of Philox, and normals against the C library.

#include "runtime/core/Philox.h"
#include "runtime/core/FixedMath.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

namespace moec {
namespace {

using Words = std::array<uint32_t, 4>;

TEST(Philox, PublishedVectors) { // Random123, kat_vectors, philox4x32 10
  EXPECT_EQ(philox({0, 0, 0, 0}, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, ~uint64_t{0}), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822), (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, StreamIsFnv1a) {
  EXPECT_EQ(streamOf(""), 0x811c9dc5u);
  EXPECT_EQ(streamOf("foobar"), 0xbf9cf968u); // the hash's own test suite
}

TEST(FixedMath, LogIsWithinThreeUlps) {
  for (int i = 1; i <= 200000; ++i) {
    double x = uniformDouble(draw(1, 2, 3, static_cast<uint64_t>(i))) + 0x1p-53;
    double expected = static_cast<double>(std::log(static_cast<long double>(x)));
    ASSERT_NEAR(fixedLog(x), expected, 0x1.8p-51 * std::max(std::abs(expected), 1e-300)) << x;
  }
  EXPECT_EQ(fixedLog(1.0), 0.0);
  EXPECT_EQ(fixedLog(0x1p-53), std::log(0x1p-53));
}

TEST(FixedMath, CosIsWithinTwoUlpsOfOne) {
  const long double pi = 3.14159265358979323846264338327950288L;
  for (int i = 0; i < 200000; ++i) {
    double v = uniformDouble(draw(4, 5, 6, static_cast<uint64_t>(i)));
    ASSERT_NEAR(fixedCosTurns(v), static_cast<double>(std::cos(2 * pi * v)), 0x1.1p-52) << v;
  }
  EXPECT_EQ(fixedCosTurns(0), 1.0);
  EXPECT_EQ(fixedCosTurns(0.5), -1.0);
  EXPECT_EQ(fixedCosTurns(0.25), 0.0);
}

TEST(FixedMath, ExpIsWithinTwoUlps) {
  for (int i = 0; i < 200000; ++i) {
    double x = 1400 * uniformDouble(draw(7, 8, 9, static_cast<uint64_t>(i))) - 700;
    double expected = static_cast<double>(std::exp(static_cast<long double>(x)));
    ASSERT_NEAR(fixedExp(x), expected, 0x1p-51 * expected) << x;
  }
  EXPECT_EQ(fixedExp(0.0), 1.0);
  EXPECT_EQ(fixedExp(-0.0), 1.0);
  EXPECT_EQ(fixedExp(-709.0), 0.0);
  EXPECT_EQ(fixedExp(-HUGE_VAL), 0.0);
}

TEST(Normal, MomentsOfAStandardNormal) {
  const int n = 400000;
  double sum = 0, squares = 0, cubes = 0, fourths = 0;
  for (int i = 0; i < n; ++i) {
    double x = normal(draw(11, streamOf("weights"), 0, static_cast<uint64_t>(i)));
    ASSERT_TRUE(std::isfinite(x));
    sum += x, squares += x * x, cubes += x * x * x, fourths += x * x * x * x;
  }
  // Five standard errors of each moment.
  EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2.0 / n));
  EXPECT_NEAR(cubes / n, 0, 5 * std::sqrt(15.0 / n));
  EXPECT_NEAR(fourths / n, 3, 5 * std::sqrt(96.0 / n));
}

TEST(Normal, BitsAreFixed) { // pins the definition: a kernel or machine that differs changes weights
  auto bits = [](double x) { return std::bit_cast<uint64_t>(x); };
  EXPECT_EQ(bits(normal({0, 0, 0, 0})), bits(-0.0));
  double x = normal({0x80000000, 0, 0, 0}); // u = 1/2, v = 0: sqrt(2 ln 2)
  EXPECT_NEAR(x, std::sqrt(2 * std::log(2.0)), 3e-16);
  EXPECT_TRUE(std::isfinite(normal({~0u, ~0u, 123, 456})));
}

} // namespace
} // namespace moec
