#pragma once
// Many test cases in one start of their program, and each case's result by itself: cases run in children that are forked once the program and its libraries are
// loaded, so loading is paid once. A case that crashes, hangs or ends its process is that case's failure; those behind it run all the same. Knows GoogleTest
// and POSIX alone.

#include <filesystem>
#include <string>
#include <vector>

namespace moec::test {

struct BatchOptions {
  int index = 0;                              // which part of the cases: from 1 to `count`
  int count = 0;                              // 0: no batch, the cases run in this process as GoogleTest does it
  int together = 1;                           // cases in one child: they share what the program makes at its first use
  int seconds = 300;                          // that one case may take
  std::string program;                        // the name of the test program, for the report
  std::filesystem::path report;               // JUnit's <testcase> elements, one for each case, then a line that says that none is missing
  std::vector<std::filesystem::path> preload; // libraries that the cases open: opened before the children are forked
};

/// Takes --batch=INDEX/COUNT, --together=, --seconds=, --program=, --report= and --preload= out of the arguments; throws std::invalid_argument for what is not
/// well formed.
BatchOptions takeBatchOptions(int& argc, char** argv);

/// Runs the cases (of --gtest_filter, whose patterns are all positive) and writes the report; prints the output of those that fail. 0 when none does.
/// GoogleTest is initialised, and no thread runs.
int runBatch(const BatchOptions& options);

} // namespace moec::test
