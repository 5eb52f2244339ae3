#pragma once
// Runs the command as a process of its own: no shell, stdin closed, a cache folder of the test's own, output caught.

#include "tests/runner/SharedCache.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace moec::test {

namespace fs = std::filesystem;

struct Outcome {
  int code = -1;
  std::string out, err;
};

class CommandTest : public testing::Test {
protected:
  fs::path folder = fs::temp_directory_path() / ("moec-cli-" + std::to_string(getpid()));
  std::vector<std::pair<std::string, std::string>> environment; // beside the test's own

  void SetUp() override { fs::create_directories(folder); }
  void TearDown() override { fs::remove_all(folder); }

  std::string path(const std::string& name) const { return (folder / name).string(); }
  std::string file(const std::string& name, const std::string& content) const {
    std::ofstream(folder / name, std::ios::binary) << content;
    return path(name);
  }
  static std::string slurp(const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  /// The test's commands have a cache with all tests that say this: what many compile is compiled once. Not for tests that look at caches, at what is compiled
  /// or at its progress.
  void shareCompiledKernels() { environment.emplace_back("XDG_CACHE_HOME", sharedCache().string()); }

  /// The same of kernels alone: programs are the test's own. For tests that look at programs, of whose kernels it does not matter who compiled them.
  void shareCompiledKernelsAlone() const {
    fs::create_directories(sharedKernels());
    fs::create_directories(folder / "cache/moec");
    fs::create_directory_symlink(sharedKernels(), folder / "cache/moec/kernels");
  }

  struct Running {
    pid_t process;
    fs::path out, err;
  };

  /// `stdoutTo`: a file or device instead of the caught output. The process runs in the test's folder.
  Outcome moec(std::vector<std::string> arguments, const std::string& stdoutTo = {}) const { return finish(start(std::move(arguments), stdoutTo)); }

  Running start(std::vector<std::string> arguments, const std::string& stdoutTo = {}) const {
    static int count = 0;
    fs::path out = folder / fmt::format(".stdout-{}", ++count), err = folder / fmt::format(".stderr-{}", count);
    arguments.insert(arguments.begin(), MOEC_BINARY);
    std::vector<char*> argv;
    for (std::string& argument : arguments)
      argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_t child = fork();
    if (child == 0) {
      redirect(stdoutTo.empty() ? out.c_str() : stdoutTo.c_str(), STDOUT_FILENO);
      redirect(err.c_str(), STDERR_FILENO);
      for (int number : {SIGINT, SIGTERM}) // a shell's background jobs inherit them ignored
        signal(number, SIG_DFL);
      setenv("XDG_CACHE_HOME", (folder / "cache").c_str(), 1);
      for (const auto& [name, value] : environment)
        setenv(name.c_str(), value.c_str(), 1);
      if (chdir(folder.c_str()) != 0)
        _exit(126);
      execv(argv[0], argv.data());
      _exit(127);
    }
    return {child, out, err};
  }

  static Outcome finish(const Running& running) {
    int status = 0;
    waitpid(running.process, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), slurp(running.out), slurp(running.err)};
  }

  void expectFailure(const std::vector<std::string>& arguments, int code, const std::string& words) const {
    Outcome outcome = moec(arguments);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_THAT(outcome.err, testing::HasSubstr(words));
    EXPECT_EQ(outcome.out, "");
  }

private:
  static void redirect(const char* path, int to) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || dup2(fd, to) < 0)
      _exit(125);
  }
};

} // namespace moec::test
