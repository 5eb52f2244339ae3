#include "runtime/core/AtomicFile.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace moec {
namespace {

namespace fs = std::filesystem;

fs::path behindLinks(const fs::path& path) {
  std::error_code code;
  fs::path target = fs::is_symlink(path, code) ? fs::weakly_canonical(path, code) : path;
  return code ? path : target;
}

} // namespace

void AtomicFile::fail(const char* doing, int code) const {
  throw Error(Fault::System, fmt::format("{}: cannot {}: {}", path_.string(), doing, std::generic_category().message(code)));
}

AtomicFile::AtomicFile(const fs::path& path) : path_(behindLinks(path)) {
  static std::atomic<unsigned> counter{0};
  struct stat old{};
  bool exists = stat(path_.c_str(), &old) == 0;
  if (exists && !S_ISREG(old.st_mode))
    fail("replace", S_ISDIR(old.st_mode) ? EISDIR : EINVAL);
  for (int attempt = 0; attempt < 100; ++attempt) {
    aside_ = fmt::format("{}.{}-{}.part", path_.string(), getpid(), counter++);
    file_ = open(aside_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file_ >= 0 || errno != EEXIST) // left by a process of the same number that died
      break;
  }
  if (file_ < 0)
    fail("create the file", errno);
  if (exists)
    (void)!fchmod(file_, old.st_mode & 07777);
}

AtomicFile::~AtomicFile() {
  if (file_ < 0)
    return;
  close(file_);
  unlink(aside_.c_str());
}

void AtomicFile::write(const void* data, size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    ssize_t written = ::write(file_, next, bytes);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      fail("write", errno);
    next += written;
    bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit(Sync sync) {
  if (file_ < 0)
    throw Error(Fault::Internal, path_.string() + ": committed twice");
  if (sync == Sync::Yes && fsync(file_) != 0)
    fail("sync", errno);
  if (rename(aside_.c_str(), path_.c_str()) != 0)
    fail("rename", errno);
  close(file_);
  file_ = -1;
  if (sync == Sync::Yes)
    syncFolder(path_.parent_path().empty() ? fs::path(".") : path_.parent_path());
}

void syncFolder(const fs::path& folder) {
  int handle = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle < 0)
    return; // may be written but not read: what was renamed is renamed all the same
  fsync(handle);
  close(handle);
}

void writeFileAtomically(const fs::path& path, std::span<const uint8_t> bytes, Sync sync) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit(sync);
}

void writeFileAtomically(const fs::path& path, std::string_view text) {
  writeFileAtomically(path, std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

} // namespace moec
