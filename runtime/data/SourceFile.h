#pragma once
// A file that records are read from, by offset, as long as it stays what it was. Never mapped: a file that shrinks under a mapping ends the process.

#include "runtime/data/Dataset.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace moec::data {

/// What tells that a file was written to or replaced.
struct FileStamp {
  uint64_t device = 0, inode = 0;
  int64_t size = 0;
  int64_t modified = 0; // nanoseconds
  bool operator==(const FileStamp&) const = default;
};

/// Error(Data) for a path that cannot be read (absent, no rights, no regular file), Error(System) where the machine is at fault.
FileStamp stampOf(const std::filesystem::path& path);

/// Is safe from several threads at once.
class SourceFile {
public:
  /// Errors as stampOf() has them; Error(Data) for an empty file. `inflate`: a file that begins as gzip's do is what it holds, read into memory here;
  /// Error(Data) when it is damaged or holds more than 4 GiB.
  static std::shared_ptr<const SourceFile> open(const std::filesystem::path& path, bool inflate = false);
  ~SourceFile();
  SourceFile(const SourceFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int64_t size() const { return inflated_ ? static_cast<int64_t>(inflated_->size()) : stamp_.size; }
  /// Bytes [offset, offset + bytes.size()). FileChanged when the file, or what its path leads to, is no longer what was opened; what was read counts for
  /// nothing then.
  void read(int64_t offset, std::span<std::byte> bytes) const;
  std::vector<uint8_t> readAll() const;
  /// Of the content.
  std::string digest() const;

private:
  SourceFile() = default;
  void checkUnchanged() const;

  std::filesystem::path path_;
  FileStamp stamp_;
  int file_ = -1;
  std::optional<std::vector<std::byte>> inflated_;
  mutable std::mutex mutex_;
  mutable std::string digest_;
};

using SourceFilePtr = std::shared_ptr<const SourceFile>;

/// The whole of a file that was seen with this stamp. FileChanged when it has another.
std::vector<uint8_t> readFile(const std::filesystem::path& path, const FileStamp& stamp);

} // namespace moec::data
