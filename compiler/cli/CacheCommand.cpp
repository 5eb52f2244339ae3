#include "compiler/cli/CacheFolder.h"
#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/OpenProgram.h"
#include "compiler/cli/Options.h"
#include "compiler/cli/ProgramCache.h"
#include "compiler/cli/Table.h"
#include "compiler/cli/TuningFile.h"
#include "moec_build_id.h"
#include "runtime/core/Container.h"
#include "runtime/core/Error.h"
#include "runtime/core/TuningDatabase.h"
#include "runtime/io/MappedFile.h"

#include <CLI/CLI.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <memory>

namespace moec::cli {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::system_clock;

struct CacheFlags : CommonOptions {
  std::string olderThan;
  bool drawsAsInputs = false, record = false, replay = false, inputGradients = false;
  bool clearsTuning = false;
};

CacheFolder userCache() {
  fs::path folder = userCacheFolder();
  if (folder.empty())
    throw Error(Fault::Usage, "there is no cache: neither XDG_CACHE_HOME nor HOME names a folder");
  return CacheFolder(folder);
}

std::string timeText(Clock::time_point time) { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(Clock::to_time_t(time))); }

/// "3 d", "5 h", "12 min", "40 s".
std::string ageText(Clock::time_point time) {
  auto seconds = std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - time).count());
  if (seconds < 120)
    return fmt::format("{} s", seconds);
  if (seconds < 7200)
    return fmt::format("{} min", seconds / 60);
  return seconds < 172800 ? fmt::format("{} h", seconds / 3600) : fmt::format("{} d", seconds / 86400);
}

/// What an entry is of, and which version of moec made it; a damaged one says what is wrong with it.
struct Description {
  std::string name, target;
  std::string build; // sourceId() of its moec; empty where this one cannot read that
  std::string damage;

  bool isOfAnotherVersion() const { return damage.empty() && build != sourceId(); }
};

/// The field `number` of those that KernelCache leads by their lengths: "11:moec kernel\n".
std::string fieldOf(std::string_view text, int number) {
  for (; !text.empty(); --number) {
    size_t colon = text.find(':'), length = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + std::min(colon, text.size()), length);
    if (colon == std::string_view::npos || error != std::errc{} || length > text.size() - colon - 1)
      break;
    if (number == 0)
      return std::string(text.substr(colon + 1, length));
    text.remove_prefix(std::min(colon + 2 + length, text.size()));
  }
  return {};
}

Description describeKernel(const Container& container) {
  const Container::Section *launch = container.find("launch"), *key = container.find("key");
  if (!launch || !key)
    return {};
  Json json = Json::parse(launch->bytes.begin(), launch->bytes.end());
  return {json.at("symbol"), json.at("target"), fieldOf({reinterpret_cast<const char*>(key->bytes.data()), key->bytes.size()}, 1), {}};
}

Description describe(const CacheFile& file) {
  std::string where = file.path.string();
  try {
    MappedFile bytes = MappedFile::open(file.path);
    if (Container::isOfAnotherVersion(bytes.bytes()))
      return {};
    Container container = Container::parse(bytes.bytes(), where);
    try { // what is whole, and says something else, was written by another version
      if (file.kind == CacheFile::Kind::Kernel)
        return describeKernel(container);
      ProgramEntry entry = programEntryOf(container, where);
      return {entry.name, fmt::format("{}", fmt::join(entry.targets, ",")), entry.key.build, {}};
    } catch (const std::exception&) {
      return {};
    }
  } catch (const std::exception& error) {
    return {{}, {}, {}, error.what()};
  }
}

std::string nameInTable(const Description& about, const CacheFile& file) {
  std::string name = about.name.empty() ? file.path.filename().string() : about.name;
  return (!about.damage.empty() ? "(damaged) " : about.isOfAnotherVersion() ? "(of another version) " : "") + name;
}

const char* kindWord(CacheFile::Kind kind) { return kind == CacheFile::Kind::Program ? "program" : "kernel"; }

/// The tuning database beside the caches, and why it cannot be read.
struct FoundTuning {
  TuningContents contents;
  std::string damage;
};

/// Nothing where there is none.
std::optional<FoundTuning> tuningIn(const CacheFolder& cache) {
  std::error_code code;
  if (!fs::exists(cache.tuning(), code))
    return std::nullopt;
  try {
    return FoundTuning{TuningDatabase(cache.tuning()).read(), {}};
  } catch (const Error& error) {
    return FoundTuning{{}, error.what()};
  }
}

