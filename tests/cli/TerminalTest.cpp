// What the command does on a terminal and not elsewhere: colour and progress. The terminal is a pseudo-terminal.

#include "compiler/cli/Progress.h"
#include "tests/cli/Process.h"
#include "tests/cli/PseudoTerminal.h"

#include <poll.h>
#include <pty.h>
#include <thread>

using namespace moec::test;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

namespace {

class Terminal : public CommandTest {
protected:
  /// All that the command writes to a terminal, with nothing but these variables set.
  std::string onTerminal(std::vector<std::string> arguments, std::vector<std::string> variables = {}) const {
    arguments.insert(arguments.begin(), MOEC_BINARY);
    variables.push_back("XDG_CACHE_HOME=" + path("cache"));
    std::vector<char*> argv, envp;
    for (std::string& argument : arguments)
      argv.push_back(argument.data());
    for (std::string& variable : variables)
      envp.push_back(variable.data());
    argv.push_back(nullptr), envp.push_back(nullptr);
    int terminal = -1;
    pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
    if (child == 0) {
      execve(argv[0], argv.data(), envp.data());
      _exit(127);
    }
    std::string text;
    char buffer[4096];
    for (ssize_t count = 0; (count = read(terminal, buffer, sizeof buffer)) > 0;) // ends with EIO when the child is gone
      text.append(buffer, static_cast<size_t>(count));
    close(terminal);
    waitpid(child, nullptr, 0);
    return text;
  }
};

TEST_F(Terminal, TheSeverityIsRed) {
  MOEC_NEEDS_TERMINAL();
  std::string text = onTerminal({"runn"}, {"TERM=xterm"});
  EXPECT_THAT(text, StartsWith("moec: \033[1;31merror:\033[0m unknown command \"runn\""));
}

TEST_F(Terminal, NoColorAndDumbTerminalsHaveNone) {
  MOEC_NEEDS_TERMINAL();
  EXPECT_THAT(onTerminal({"runn"}, {"TERM=xterm", "NO_COLOR=1"}), StartsWith("moec: error: unknown"));
  EXPECT_THAT(onTerminal({"runn"}, {"TERM=dumb"}), StartsWith("moec: error: unknown"));
  EXPECT_THAT(onTerminal({"runn"}, {"TERM=xterm", "NO_COLOR="}), HasSubstr("\033[1;31m")) << "an empty value is none";
}

TEST_F(Terminal, FilesHaveNoColour) {
  environment = {{"TERM", "xterm"}};
  EXPECT_THAT(moec({"runn"}).err, Not(HasSubstr("\033")));
  EXPECT_THAT(moec({"doctor"}).out, Not(HasSubstr("\033")));
}

TEST_F(Terminal, TheDoctorsWordsAreColoured) {
  MOEC_NEEDS_TERMINAL();
  EXPECT_THAT(onTerminal({"doctor"}, {"TERM=xterm", "MOEC_COMPILER=/absent"}), HasSubstr("\033[1;32mok  \033[0m  cpu"));
}

/// stderr of the tests is caught in a file here.
std::string shown(bool quiet, std::chrono::milliseconds step) {
  testing::internal::CaptureStderr();
  {
    moec::cli::Progress progress("compiling a.json", quiet, step);
    progress.add("import 1 ms");
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return testing::internal::GetCapturedStderr();
}

TEST(ProgressLines, AreWholeLinesWithoutATerminal) {
  std::string text = shown(false, std::chrono::milliseconds(20));
  EXPECT_THAT(text, StartsWith("moec: compiling a.json: import 1 ms ... 0 s\n"));
  EXPECT_THAT(text, Not(HasSubstr("\033")));
}

TEST(ProgressLines, AreFewAndNoneWithQuiet) {
  EXPECT_EQ(shown(false, std::chrono::seconds(10)), "") << "what is quick says nothing";
  EXPECT_EQ(shown(true, std::chrono::milliseconds(20)), "");
}

} // namespace
