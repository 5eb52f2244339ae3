#pragma once
// Leaves the command with a code that is no failure's: everything is said already.

namespace moec::cli {

struct ExitCode {
  int code;
};

/// Interrupted, with the state saved.
constexpr int kInterrupted = 75;

} // namespace moec::cli