Json tuningJson(const FoundTuning& found, const fs::path& path) {
  const TuningContents& tuning = found.contents;
  Json json{
      {"path", path.string()}, {"schedules", tuning.entries.size()}, {"bad_lines", tuning.bad}, {"foreign_lines", tuning.foreign}, {"torn", tuning.isTorn}};
  if (!found.damage.empty())
    json["damage"] = found.damage;
  return json;
}

void listCache(const CacheFlags& flags) {
  CacheFolder cache = userCache();
  int64_t limit = cacheLimit(flags.cacheLimit), total = 0, damaged = 0, others = 0;
  std::vector<CacheFile> files = cache.files();
  std::ranges::reverse(files); // the latest first
  Table table({"kind", "name", "target", ">size", ">last used"});
  Json entries = Json::array();
  for (const CacheFile& file : files) {
    Description about = describe(file);
    total += file.bytes;
    damaged += !about.damage.empty();
    others += about.isOfAnotherVersion();
    table.add({kindWord(file.kind), nameInTable(about, file), about.target, shortBytes(static_cast<double>(file.bytes)), ageText(file.used) + " ago"});
    Json entry{{"kind", kindWord(file.kind)},
               {"name", about.name},
               {"target", about.target},
               {"bytes", file.bytes},
               {"last_used", timeText(file.used)},
               {"path", file.path.string()},
               {"this_version", about.damage.empty() && !about.isOfAnotherVersion()}};
    if (!about.damage.empty())
      entry["damage"] = about.damage;
    entries.push_back(std::move(entry));
  }
  auto tuning = tuningIn(cache);
  if (flags.json) {
    Json json{{"folder", cache.path().string()}, {"bytes", total}, {"limit", limit}, {"entries", entries}};
    json["tuning"] = tuning ? tuningJson(*tuning, cache.tuning()) : Json(nullptr);
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
    return;
  }
  if (!files.empty())
    fmt::print("{}\n", table.str());
  fmt::print("{}: {}, {} of {}\n", cache.path().string(), counted(std::ssize(files), "entry", "entries"), shortBytes(static_cast<double>(total)),
             shortBytes(static_cast<double>(limit)));
  if (tuning && !tuning->damage.empty())
    fmt::print("{}\n", tuning->damage);
  else if (tuning)
    fmt::print("{}: {}; no part of the caches, `moec cache clear --tuning` removes it\n", cache.tuning().string(), tuningWords(tuning->contents));
  if (others > 0)
    fmt::print("{} of another version of moec: this one makes its own; `moec cache clear` removes all\n", others);
  if (damaged > 0)
    fmt::print("{} damaged: whoever needs one compiles it again\n", damaged);
}

void clearCache(const CacheFlags& flags) {
  CacheFolder cache = userCache();
  auto before = flags.olderThan.empty() ? Clock::time_point::max() : Clock::now() - parseDuration(flags.olderThan, "--older-than");
  CacheFolder::Removed removed = cache.clear(before);
  bool hadTuning = flags.clearsTuning && TuningDatabase(cache.tuning()).clear();
  if (flags.json) {
    Json json{{"folder", cache.path().string()}, {"programs", removed.programs}, {"kernels", removed.kernels}, {"bytes", removed.bytes}, {"tuning", hadTuning}};
    fmt::print("{}\n", json.dump(-1, ' ', false, Json::error_handler_t::replace));
    return;
  }
  fmt::print("removed {} and {}, {}, from {}\n", counted(removed.programs, "program"), counted(removed.kernels, "kernel"),
             shortBytes(static_cast<double>(removed.bytes)), cache.path().string());
  if (hadTuning)
    fmt::print("removed the tuned schedules, {}\n", cache.tuning().string());
}

/// The entry that is most like the key: of the same file, the same name or the same bytes, with the fewest differences; of two, the one used last.
std::optional<std::pair<ProgramEntry, CacheFile>> nearest(const CacheFolder& cache, const ProgramKey& key, const fs::path& model) {
  std::optional<std::pair<ProgramEntry, CacheFile>> best;
  auto rank = [&](const ProgramEntry& entry, const CacheFile& file) {
    return std::tuple(entry.model != model.string(), differences(entry.key, key).size(), -file.used.time_since_epoch().count());
  };
  for (const CacheFile& file : cache.files()) {
    if (file.kind != CacheFile::Kind::Program)
      continue;
    try {
      ProgramEntry entry = readProgramEntry(file.path);
      bool related = entry.model == model.string() || entry.key.file == key.file || entry.key.model == key.model;
      if (related && (!best || rank(entry, file) < rank(best->first, best->second)))
        best = std::pair(std::move(entry), file);
    } catch (const Error&) { // damaged or gone: tells nothing
    }
  }
  return best;
}

