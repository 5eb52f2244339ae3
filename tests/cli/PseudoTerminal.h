#pragma once
// Whether this machine gives pseudo-terminals: a container without /dev/pts has none.

#include <pty.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace moec::test {

/// Why there is none, or nothing.
inline std::string whyNoTerminal() {
  int master = -1, slave = -1;
  if (openpty(&master, &slave, nullptr, nullptr, nullptr) != 0)
    return std::string("there are no pseudo-terminals here (openpty: ") + std::strerror(errno) + "); mount devpts at /dev/pts";
  close(master);
  close(slave);
  return "";
}

} // namespace moec::test

/// At the head of a test that needs one.
#define MOEC_NEEDS_TERMINAL()                                      \
  if (std::string why = moec::test::whyNoTerminal(); !why.empty()) \
  GTEST_SKIP() << why
