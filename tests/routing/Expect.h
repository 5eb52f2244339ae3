#pragma once
// What tests of routing expect of a run, and how gtest shows a row.

#include "tests/routing/Suite.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <ostream>

namespace moec::test {

inline void PrintTo(const RoutingRow& row, std::ostream* out) { *out << row.name; }

/// A row's name for gtest: letters, digits and _.
inline std::string testName(std::string name) {
  std::ranges::replace_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

/// All cases of `row` ran, in so many dtypes, and none differs.
inline void expectAgreement(const RoutingRow& row, const RoutingOutcome& outcome, int dtypes) {
  EXPECT_EQ(outcome.cases, dtypes * static_cast<int>(row.cases.size()));
  for (const std::string& failure : outcome.failures)
    ADD_FAILURE() << failure;
}

} // namespace moec::test
