#include "runtime/data/SourceFile.h"

#include "runtime/core/Digest.h"
#include "runtime/io/MappedFile.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

namespace moec::data {

namespace {

[[noreturn]] void changed(const std::filesystem::path& path, const char* how) {
  throw FileChanged(fmt::format("{}: {} since its records were counted; leave data alone while it is read", path.string(), how));
}

FileStamp stampOf(const struct stat& info, const std::filesystem::path& path) {
  if (S_ISDIR(info.st_mode))
    cannotRead(path, EISDIR);
  if (!S_ISREG(info.st_mode))
    throw Error(Fault::Data, fmt::format("{}: cannot read: not a regular file", path.string()));
  return {info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec};
}

FileStamp stampOf(int file, const std::filesystem::path& path) {
  struct stat info{};
  if (::fstat(file, &info) != 0)
    cannotRead(path, errno);
  return stampOf(info, path);
}

int openFile(const std::filesystem::path& path) {
  int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe without a writer would wait
  if (file < 0)
    cannotRead(path, errno);
  return file;
}

/// Fewer than were asked for when the file ends.
size_t readAt(int file, int64_t offset, std::span<std::byte> bytes, const std::filesystem::path& path) {
  size_t done = 0;
  while (done < bytes.size()) {
    ssize_t count = ::pread(file, bytes.data() + done, bytes.size() - done, offset + static_cast<int64_t>(done));
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      cannotRead(path, errno);
    if (count == 0)
      break;
    done += static_cast<size_t>(count);
  }
  return done;
}

struct Descriptor {
  int file;
  ~Descriptor() { ::close(file); }
};

/// What a gzip file holds; several members one behind the other, as gzip has it.
std::vector<std::byte> inflated(const std::vector<uint8_t>& bytes, const std::filesystem::path& path) {
  constexpr size_t kMost = size_t{4} << 30;
  z_stream stream{};
  if (::inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
    throw Error(Fault::System, fmt::format("{}: no memory to unpack it", path.string()));
  struct End {
    z_stream& stream;
    ~End() { ::inflateEnd(&stream); }
  } end{stream};
  auto damaged = [&](const char* why) {
    return Error(Fault::Data, fmt::format("{}: cannot unpack it as gzip: {} at byte {}", path.string(), why, stream.total_in));
  };
  std::vector<std::byte> result;
  std::vector<std::byte> block(size_t{1} << 20);
  size_t taken = 0;
  while (true) {
    if (stream.avail_in == 0) {
      size_t count = std::min<size_t>(bytes.size() - taken, size_t{1} << 30); // zlib counts in 32 bits
      stream.next_in = const_cast<Bytef*>(bytes.data() + taken);
      stream.avail_in = static_cast<uInt>(count);
      taken += count;
      if (count == 0)
        throw damaged("the file ends too early");
    }
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = static_cast<uInt>(block.size());
    int code = ::inflate(&stream, Z_NO_FLUSH);
    size_t made = block.size() - stream.avail_out;
    if (result.size() + made > kMost)
      throw Error(Fault::Data, fmt::format("{}: holds more than 4 GiB; unpack the file", path.string()));
    result.insert(result.end(), block.begin(), block.begin() + static_cast<std::ptrdiff_t>(made));
    if (code == Z_STREAM_END) {
      if (stream.avail_in == 0 && taken == bytes.size())
        return result;
      if (::inflateReset(&stream) != Z_OK)
        throw damaged("what stands behind its end is no gzip");
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      throw damaged(stream.msg ? stream.msg : "damaged");
    }
  }
}

} // namespace

FileStamp stampOf(const std::filesystem::path& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0)
    cannotRead(path, errno);
  return stampOf(info, path);
}

SourceFilePtr SourceFile::open(const std::filesystem::path& path, bool inflate) {
  std::shared_ptr<SourceFile> result(new SourceFile);
  result->path_ = path;
  result->file_ = openFile(path);
  result->stamp_ = stampOf(result->file_, path);
  if (result->size() == 0)
    throw Error(Fault::Data, fmt::format("{}: the file is empty", path.string()));
  std::array<std::byte, 2> magic{};
  if (inflate && result->size() >= 2) {
    result->read(0, magic);
    if (magic == std::array{std::byte{0x1f}, std::byte{0x8b}})
      result->inflated_ = inflated(result->readAll(), path);
  }
  return result;
}

SourceFile::~SourceFile() {
  if (file_ >= 0)
    ::close(file_);
}

void SourceFile::checkUnchanged() const {
  if (stampOf(file_, path_) != stamp_)
    changed(path_, "was written to");
  struct stat info{};
  if (::stat(path_.c_str(), &info) != 0)
    changed(path_, "was removed");
  if (info.st_ino != stamp_.inode || info.st_dev != stamp_.device)
    changed(path_, "was replaced");
}

void SourceFile::read(int64_t offset, std::span<std::byte> bytes) const {
  bool inside = offset >= 0 && offset <= size() && static_cast<int64_t>(bytes.size()) <= size() - offset;
  if (inside && inflated_) {
    std::memcpy(bytes.data(), inflated_->data() + offset, bytes.size());
    return;
  }
  size_t done = inside ? readAt(file_, offset, bytes, path_) : 0;
  checkUnchanged();
  if (done != bytes.size())
    throw Error(Fault::Data, fmt::format("{}: ends at byte {}; {} bytes from byte {} on were to be read", path_.string(), size(), bytes.size(), offset));
}

std::vector<uint8_t> SourceFile::readAll() const {
  std::vector<uint8_t> bytes(static_cast<size_t>(size()));
  read(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

std::string SourceFile::digest() const {
  std::lock_guard lock(mutex_);
  if (digest_.empty()) {
    constexpr int64_t kBlock = int64_t{4} << 20;
    std::vector<uint8_t> block(static_cast<size_t>(std::min(size(), kBlock)));
    std::string blocks;
    for (int64_t offset = 0; offset < size(); offset += kBlock) {
      std::span<uint8_t> part = std::span(block).first(static_cast<size_t>(std::min(kBlock, size() - offset)));
      read(offset, std::as_writable_bytes(part));
      blocks += digestOf(part).hex();
    }
    digest_ = digestOf(blocks).hex();
  }
  return digest_;
}

std::vector<uint8_t> readFile(const std::filesystem::path& path, const FileStamp& stamp) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 && (errno == ENOENT || errno == ENOTDIR))
    changed(path, "was removed");
  Descriptor descriptor{openFile(path)};
  if (stampOf(descriptor.file, path) != stamp)
    changed(path, "was written to or replaced");
  std::vector<uint8_t> bytes(static_cast<size_t>(stamp.size));
  size_t done = readAt(descriptor.file, 0, std::as_writable_bytes(std::span(bytes)), path);
  if (done != bytes.size() || stampOf(descriptor.file, path) != stamp)
    changed(path, "was written to");
  return bytes;
}

} // namespace moec::data
