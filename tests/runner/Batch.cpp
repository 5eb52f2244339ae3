#include "tests/runner/Batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>

#include <dlfcn.h>
#include <fnmatch.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace moec::test {

namespace {

enum class State : int { Waiting, Running, Passed, Failed, Skipped };

/// What a child tells of one case.
struct CaseProgress {
  State state;
  off_t outputBegin, outputEnd;                // of the child's file of output
  std::chrono::steady_clock::time_point begin; // of the clock that both read
  double seconds;
};

/// What a child tells, in memory that both see.
struct Progress {
  int code;              // with which it means to end, once all cases are done
  CaseProgress cases[1]; // as many as it runs
};

struct Result {
  std::string name;
  State state = State::Waiting;
  double seconds = 0;
  std::string reason; // of a failure that GoogleTest did not see
  std::string output;
};

[[noreturn]] void failed(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

/// Tells the parent when cases begin and end.
class Recorder : public testing::EmptyTestEventListener {
public:
  explicit Recorder(CaseProgress* next) : next_(next) {}

  void OnTestStart(const testing::TestInfo&) override {
    std::fflush(stdout);
    next_->begin = std::chrono::steady_clock::now();
    next_->outputBegin = lseek(STDOUT_FILENO, 0, SEEK_CUR);
    next_->state = State::Running;
  }

  void OnTestEnd(const testing::TestInfo& info) override {
    std::fflush(stdout);
    next_->outputEnd = lseek(STDOUT_FILENO, 0, SEEK_CUR);
    next_->seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - next_->begin).count();
    next_->state = info.result()->Failed() ? State::Failed : info.result()->Skipped() ? State::Skipped : State::Passed;
    ++next_;
  }

private:
  CaseProgress* next_;
};

bool isDisabled(const std::string& name) {
  return name.starts_with("DISABLED_") || name.find("/DISABLED_") != std::string::npos || name.find(".DISABLED_") != std::string::npos;
}

/// Whether one of the patterns of --gtest_filter, which has no negative ones, is of the case.
bool isWanted(const std::string& name) {
  std::string patterns = GTEST_FLAG_GET(filter);
  for (size_t begin = 0; begin <= patterns.size();) {
    size_t end = std::min(patterns.find(':', begin), patterns.size());
    if (fnmatch(patterns.substr(begin, end - begin).c_str(), name.c_str(), 0) == 0)
      return true;
    begin = end + 1;
  }
  return false;
}

/// The part's cases, in GoogleTest's own order: neighbours go to different parts, for they tend to cost the same.
std::vector<std::string> casesOf(const BatchOptions& options) {
  std::vector<std::string> names;
  int number = 0; // of enabled cases
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  for (int i = 0; i < all.total_test_suite_count(); ++i)
    for (int j = 0; j < all.GetTestSuite(i)->total_test_count(); ++j) {
      std::string name = std::string(all.GetTestSuite(i)->name()) + "." + all.GetTestSuite(i)->GetTestInfo(j)->name();
      if (!isDisabled(name) && isWanted(name) && number++ % options.count == options.index - 1)
        names.push_back(name);
    }
  if (number == 0)
    throw std::runtime_error(options.program + " has no cases: its sources hold none that is enabled and wanted");
  return names;
}

/// The part `begin` to `end` of a file; to its end when `end` is less.
std::string readPart(int file, off_t begin, off_t end) {
  if (end < begin)
    end = lseek(file, 0, SEEK_END);
  std::string text(std::max<off_t>(end - begin, 0), '\0');
  ssize_t got = pread(file, text.data(), text.size(), begin);
  text.resize(std::max<ssize_t>(got, 0));
  return text;
}

/// While it lives, a signal that ends this process ends the child's group first: a group of its own does not hear it.
class EndTogether {
public:
  EndTogether() {
    struct sigaction action{};
    action.sa_handler = [](int signal) {
      if (child > 0)
        kill(-child, SIGKILL);
      struct sigaction standard{};
      standard.sa_handler = SIG_DFL;
      sigaction(signal, &standard, nullptr);
      raise(signal);
    };
    for (size_t i = 0; i < std::size(kSignals); ++i)
      sigaction(kSignals[i], &action, &before_[i]);
  }
  ~EndTogether() {
    child = 0;
    for (size_t i = 0; i < std::size(kSignals); ++i)
      sigaction(kSignals[i], &before_[i], nullptr);
  }
  EndTogether(const EndTogether&) = delete;
  EndTogether& operator=(const EndTogether&) = delete;

