#include "runtime/core/TuningDatabase.h"

#include "runtime/core/AtomicFile.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <tuple>
#include <unistd.h>
#include <utility>

namespace moec {

namespace fs = std::filesystem;

namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr size_t kLongestLine = 8192, kMostEntries = 32; // of a line, a schedule
constexpr size_t kLongestLabel = 256;                    // as it is written; what replaces half a character fits behind it
constexpr int64_t kLargestFile = int64_t{64} << 20;
constexpr int kFewestLines = 64; // below which no file is written anew

//===--- a line ---===//

std::string shortened(const std::string& text) { return text.substr(0, kLongestLabel); }

std::string lineOf(const TunedSchedule& entry) {
  Json json{{"v", kVersion},
            {"kernel", entry.kernel},
            {"target", entry.target},
            {"cpu", entry.cpu},
            {"sizes", entry.sizes},
            {"schedule", entry.schedule},
            {"ratio", entry.ratio},
            {"threads", entry.threads},
            {"kind", shortened(entry.kind)},
            {"layer", shortened(entry.layer)},
            {"date", entry.date},
            {"build", entry.build}};
  return json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace) + "\n";
}

enum class Line { Entry, Bad, Foreign };

bool isKernelKey(const std::string& text) { return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string::npos; }

bool readText(const Json& json, const char* name, std::string& text) {
  auto found = json.find(name);
  if (found == json.end() || !found->is_string() || found->get_ref<const std::string&>().size() > kLongestTuningText)
    return false;
  text = found->get<std::string>();
  return true;
}

bool readSchedule(const Json& json, KernelSchedule& schedule) {
  auto found = json.find("schedule");
  if (found == json.end() || !found->is_object() || found->empty() || found->size() > kMostEntries)
    return false;
  for (const auto& [name, value] : found->items()) {
    if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) || name.size() > kLongestTuningText)
      return false;
    schedule[name] = value.get<int64_t>();
  }
  return true;
}

Line readLine(std::string_view text, TunedSchedule& entry) {
  if (text.size() > kLongestLine)
    return Line::Bad;
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    return Line::Bad;
  auto version = json.find("v");
  if (version == json.end() || !version->is_number_integer())
    return Line::Bad;
  if (*version != kVersion)
    return Line::Foreign;
  bool isWhole = true;
  for (auto [name, field] : {std::pair("kernel", &TunedSchedule::kernel), std::pair("target", &TunedSchedule::target), std::pair("cpu", &TunedSchedule::cpu),
                             std::pair("sizes", &TunedSchedule::sizes), std::pair("kind", &TunedSchedule::kind), std::pair("layer", &TunedSchedule::layer),
                             std::pair("date", &TunedSchedule::date), std::pair("build", &TunedSchedule::build)})
    isWhole &= readText(json, name, entry.*field);
  auto ratio = json.find("ratio"), threads = json.find("threads");
  isWhole &= isKernelKey(entry.kernel) && readSchedule(json, entry.schedule);
  isWhole &= ratio != json.end() && ratio->is_number() && threads != json.end() && threads->is_number_integer();
  if (!isWhole)
    return Line::Bad;
  entry.ratio = ratio->get<double>();
  auto count = threads->get<int64_t>();
  entry.threads = static_cast<int>(count);
  return std::isfinite(entry.ratio) && entry.ratio > 0 && count >= 0 && count <= 1 << 20 ? Line::Entry : Line::Bad;
}

struct ParsedLine {
  std::string_view text; // without its end
  Line kind = Line::Bad;
  TunedSchedule entry;
  bool isReplaced = false; // by a later one
};

/// The whole lines; what is behind the last end is `rest`.
std::vector<ParsedLine> parseLines(std::string_view text, std::string_view& rest) {
  std::vector<ParsedLine> lines;
  std::map<std::tuple<std::string, std::string, std::string>, size_t> last; // (kernel, cpu, sizes)
  for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
    ParsedLine line{.text = text.substr(0, end), .entry = {}};
    if (line.text.empty())
      continue;
    line.kind = readLine(line.text, line.entry);
    if (line.kind == Line::Entry) {
      auto [known, isNew] = last.try_emplace({line.entry.kernel, line.entry.cpu, line.entry.sizes}, lines.size());
      if (!isNew)
        lines[std::exchange(known->second, lines.size())].isReplaced = true;
    }
    lines.push_back(std::move(line));
  }
  rest = text;
  return lines;
}

/// What a line begins with, whoever wrote it.
constexpr std::string_view kBegin = "{\"v\":";

/// Whether text without an end is what a writer that was killed leaves.
bool isTornLine(std::string_view rest) { return rest.starts_with(kBegin) || kBegin.starts_with(rest); }

