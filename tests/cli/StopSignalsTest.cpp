// Ctrl-C and SIGTERM as one wish: what the first and the second of them do, in whichever order.

#include "compiler/cli/StopSignals.h"
#include "tests/cli/Process.h"

using moec::cli::StopSignals;

namespace {

struct End {
  int signal = 0, code = -1; // of a process that a signal ended, or that ended by itself
  std::string written;       // to stderr
};

/// What a process of its own comes to that does this, and then ends with 7.
template <class Do> End endOf(Do act) {
  int ends[2];
  if (pipe(ends) != 0)
    return {};
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    for (int number : {SIGINT, SIGTERM}) // a shell's background jobs inherit them ignored
      signal(number, SIG_DFL);
    act();
    _exit(7);
  }
  close(ends[1]);
  End end;
  char buffer[256];
  for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
    end.written.append(buffer, static_cast<size_t>(got));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  end.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return end;
}

TEST(StopSignalsOf, TheFirstIsAWish) {
  for (int number : {SIGINT, SIGTERM}) {
    End end = endOf([number] {
      StopSignals signals("at once\n");
      if (signals.flag())
        _exit(1);
      raise(number);
      if (!signals.flag())
        _exit(2);
    });
    EXPECT_EQ(end.code, 7) << number;
    EXPECT_EQ(end.written, "") << number;
  }
}

TEST(StopSignalsOf, TheSecondEndsItAndSaysSo) {
  for (auto [first, second] : {std::pair(SIGINT, SIGINT), {SIGINT, SIGTERM}, {SIGTERM, SIGINT}, {SIGTERM, SIGTERM}}) {
    End end = endOf([first, second] {
      StopSignals signals("at once\n");
      raise(first);
      raise(second);
    });
    EXPECT_EQ(end.signal, second) << first;
    EXPECT_EQ(end.written, "at once\n") << first << ", " << second;
  }
}

TEST(StopSignalsOf, WhatIsIgnoredStaysSo) {
  End end = endOf([] {
    signal(SIGINT, SIG_IGN);
    StopSignals signals("at once\n");
    for (int i = 0; i < 3; ++i)
      raise(SIGINT);
    if (signals.flag())
      _exit(1);
  });
  EXPECT_EQ(end.code, 7);
}

TEST(StopSignalsOf, AnotherBeginsAnew) {
  End end = endOf([] {
    for (int i = 0; i < 2; ++i) {
      StopSignals signals("at once\n");
      raise(SIGTERM);
    }
    raise(SIGINT); // nobody listens
  });
  EXPECT_EQ(end.signal, SIGINT);
  EXPECT_EQ(end.written, "");
}

} // namespace