  static inline volatile pid_t child = 0;

private:
  static constexpr int kSignals[] = {SIGHUP, SIGINT, SIGTERM};
  struct sigaction before_[std::size(kSignals)];
};

/// A child that runs the cases [0, count) of `names` and tells of them in `progress`.
pid_t startChild(const std::string* names, int count, Progress* progress, int output) {
  std::string filter;
  for (int i = 0; i < count; ++i)
    filter += (i ? ":" : "") + names[i];
  std::fflush(stdout);
  std::fflush(stderr);
  pid_t parent = getpid();
  pid_t child = fork();
  if (child < 0)
    failed("cannot start a process for " + names[0]);
  if (child > 0) {
    setpgid(child, child); // also here: the group must be there when it is killed
    EndTogether::child = child;
    return child;
  }
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent)
    _exit(1);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  GTEST_FLAG_SET(filter, filter);
  setvbuf(stdout, nullptr, _IOLBF, 0); // a crash must not lose lines
  testing::UnitTest::GetInstance()->listeners().Append(new Recorder(progress->cases));
  progress->code = RUN_ALL_TESTS();
  std::exit(progress->code);
}

/// Waits a little for the child's end.
bool ended(pid_t child, int handle, int& status) {
  if (handle >= 0) {
    pollfd end{handle, POLLIN, 0};
    poll(&end, 1, 250);
  } else {
    usleep(2000); // a kernel without handles of processes
  }
  return waitpid(child, &status, WNOHANG) == child;
}

std::string endOf(int status) {
  if (WIFSIGNALED(status))
    return std::string("was ended by signal ") + std::to_string(WTERMSIG(status)) + " (" + strsignal(WTERMSIG(status)) + ")";
  return "ended with code " + std::to_string(WEXITSTATUS(status));
}

/// Runs the first cases of `names` in one child and gives the results of those that it came to: at least one.
std::vector<Result> runTogether(const BatchOptions& options, const std::string* names, int count) {
  size_t bytes = sizeof(Progress) + sizeof(CaseProgress) * count;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); // zeros: all wait
  int output = memfd_create("output", MFD_CLOEXEC);
  if (memory == MAP_FAILED || output < 0)
    failed("no memory for the results of " + names[0]);
  auto* progress = static_cast<Progress*>(memory);
  progress->code = -1;
  CaseProgress* cases = progress->cases;
  auto notDone = [](const CaseProgress& one) { return one.state == State::Running || one.state == State::Waiting; };
  auto running = [&] { return std::find_if(cases, cases + count, notDone) - cases; };

  auto started = std::chrono::steady_clock::now();
  pid_t child = startChild(names, count, progress, output);
  EndTogether endTogether;
  int handle = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
  int status = 0;
  bool late = false;
  while (!ended(child, handle, status)) {
    ptrdiff_t now = running();
    auto since = now < count && cases[now].state == State::Running ? cases[now].begin : now > 0 ? cases[now - 1].begin : started;
    if (!late && std::chrono::steady_clock::now() - since > std::chrono::seconds(options.seconds)) {
      late = true;
      kill(-child, SIGKILL);
    }
  }
  kill(-child, SIGKILL); // what its cases started and left
  if (handle >= 0)
    close(handle);

  std::vector<Result> results;
  ptrdiff_t stopped = running();
  bool anyFailed = std::any_of(cases, cases + stopped, [](const CaseProgress& one) { return one.state == State::Failed; });
  bool endedWell = WIFEXITED(status) && WEXITSTATUS(status) == progress->code && (progress->code == 0 || anyFailed);
  for (ptrdiff_t i = 0; i < std::min<ptrdiff_t>(stopped + 1, count); ++i) {
    Result result{names[i], cases[i].state, cases[i].seconds, {}, {}};
    bool last = i + 1 == count;
    if (i == stopped) { // it never ended
      result.state = State::Failed;
      result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - (cases[i].state == State::Running ? cases[i].begin : started)).count();
      result.reason = late ? "it took longer than " + std::to_string(options.seconds) + " s" : "its process " + endOf(status);
    } else if (last && !endedWell) { // destructors, or what a sanitizer finds at the end
      result.state = State::Failed;
      result.reason = "behind it, its process " + endOf(status);
    }
    if (result.state == State::Failed || result.state == State::Skipped)
      result.output = readPart(output, cases[i].outputBegin, last || i == stopped ? -1 : cases[i].outputEnd);
    results.push_back(std::move(result));
  }
  close(output);
  munmap(memory, bytes);
  return results;
}