std::string_view textOf(std::span<const uint8_t> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

//===--- the file ---===//

[[noreturn]] void fail(const fs::path& path, const char* doing, int code) {
  throw Error(Fault::System,
              fmt::format("{}: the tuning database cannot be {}: {}; name another file, or \"off\" for none", path.string(), doing, std::strerror(code)));
}

class Handle {
public:
  explicit Handle(int number = -1) : number_(number) {}
  ~Handle() {
    if (number_ >= 0)
      close(number_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  int number() const { return number_; }

private:
  int number_;
};

std::string readAll(int file, const fs::path& path) {
  struct stat about{};
  if (fstat(file, &about) != 0)
    fail(path, "read", errno);
  if (about.st_size > kLargestFile)
    throw Error(Fault::System,
                fmt::format("{}: a tuning database of {} bytes: more than {} is none of moec's; remove it", path.string(), about.st_size, kLargestFile));
  std::string text;
  char part[1 << 16];
  for (off_t place = 0;;) {
    ssize_t count = pread(file, part, sizeof(part), place);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      fail(path, "read", errno);
    if (count == 0)
      return text;
    text.append(part, static_cast<size_t>(count));
    place += count;
  }
}

/// The file, opened to write and held by this process alone until it is closed. Another process may have put a new file in its place while this one waited.
int openLocked(const fs::path& path) {
  for (;;) {
    int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0)
      fail(path, "opened", errno);
    while (flock(file, LOCK_EX) != 0)
      if (errno != EINTR) { // without a lock two writers would write over each other
        int code = errno;
        close(file);
        fail(path, "locked", code);
      }
    struct stat held{}, there{};
    if (fstat(file, &held) == 0 && stat(path.c_str(), &there) == 0 && held.st_ino == there.st_ino && held.st_dev == there.st_dev)
      return file;
    close(file);
  }
}

/// The same, in a folder that is made where there is none.
int openToAdd(const fs::path& path) {
  std::error_code code;
  if (path.has_parent_path())
    fs::create_directories(path.parent_path(), code);
  if (code)
    throw Error(Fault::System,
                fmt::format("{}: cannot make the folder: {}; name another file, or \"off\" for none", path.parent_path().string(), code.message()));
  return openLocked(path);
}

void writeAt(int file, std::string_view text, off_t place, const fs::path& path) {
  while (!text.empty()) {
    ssize_t count = pwrite(file, text.data(), text.size(), place);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      fail(path, "written", errno);
    text.remove_prefix(static_cast<size_t>(count));
    place += count;
  }
  if (fdatasync(file) != 0 && errno != EINVAL && errno != EROFS)
    fail(path, "written", errno);
}

/// All but entries that later ones replace: what says something else is nobody's to remove.
std::string compacted(std::string_view text) {
  std::string kept;
  std::string_view rest;
  for (const ParsedLine& line : parseLines(text, rest))
    if (!line.isReplaced)
      kept.append(line.text).append("\n");
  return kept;
}

/// Nothing is added to a file of something else: one with words, none of which is an entry.
void checkDatabase(std::string_view text, const fs::path& path) {
  std::string_view rest;
  std::vector<ParsedLine> lines = parseLines(text, rest);
  bool isOne = lines.empty() ? isTornLine(rest) : std::ranges::any_of(lines, [](const ParsedLine& line) { return line.kind != Line::Bad; });
  if (!isOne)
    throw Error(Fault::Data, path.string() + ": is no tuning database: none of its lines is an entry; name another file");
}

} // namespace

std::map<std::string, KernelSchedule> TuningContents::schedulesFor(const std::string& cpu) const {
  std::map<std::string, KernelSchedule> found;
  for (const TunedSchedule& entry : entries)
    if (entry.cpu == cpu)
      found[entry.kernel] = entry.schedule;
  return found;
}

TuningContents parseTuning(std::span<const uint8_t> bytes) {
  TuningContents contents;
  std::string_view rest;
  for (ParsedLine& line : parseLines(textOf(bytes), rest)) {
    contents.lines += line.kind == Line::Entry;
    contents.bad += line.kind == Line::Bad;
    contents.foreign += line.kind == Line::Foreign;
    if (line.kind == Line::Entry && !line.isReplaced)
      contents.entries.push_back(std::move(line.entry));
  }
  contents.isTorn = !rest.empty();
  return contents;
}

TuningContents TuningDatabase::read() const {
  Handle file(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)); // a pipe without a writer would wait
  if (file.number() < 0) {
    if (errno == ENOENT || errno == ENOTDIR)
      return {};
    fail(path_, "read", errno);
  }
  std::string text = readAll(file.number(), path_);
  return parseTuning({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

void TuningDatabase::prepare() const {
  Handle file(openToAdd(path_));
  checkDatabase(readAll(file.number(), path_), path_);
}

void TuningDatabase::append(const std::vector<TunedSchedule>& entries) const {
  if (entries.empty())
    return;
  std::string added;
  for (const TunedSchedule& entry : entries) {
    std::string line = lineOf(entry);
    TunedSchedule again;
    if (readLine(std::string_view(line).substr(0, line.size() - 1), again) != Line::Entry)
      throw Error(Fault::Internal, "internal: an entry of the tuning database that nobody could read: " + line);
    added += line;
  }
  Handle file(openToAdd(path_));
  std::string text = readAll(file.number(), path_);
  checkDatabase(text, path_);
  size_t whole = text.rfind('\n') + 1;                                            // 0 where there is no end
  if (whole < text.size() && !isTornLine(std::string_view(text).substr(whole))) { // somebody's words: they get an end
    whole = text.size();
    added.insert(0, "\n");
  }
  if (whole < text.size() && ftruncate(file.number(), static_cast<off_t>(whole)) != 0)
    fail(path_, "mended", errno);
  text.resize(whole);
  text += added;
  std::string kept = compacted(text);
  auto linesOf = [](const std::string& lines) { return std::count(lines.begin(), lines.end(), '\n'); };
  if (linesOf(text) > std::max<std::ptrdiff_t>(kFewestLines, 2 * linesOf(kept)))
    writeFileAtomically(path_, std::string_view(kept)); // the lock is of the old file: who waits for it looks again
  else
    writeAt(file.number(), added, static_cast<off_t>(whole), path_);
}

bool TuningDatabase::clear() const {
  if (unlink(path_.c_str()) == 0)
    return true;
  if (errno != ENOENT && errno != ENOTDIR)
    fail(path_, "removed", errno);
  return false;
}

} // namespace moec
