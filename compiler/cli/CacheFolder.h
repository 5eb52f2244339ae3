#pragma once
// The user's cache as files in a folder: where it is, what lies there, how it is kept small. An entry is one file; a file's time is its last use. Any
// number of processes may use and shrink it at once. Knows nothing of what entries hold.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace moec::cli {

/// $XDG_CACHE_HOME/moec, else ~/.cache/moec; empty when neither variable is set.
std::filesystem::path userCacheFolder();

/// "500M", "4G", "1048576": bytes, with K, M, G or T for powers of 1024. Error(Usage) that begins with `who`.
int64_t parseBytes(const std::string& text, const std::string& who);
/// "45s", "90m", "12h", "30d". Error(Usage) that begins with `who`.
std::chrono::seconds parseDuration(const std::string& text, const std::string& who);
/// What the flag says, else $MOEC_CACHE_LIMIT, else 4 GiB. Error(Usage).
int64_t cacheLimit(const std::string& flag);

struct CacheFile {
  enum class Kind { Program, Kernel } kind;
  std::filesystem::path path;
  int64_t bytes = 0;
  std::chrono::system_clock::time_point used;
};

class CacheFolder {
public:
  explicit CacheFolder(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path programs() const { return path_ / "programs"; }
  std::filesystem::path kernels() const { return path_ / "kernels"; }
  /// No entry of the caches: it is never removed to make room.
  std::filesystem::path tuning() const { return path_ / "tuning.jsonl"; }

  /// Least recently used first. What others remove meanwhile is left out. Error(System) when the folder is there and cannot be read.
  std::vector<CacheFile> files() const;

  struct Removed {
    int programs = 0, kernels = 0;
    int64_t bytes = 0;
  };
  /// Removes the least recently used entries until what is left takes no more than `limit` bytes, and what writers that died have left. Does nothing
  /// while another process shrinks it.
  Removed shrinkTo(int64_t limit) const;
  /// Removes the entries that were last used before this time. Error(System) when some cannot be removed; the others are, all the same.
  Removed clear(std::chrono::system_clock::time_point before) const;

private:
  Removed remove(const CacheFile& file, std::error_code& refused) const;

  std::filesystem::path path_;
};

/// An entry is used now. A folder that cannot be written stays as it is.
void markUsed(const std::filesystem::path& entry);

} // namespace moec::cli
