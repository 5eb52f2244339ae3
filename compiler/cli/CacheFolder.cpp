#include "compiler/cli/CacheFolder.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <tuple>
#include <unistd.h>

namespace moec::cli {

namespace fs = std::filesystem;
using Clock = std::chrono::system_clock;

namespace {

constexpr int64_t kDefaultLimit = int64_t{4} << 30;
constexpr std::chrono::hours kLongestWrite{1};    // what lies unfinished for longer was left by a process that died
constexpr std::string_view kUnfinished = ".part"; // of AtomicFile

/// A number and the unit behind it.
std::optional<std::pair<int64_t, std::string_view>> split(std::string_view text) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number < 0)
    return {};
  return std::pair(number, text.substr(static_cast<size_t>(end - text.data())));
}

std::optional<int64_t> scaled(std::string_view text, std::initializer_list<std::pair<std::string_view, int64_t>> units) {
  auto parts = split(text);
  int64_t result = 0;
  if (parts)
    for (auto [unit, factor] : units)
      if (parts->second == unit && !__builtin_mul_overflow(parts->first, factor, &result))
        return result;
  return {};
}

/// Held until the end of its scope by one process alone.
class Lock {
public:
  explicit Lock(const fs::path& folder) : handle_(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    // Where there are no locks everyone shrinks: what one removes is gone for the others, and that is all.
    held_ = handle_ >= 0 && (flock(handle_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK);
  }
  ~Lock() {
    if (handle_ >= 0)
      close(handle_);
  }
  Lock(const Lock&) = delete;
  bool held() const { return held_; }

private:
  int handle_;
  bool held_;
};

Clock::time_point timeOf(const struct stat& file) {
  auto since = std::chrono::seconds(file.st_mtim.tv_sec) + std::chrono::nanoseconds(file.st_mtim.tv_nsec);
  return Clock::time_point(std::chrono::duration_cast<Clock::duration>(since));
}

/// Calls `visit(path, stat)` for every regular file of a folder; none when there is no such folder.
template <class Visit> void eachFile(const fs::path& folder, Visit visit) {
  std::error_code code;
  fs::directory_iterator at(folder, code);
  if (code == std::errc::no_such_file_or_directory)
    return;
  for (fs::directory_iterator end; !code && at != end; at.increment(code)) {
    struct stat file{};
    if (lstat(at->path().c_str(), &file) == 0 && S_ISREG(file.st_mode))
      visit(at->path(), file);
  }
  if (code)
    throw Error(Fault::System, fmt::format("{}: the cache cannot be read: {}", folder.string(), code.message()));
}

CacheFolder::Removed& operator+=(CacheFolder::Removed& sum, const CacheFolder::Removed& one) {
  sum.programs += one.programs;
  sum.kernels += one.kernels;
  sum.bytes += one.bytes;
  return sum;
}

} // namespace

fs::path userCacheFolder() {
  if (const char* folder = std::getenv("XDG_CACHE_HOME"); folder && *folder == '/')
    return fs::path(folder) / "moec";
  if (const char* home = std::getenv("HOME"); home && *home == '/')
    return fs::path(home) / ".cache" / "moec";
  return {};
}

int64_t parseBytes(const std::string& text, const std::string& who) {
  auto bytes = scaled(text, {{"", 1}, {"K", int64_t{1} << 10}, {"M", int64_t{1} << 20}, {"G", int64_t{1} << 30}, {"T", int64_t{1} << 40}});
  if (!bytes)
    throw Error(Fault::Usage, fmt::format("{}: expected a number of bytes, as 500M or 4G; found \"{}\"", who, text));
  return *bytes;
}

std::chrono::seconds parseDuration(const std::string& text, const std::string& who) {
  auto seconds = scaled(text, {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}});
  if (!seconds || *seconds > int64_t{86400} * 365 * 100)
    throw Error(Fault::Usage, fmt::format("{}: expected a duration, as 90s, 12h or 30d; found \"{}\"", who, text));
  return std::chrono::seconds(*seconds);
}

int64_t cacheLimit(const std::string& flag) {
  if (!flag.empty())
    return parseBytes(flag, "--cache-limit");
  if (const char* variable = std::getenv("MOEC_CACHE_LIMIT"); variable && *variable)
    return parseBytes(variable, "MOEC_CACHE_LIMIT");
  return kDefaultLimit;
}

std::vector<CacheFile> CacheFolder::files() const {
  std::vector<CacheFile> result;
  auto look = [&](const fs::path& folder, std::string_view ending, CacheFile::Kind kind) {
    eachFile(folder, [&](const fs::path& path, const struct stat& file) {
      if (path.extension() == ending)
        result.push_back({kind, path, file.st_size, timeOf(file)});
    });
  };
  look(programs(), ".program", CacheFile::Kind::Program);
  look(kernels(), ".kernel", CacheFile::Kind::Kernel);
  std::ranges::sort(result, [](const CacheFile& a, const CacheFile& b) { return std::tie(a.used, a.path) < std::tie(b.used, b.path); });
  return result;
}

/// Nothing when another process used or removed it since it was listed; `refused` where it stays for another reason.
CacheFolder::Removed CacheFolder::remove(const CacheFile& file, std::error_code& refused) const {
  struct stat now{};
  if (lstat(file.path.c_str(), &now) != 0 || timeOf(now) != file.used)
    return {};
  if (unlink(file.path.c_str()) != 0) {
    if (errno != ENOENT)
      refused = {errno, std::generic_category()};
    return {};
  }
  bool isProgram = file.kind == CacheFile::Kind::Program;
  return {isProgram, !isProgram, file.bytes};
}

CacheFolder::Removed CacheFolder::shrinkTo(int64_t limit) const {
  Removed removed;
  Lock lock(path_);
  if (!lock.held())
    return removed;
  for (const fs::path& folder : {programs(), kernels()})
    eachFile(folder, [&](const fs::path& path, const struct stat& file) {
      if (path.extension() == kUnfinished && timeOf(file) + kLongestWrite < Clock::now())
        unlink(path.c_str());
    });
  std::vector<CacheFile> all = files();
  std::error_code ignored; // what cannot be written is no place to make room in
  int64_t total = 0;
  for (const CacheFile& file : all)
    total += file.bytes;
  for (size_t i = 0; i < all.size() && total - removed.bytes > limit; ++i)
    removed += remove(all[i], ignored);
  return removed;
}

CacheFolder::Removed CacheFolder::clear(Clock::time_point before) const {
  Removed removed;
  int staying = 0;
  std::string why;
  for (const CacheFile& file : files()) {
    std::error_code refused;
    if (file.used < before)
      removed += remove(file, refused);
    if (refused && staying++ == 0)
      why = fmt::format("{}: {}", file.path.string(), refused.message());
  }
  if (staying > 0)
    throw Error(Fault::System, fmt::format("{}: {} of the cache's entries cannot be removed: {}", path_.string(), staying, why));
  return removed;
}

void markUsed(const fs::path& entry) { utimensat(AT_FDCWD, entry.c_str(), nullptr, 0); }

} // namespace moec::cli
