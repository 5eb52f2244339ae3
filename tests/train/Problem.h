#pragma once
// What something refuses, in words.

#include "runtime/core/Error.h"

#include <gtest/gtest.h>

#include <string>

namespace moec::train {

/// What `act` throws, which is to be of this fault; empty where it throws nothing.
template <class Do> std::string problem(Fault fault, Do act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), fault) << error.what();
    return error.what();
  }
  return "";
}

} // namespace moec::train
