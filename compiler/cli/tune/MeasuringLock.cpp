#include "compiler/cli/tune/MeasuringLock.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace moec::cli {

MeasuringLock::MeasuringLock(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (folder.empty())
    return;
  std::filesystem::create_directories(folder, ignored);
  handle_ = open((folder / "tune.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  isAlone_ = handle_ < 0 || flock(handle_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

MeasuringLock::~MeasuringLock() {
  if (handle_ >= 0)
    close(handle_);
}

} // namespace moec::cli
