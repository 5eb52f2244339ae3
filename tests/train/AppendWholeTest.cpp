// Owner of: what a file gets is whole, or not there at all.
#include "runtime/train/AppendWhole.h"

#include "tests/e2e/Support.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <sys/resource.h>
#include <unistd.h>

namespace moec::train {
namespace {

class AppendWhole : public ::testing::Test {
protected:
  test::TemporaryFolder folder;
  std::filesystem::path path = folder.path() / "lines";

  int append(const std::string& text, int flags = O_WRONLY | O_APPEND | O_CREAT) {
    int file = open(path.c_str(), flags, 0600);
    int code = appendWhole(file, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
    close(file);
    return code;
  }
  std::string written() const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

/// A file takes no more than so many bytes, as on a disk that is full: the last write that goes is of less than it was to be.
class FileLimit {
public:
  explicit FileLimit(rlim_t bytes) {
    handler_ = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }

private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST_F(AppendWhole, StandsBehindWhatWasThere) {
  EXPECT_EQ(append("one\n"), 0);
  EXPECT_EQ(append("two\n"), 0);
  EXPECT_EQ(append(""), 0);
  EXPECT_EQ(written(), "one\ntwo\n");
}

TEST_F(AppendWhole, IsCutOffWhereItDoesNotFit) {
  ASSERT_EQ(append("one\n"), 0);
  int code = 0;
  {
    FileLimit limit(10);
    code = append("a longer line\n"); // six bytes of it would fit
  }
  EXPECT_EQ(code, EFBIG);
  EXPECT_EQ(written(), "one\n");
  EXPECT_EQ(append("two\n"), 0);
  EXPECT_EQ(written(), "one\ntwo\n") << "and the next one stands behind what is whole";
}

TEST_F(AppendWhole, SaysWhatTheSystemSays) {
  ASSERT_EQ(append("one\n"), 0);
  EXPECT_EQ(append("two\n", O_RDONLY), EBADF);
  EXPECT_EQ(written(), "one\n");
}

} // namespace
} // namespace moec::train