/// For an attribute or a text of XML; without the control characters that it cannot hold.
std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text)
    switch (c) {
    case '<':
      out += "&lt;";
      break;
    case '>':
      out += "&gt;";
      break;
    case '&':
      out += "&amp;";
      break;
    case '"':
      out += "&quot;";
      break;
    default:
      if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t')
        out += c;
    }
  return out;
}

void writeReport(const BatchOptions& options, const std::vector<Result>& results) {
  std::ofstream file(options.report, std::ios::trunc);
  for (const Result& result : results) {
    file << "\t<testcase name=\"" << escaped(result.name) << "\" classname=\"" << escaped(options.program) << "\" time=\"" << result.seconds << "\" status=\""
         << (result.state == State::Failed    ? "fail"
             : result.state == State::Skipped ? "notrun"
                                              : "run")
         << "\"";
    if (result.state == State::Passed) {
      file << "/>\n";
      continue;
    }
    if (result.state == State::Failed)
      file << ">\n\t\t<failure message=\"" << escaped(result.reason) << "\"/>\n";
    else
      file << ">\n\t\t<skipped message=\"\"/>\n";
    file << "\t\t<system-out>" << escaped(result.output) << "</system-out>\n\t</testcase>\n";
  }
  file << "<!-- all " << results.size() << " cases -->\n";
  if (!file.flush())
    failed("cannot write the report " + options.report.string());
}

int numberOf(std::string_view option, std::string_view text) {
  int value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1)
    throw std::invalid_argument(std::string(option) + "\"" + std::string(text) + "\" is no number from 1 on");
  return value;
}

} // namespace

BatchOptions takeBatchOptions(int& argc, char** argv) {
  BatchOptions options;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    std::string_view word = argv[i];
    auto valueOf = [&](std::string_view option) {
      if (!word.starts_with(option))
        return false;
      word.remove_prefix(option.size());
      return true;
    };
    if (valueOf("--batch=")) {
      size_t slash = std::min(word.find('/'), word.size());
      options.index = numberOf("--batch=", word.substr(0, slash));
      options.count = numberOf("--batch=INDEX/", word.substr(std::min(slash + 1, word.size())));
      if (options.index > options.count)
        throw std::invalid_argument("--batch=: there is no part " + std::to_string(options.index) + " of " + std::to_string(options.count));
    } else if (valueOf("--together=")) {
      options.together = numberOf("--together=", word);
    } else if (valueOf("--seconds=")) {
      options.seconds = numberOf("--seconds=", word);
    } else if (valueOf("--program=")) {
      options.program = word;
    } else if (valueOf("--report=")) {
      options.report = word;
    } else if (valueOf("--preload=")) {
      options.preload.emplace_back(word);
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  if (options.count && (options.report.empty() || options.program.empty()))
    throw std::invalid_argument("--batch needs --report=FILE and --program=NAME");
  return options;
}

int runBatch(const BatchOptions& options) {
  for (const auto& library : options.preload)
    if (!dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL))
      throw std::runtime_error(std::string("--preload: ") + dlerror());
  std::vector<std::string> names = casesOf(options);
  std::vector<Result> results;
  int failures = 0;
  while (results.size() < names.size()) {
    int count = static_cast<int>(std::min<size_t>(options.together, names.size() - results.size()));
    for (Result& result : runTogether(options, names.data() + results.size(), count)) {
      if (result.state == State::Failed) {
        ++failures;
        std::printf("%s\nFAILED: %s%s%s\n", result.output.c_str(), result.name.c_str(), result.reason.empty() ? "" : ": ", result.reason.c_str());
      }
      results.push_back(std::move(result));
    }
  }
  writeReport(options, results);
  std::printf("%s, part %d of %d: %zu cases, %d failed\n", options.program.c_str(), options.index, options.count, results.size(), failures);
  return failures ? 1 : 0;
}

} // namespace moec::test