void explainCache(const CacheFlags& flags) {
  if (isProgramFile(flags.file))
    throw Error(Fault::Usage, fmt::format("{} is compiled already: only what is compiled from models is cached", flags.file.string()));
  CacheFolder cache = userCache();
  CompileOptions options{.drawsAsInputs = flags.drawsAsInputs, .inputGradients = flags.inputGradients, .record = flags.record, .replay = flags.replay};
  addModelOptions(flags, options);
  ProgramKey key = ProgramKey::of(MappedFile::open(flags.file).bytes(), flags.file.filename().string(), options, sourceId(), hostCpu());
  ProgramCache programs(cache.programs());
  auto [program, damage] = programs.peek(key);
  std::vector<std::string> reasons;
  std::string of;
  if (!program && !damage.empty()) {
    reasons.push_back("the entry is damaged: " + damage);
  } else if (!program) {
    if (auto found = nearest(cache, key, fs::absolute(flags.file).lexically_normal())) {
      reasons = differences(found->first.key, key);
      of = fmt::format("the nearest entry is of {}, last used {}", found->first.model, timeText(found->second.used));
    } else {
      reasons.push_back("there is no entry of this model: it was not compiled with this cache, or its entry has been removed since");
    }
  }
  if (flags.json) {
    Json json{{"model", flags.file.string()}, {"result", program ? "hit" : "miss"}, {"entry", programs.entry(key).string()}, {"reasons", reasons}};
    fmt::print("{}\n", json.dump(-1, ' ', false, Json::error_handler_t::replace));
    return;
  }
  fmt::print("{}: {}\n", program ? "hit" : "miss", programs.entry(key).string());
  if (!of.empty())
    fmt::print("  {}\n", of);
  for (const std::string& reason : reasons)
    fmt::print("  {}\n", reason);
}

} // namespace

void addCacheCommand(CLI::App& app) {
  auto flags = std::make_shared<CacheFlags>();
  CLI::App* command = addSubcommand(app, "cache", "Show, explain and clear the caches of compiled programs and kernels");
  command->require_subcommand(1);
  CLI::App* list = addSubcommand(*command, "list", "List what lies in the caches, what was used last first, and look for damage");
  addOption(*list, "--cache-limit", flags->cacheLimit, "the limit to show (default: $MOEC_CACHE_LIMIT, or 4G)")->type_name("SIZE");
  addJsonFlag(*list, *flags);
  list->callback([flags] { listCache(*flags); });

  CLI::App* clear = addSubcommand(*command, "clear", "Remove what lies in the caches: it costs nothing but the time to compile again");
  addOption(*clear, "--older-than", flags->olderThan, "only what was not used for so long, as 90m, 12h or 30d")->type_name("AGE");
  addFlag(*clear, "--tuning", flags->clearsTuning, "and the schedules that `moec tune` measured and keeps beside the caches, which cost minutes to find again")
      ->excludes("--older-than");
  addJsonFlag(*clear, *flags);
  clear->callback([flags] { clearCache(*flags); });

  CLI::App* explain = addSubcommand(*command, "explain", "Say whether compiling a model would be a hit, and why not");
  addModelFlags(*explain, *flags);
  addWeightsAsFlag(*explain, *flags);
  addFlag(*explain, "--draws-as-inputs", flags->drawsAsInputs, "as for compile");
  addFlag(*explain, "--record", flags->record, "as for compile");
  addFlag(*explain, "--replay", flags->replay, "as for compile");
  addNonFiniteFlag(*explain, *flags);
  addTrainFlags(*explain, *flags, "as for compile");
  addEmaFlag(*explain, *flags);
  addEvaluateFlags(*explain, *flags, "as for compile");
  addContextFlags(*explain, *flags, "as for compile");
  addFlag(*explain, "--input-gradients", flags->inputGradients, "as for compile")->needs("--train");
  addJsonFlag(*explain, *flags);
  explain->callback([flags] { explainCache(*flags); });
  Example listing{"what lies there, and what it takes", "moec cache list"}, clearing{"what was not used for a month goes", "moec cache clear --older-than 30d"},
      explaining{"why a model is compiled again", "moec cache explain models/zoo/vit-moe.json"};
  addExamples(*list, {listing});
  addExamples(*clear, {clearing});
  addExamples(*explain, {explaining});
  addExamples(*command, {listing, clearing, explaining});
}

} // namespace moec::cli
