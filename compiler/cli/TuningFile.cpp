#include "compiler/cli/TuningFile.h"

#include "compiler/cli/CacheFolder.h"
#include "compiler/cli/Table.h"
#include "runtime/core/CpuTarget.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace moec::cli {

namespace fs = std::filesystem;

namespace {

struct Named {
  std::string value; // empty: nobody says
  const char* by = "--tuning";
};

Named named(const std::string& flag) {
  if (!flag.empty())
    return {flag};
  const char* variable = std::getenv("MOEC_TUNING");
  return {variable ? variable : "", "MOEC_TUNING"};
}

fs::path usualFile() {
  fs::path folder = userCacheFolder();
  return folder.empty() ? fs::path() : CacheFolder(folder).tuning();
}

std::string linesAre(int count) { return counted(count, "line is", "lines are"); }

} // namespace

fs::path tuningFile(const std::string& flag) {
  if (std::string value = named(flag).value; !value.empty())
    return value == "off" ? fs::path() : fs::path(value);
  return usualFile();
}

bool isUsualTuningFile(const fs::path& file) { return !file.empty() && file.lexically_normal() == usualFile().lexically_normal(); }

fs::path tuningToAddTo(const std::string& flag) {
  fs::path file = tuningFile(flag);
  std::error_code code;
  if (Named who = named(flag); fs::is_directory(file, code) && !who.value.empty())
    throw Error(Fault::Usage, fmt::format("{} {}: it is a folder; name a file, or \"off\"", who.by, who.value));
  return file;
}

fs::path tuningToRead(const std::string& flag) {
  fs::path file = tuningToAddTo(flag);
  std::error_code code;
  Named who = named(flag);
  if (file.empty() || fs::exists(file, code))
    return file;
  if (!who.value.empty())
    throw Error(Fault::Usage, fmt::format("{} {}: there is no such file; `moec tune` makes one, and \"off\" leaves tuning alone", who.by, who.value));
  return {};
}

std::string tuningWords(const TuningContents& contents) {
  std::string cpu = cpuModel();
  auto own = std::ranges::count(contents.entries, cpu, &TunedSchedule::cpu);
  std::string words = fmt::format("{}, {} of them for this CPU", counted(std::ssize(contents.entries), "tuned schedule"), own);
  if (contents.bad > 0)
    words += fmt::format("; {} no {} and {} passed over", linesAre(contents.bad), contents.bad == 1 ? "entry" : "entries", contents.bad == 1 ? "is" : "are");
  if (contents.foreign > 0)
    words += fmt::format("; {} of another version of moec", linesAre(contents.foreign));
  if (contents.isTorn)
    words += "; the last line has no end: whoever adds to the file mends it";
  return words;
}

} // namespace moec::cli
