#pragma once
// What a call throws, for tests of errors.

#include "runtime/core/Error.h"

#include <gtest/gtest.h>

#include <string>

namespace moec {

struct Thrown {
  bool thrown = false;
  Fault fault = Fault::Internal;
  std::string message;
  bool says(const std::string& part) const { return message.find(part) != std::string::npos; }
};

template <class Call> Thrown thrownBy(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return {true, error.fault(), error.what()};
  }
  return {};
}

/// The call throws `fault` with a message that has `part` in it.
#define EXPECT_FAULT(call, expected, part)                                                            \
  do {                                                                                                \
    Thrown thrown_ = thrownBy([&] { call; });                                                         \
    EXPECT_TRUE(thrown_.thrown) << "nothing thrown";                                                  \
    EXPECT_TRUE(!thrown_.thrown || thrown_.fault == (expected)) << thrown_.message;                   \
    EXPECT_TRUE(!thrown_.thrown || thrown_.says(part)) << thrown_.message << "\n  lacks: " << (part); \
  } while (false)

} // namespace moec
