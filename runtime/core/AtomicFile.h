#pragma once
// A file that appears whole or not at all: written aside in the same folder, synced, renamed over the old one, the folder synced.
// Everything that moec writes and may read again goes through here: programs, checkpoints, metrics; and caches, without the syncs.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace moec {

/// No: for readers that find out what is not whole, as those of caches do. A power cut may leave such a file empty or short.
enum class Sync { Yes, No };

class AtomicFile {
public:
  /// Opens a private file beside `path` (what a link points to is replaced, not the link). Error(System); also when `path` is a folder or a device.
  explicit AtomicFile(const std::filesystem::path& path);
  /// Without commit() the old file stays and the private one is removed.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::span<const uint8_t> bytes) { write(bytes.data(), bytes.size()); }
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// The file now stands at `path` and, synced, survives a power cut. Error(System).
  void commit(Sync sync = Sync::Yes);

private:
  [[noreturn]] void fail(const char* doing, int code) const;

  std::filesystem::path path_;
  std::string aside_;
  int file_ = -1;
};

void writeFileAtomically(const std::filesystem::path& path, std::span<const uint8_t> bytes, Sync sync = Sync::Yes);
void writeFileAtomically(const std::filesystem::path& path, std::string_view text);

/// What was made, renamed or removed in this folder survives a power cut. A folder that may not be read is passed over: nothing more can be done there.
void syncFolder(const std::filesystem::path& folder);

} // namespace moec
