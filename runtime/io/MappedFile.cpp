#include "runtime/io/MappedFile.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace moec {

namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0)
      ::close(fd);
  }
};

} // namespace

void cannotRead(const std::filesystem::path& path, int code) {
  bool wrongPath = code == ENOENT || code == ENOTDIR || code == EISDIR || code == EACCES || code == ENAMETOOLONG || code == ELOOP;
  throw Error(wrongPath ? Fault::Data : Fault::System, fmt::format("{}: cannot read: {}", path.string(), std::strerror(code)));
}

MappedFile MappedFile::open(const std::filesystem::path& path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)}; // a pipe without a writer would wait
  if (file.fd < 0)
    cannotRead(path, errno);
  struct stat info{};
  if (::fstat(file.fd, &info) != 0)
    cannotRead(path, errno);
  if (S_ISDIR(info.st_mode))
    cannotRead(path, EISDIR);
  if (!S_ISREG(info.st_mode))
    throw Error(Fault::Data, fmt::format("{}: cannot read: not a regular file", path.string()));
  MappedFile result;
  result.size_ = static_cast<size_t>(info.st_size);
  if (result.size_ == 0)
    return result; // an empty file cannot be mapped
  void* memory = ::mmap(nullptr, result.size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.fd, 0);
  if (memory == MAP_FAILED)
    cannotRead(path, errno);
  result.memory_ = std::shared_ptr<void>(memory, [size = result.size_](void* start) { ::munmap(start, size); });
  return result;
}

void MappedFile::forget(std::span<const uint8_t> part) const {
  const uint8_t *first = bytes().data(), *last = first + size_;
  if (part.empty() || std::less<>()(part.data(), first) || std::less<>()(last, part.data() + part.size()))
    return;
  // Whole pages only: its neighbours may share the outermost ones.
  auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  uintptr_t begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  uintptr_t end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  if (begin < end) // a hint: where it is not taken, the pages stay
    (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

} // namespace moec
