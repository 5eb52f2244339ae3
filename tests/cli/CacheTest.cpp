// The cache of programs and its folder, without the compiler: keys, damage, size, age.

#include "compiler/cli/CacheFolder.h"
#include "compiler/cli/ProgramCache.h"
#include "moec_build_id.h"
#include "runtime/core/Container.h"
#include "runtime/core/Error.h"
#include "tests/cli/Process.h"
#include "tests/cli/ScaleProgram.h"

#include <nlohmann/json.hpp>

#include <map>
#include <set>
#include <span>
#include <sys/stat.h>
#include <unistd.h>

using namespace moec;
using namespace moec::cli;
using namespace moec::test;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {

ProgramKey keyOf(const std::string& model, const CompileOptions& options = {}, const std::string& build = "b", const std::string& cpu = "c",
                 const std::string& file = "model.json") {
  return ProgramKey::of({reinterpret_cast<const uint8_t*>(model.data()), model.size()}, file, options, build, cpu);
}

std::string key(const std::string& model, const CompileOptions& options = {}, const std::string& build = "b", const std::string& cpu = "c",
                const std::string& file = "model.json") {
  return keyOf(model, options, build, cpu, file).digest();
}

TEST(ProgramCacheKey, EverythingThatChangesTheProgramChangesIt) {
  std::set<std::string> keys{key("m"),
                             key("n"),
                             key("m", {}, "other build"),
                             key("m", {}, "b", "other cpu"),
                             key("m", {}, "b", "c", "other.json"),
                             key("m", {.targets = {"cpu"}}),
                             key("m", {.targets = {"cpu", "cpu"}}),
                             key("m", {.drawsAsInputs = true}),
                             key("m", {.checkSizes = true}),
                             key("m", {.debugInfo = true}),
                             key("m", {.invariant = true}),
                             key("m", {.moefy = "experts=4"}),
                             key("m", {.train = true}),
                             key("m", {.train = true, .statistics = true}),
                             key("m", {.record = true}),
                             key("m", {.replay = true}),
                             key("m", {.evaluate = true}),
                             key("m", {.statistics = true, .evaluate = true}),
                             key("m", {.train = true, .ema = 0.5}),
                             key("m", {.train = true, .ema = 0.75}),
                             key("m", {.schedules = {{"kernel", {{"block", 8}}}}}),
                             key("m", {.schedules = {{"kernel", {{"block", 16}}}}}),
                             key("m", {.let = {{"dim", 1}}}),
                             key("m", {.let = {{"dim", 2}}}),
                             key("m", {.let = {{"dimm", 1}}})};
  EXPECT_EQ(keys.size(), 25u);
  CompileOptions converted;
  for (const char* as : {"bf16", "int8", "int8:64"}) {
    converted.weightsAs = as;
    EXPECT_TRUE(keys.insert(key("m", converted)).second) << as;
  }
  EXPECT_EQ(key("m"), key("m"));
  // Fields do not run into each other.
  EXPECT_NE(key("m", {}, "bc", "c"), key("m", {}, "b", "cc"));
  EXPECT_NE(key("m", {.targets = {"ab", "c"}}), key("m", {.targets = {"a", "bc"}}));
}

TEST(ProgramCacheKey, GoesThroughJsonUnchanged) {
  ProgramKey whole = keyOf("m", {.targets = {"cpu", "cuda:sm_90a"}, .drawsAsInputs = true, .let = {{"dim", 3}}});
  EXPECT_EQ(ProgramKey::fromJson(whole.toJson(), "here"), whole);
  EXPECT_EQ(keyOf("m", {}, "b", "c", "\xff.json").toJson().dump(), ProgramKey::fromJson(keyOf("m", {}, "b", "c", "\xff.json").toJson(), "").toJson().dump());
  for (const char* field : {"model", "file", "options", "build", "cpu"}) {
    auto json = whole.toJson();
    json.erase(field);
    EXPECT_THROW(ProgramKey::fromJson(json, "here"), Error) << field;
  }
}

TEST(ProgramCacheKey, DifferencesAreSaidOneByOne) {
  EXPECT_THAT(differences(keyOf("m"), keyOf("m")), ElementsAre());
  EXPECT_THAT(differences(keyOf("m"), keyOf("n")), ElementsAre("the file's bytes changed since the entry was made"));
  EXPECT_THAT(differences(keyOf("m", {.targets = {"cpu"}}), keyOf("m", {.moefy = "experts=4"})),
              ElementsAre("--moefy: not given for the entry, experts=4 now", "--target: cpu for the entry, not given now"));
  EXPECT_THAT(differences(keyOf("m", {}, "old"), keyOf("m", {}, "new")), ElementsAre("another build of moec: old made the entry, this is new"));
  EXPECT_THAT(differences(keyOf("m", {}, "b", "zen"), keyOf("m", {.debugInfo = true}, "b", "atom")),
              ElementsAre("-g: not given for the entry, given now", HasSubstr("another CPU")));
}

TEST(ProgramCacheKey, TheCpuIsTheSameOnEveryCore) {
  std::string first = hostCpu();
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(hostCpu(), first);
}

TEST(CacheSizes, AreBytesWithAUnit) {
  EXPECT_EQ(parseBytes("0", "x"), 0);
  EXPECT_EQ(parseBytes("12", "x"), 12);
  EXPECT_EQ(parseBytes("3K", "x"), 3072);
  EXPECT_EQ(parseBytes("4G", "x"), int64_t{4} << 30);
  EXPECT_EQ(parseDuration("30d", "x"), std::chrono::hours(720));
  EXPECT_EQ(parseDuration("90m", "x"), std::chrono::seconds(5400));
  for (const char* wrong : {"", "G", "-1", "1.5G", "4 G", "4GB", "9999999999999T", "99999999999999999999"})
    EXPECT_THROW(parseBytes(wrong, "x"), Error) << wrong;
  for (const char* wrong : {"", "30", "d", "-1d", "3w", "99999999999999d", "40000d"})
    EXPECT_THROW(parseDuration(wrong, "x"), Error) << wrong;
}

class Cache : public CommandTest {
protected:
  /// A file of a kind of entry, used so long ago.
  fs::path entry(const std::string& name, size_t bytes, int secondsAgo) const {
    fs::path file = folder / "cache" / "moec" / name;
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << std::string(bytes, 'x');
    timespec times[2]{};
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= secondsAgo;
    times[1] = times[0];
    EXPECT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
    return file;
  }
  CacheFolder cacheFolder() const { return CacheFolder(folder / "cache" / "moec"); }
};

TEST_F(Cache, ADamagedEntryIsAMiss) {
  ProgramCache cache(folder / "programs");
  ProgramKey k = keyOf("m");
  EXPECT_FALSE(cache.find(k).program);
  EXPECT_EQ(cache.find(k).damage, "");
  cache.store(k, "model.json", scaleProgram());
  ASSERT_TRUE(cache.find(k).program);
  EXPECT_EQ(cache.find(k).program->bytes(), scaleProgram().bytes());
  std::string whole = slurp(cache.entry(k));
  for (size_t size = 0; size < whole.size(); size += 97) {
    std::ofstream(cache.entry(k), std::ios::binary) << whole.substr(0, size);
    EXPECT_FALSE(cache.find(k).program) << size;
    EXPECT_NE(cache.find(k).damage, "") << size;
  }
  for (size_t i = 0; i < whole.size(); i += 101) {
    std::string flipped = whole;
    flipped[i] ^= 1;
    std::ofstream(cache.entry(k), std::ios::binary) << flipped;
    EXPECT_FALSE(cache.find(k).program) << i;
  }
  // A whole entry in another's place.
  cache.store(keyOf("n"), "model.json", scaleProgram());
  fs::copy_file(cache.entry(keyOf("n")), cache.entry(k), fs::copy_options::overwrite_existing);
  EXPECT_THAT(cache.find(k).damage, HasSubstr("the entry of another program"));
}

TEST_F(Cache, ARunFromItNeedsNoCompiler) {
  std::string model = file("model.json", "{\"this\": \"would not compile\"}");
  std::string rows = file("x.json", "[[1, 2, 3]]");
  ProgramCache cache(cacheFolder().programs());
  std::string content = slurp(model);
  ProgramKey k = keyOf(content, {}, sourceId(), hostCpu());
  cache.store(k, model, scaleProgram());
  Outcome outcome = moec({"run", model, "--init", "0", "--input", "x=" + rows});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "y f32[1, 3]\n[0]  1  2  3\n");
  EXPECT_THAT(moec({"cache", "explain", model}).out, testing::StartsWith("hit: " + cache.entry(k).string()));
  // Another option, or no cache, means compiling, which this model does not survive.
  EXPECT_NE(moec({"run", model, "--init", "0", "--input", "x=" + rows, "--no-cache"}).code, 0);
  EXPECT_NE(moec({"run", model, "--init", "0", "--input", "x=" + rows, "--moefy", "experts=4"}).code, 0);
}

TEST_F(Cache, WhatWasUsedLeastGoesFirst) {
  fs::path old = entry("programs/a.program", 100, 300), middle = entry("kernels/b.kernel", 50, 200), young = entry("programs/c.program", 100, 100);
  fs::path other = entry("programs/notes.txt", 1000, 1000), dead = entry("kernels/d.kernel.1-0.part", 10, 7200),
           alive = entry("kernels/e.kernel.1-0.part", 10, 5);
  EXPECT_EQ(cacheFolder().shrinkTo(250).bytes, 0);
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_TRUE(fs::exists(alive));
  CacheFolder::Removed removed = cacheFolder().shrinkTo(249);
  EXPECT_EQ(removed.programs, 1);
  EXPECT_EQ(removed.kernels, 0);
  EXPECT_EQ(removed.bytes, 100);
  EXPECT_FALSE(fs::exists(old));
  markUsed(middle); // now the latest
  EXPECT_EQ(cacheFolder().shrinkTo(100).programs, 1);
  EXPECT_FALSE(fs::exists(young));
  EXPECT_TRUE(fs::exists(middle));
  EXPECT_EQ(cacheFolder().shrinkTo(0).kernels, 1);
  EXPECT_TRUE(fs::exists(other)); // none of ours
}

TEST_F(Cache, AUseIsMarked) {
  ProgramCache cache(cacheFolder().programs());
  cache.store(keyOf("m"), "model.json", scaleProgram());
  fs::path file = cache.entry(keyOf("m"));
  timespec old[2]{{1000, 0}, {1000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), old, 0), 0);
  auto seconds = [&] { return std::chrono::system_clock::to_time_t(cacheFolder().files().at(0).used); };
  EXPECT_TRUE(cache.peek(keyOf("m")).program);
  EXPECT_EQ(seconds(), 1000);
  EXPECT_TRUE(cache.find(keyOf("m")).program);
  EXPECT_GT(seconds(), 1000000);
}

TEST_F(Cache, ListAndClearSayWhatTheyFindAndRemove) {
  EXPECT_THAT(moec({"cache", "list"}).out, HasSubstr("0 entries, 0 B of 4.00 GiB"));
  ProgramCache(cacheFolder().programs()).store(keyOf("m"), folder / "model.json", scaleProgram());
  fs::path damaged = entry("kernels/b.kernel", 50, 7200);
  Outcome table = moec({"cache", "list", "--cache-limit", "1M"});
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("2 entries"));
  EXPECT_THAT(table.out, HasSubstr("of 1.00 MiB"));
  EXPECT_THAT(table.out, HasSubstr("1 damaged"));
  environment = {{"MOEC_CACHE_LIMIT", "2K"}};
  auto json = nlohmann::json::parse(moec({"cache", "list", "--json"}).out);
  EXPECT_EQ(json["limit"], 2048);
  ASSERT_EQ(json["entries"].size(), 2u);
  EXPECT_EQ(json["entries"][0]["kind"], "program");
  EXPECT_EQ(json["entries"][0]["name"], scaleProgram().name());
  EXPECT_EQ(json["entries"][0]["target"], scaleProgram().data().plans[0].target);
  EXPECT_EQ(json["entries"][1]["kind"], "kernel");
  EXPECT_EQ(json["entries"][1]["path"], damaged.string());
  EXPECT_THAT(json["entries"][1]["damage"].get<std::string>(), HasSubstr("b.kernel"));
  Outcome cleared = moec({"cache", "clear", "--older-than", "1h"});
  EXPECT_THAT(cleared.out, HasSubstr("removed 0 programs and 1 kernel, 50 B, from "));
  EXPECT_FALSE(fs::exists(damaged));
  EXPECT_THAT(moec({"cache", "list"}).out, HasSubstr(": 1 entry, "));
  auto all = nlohmann::json::parse(moec({"cache", "clear", "--json"}).out);
  EXPECT_EQ(all["programs"], 1);
  EXPECT_EQ(nlohmann::json::parse(moec({"cache", "list", "--json"}).out)["entries"].size(), 0u);
}

TEST_F(Cache, ClearingSaysWhatCannotBeRemoved) {
  fs::path kernel = entry("kernels/b.kernel", 50, 7200), program = entry("programs/a.program", 50, 7200);
  constexpr auto kWriting = fs::perms::owner_write | fs::perms::group_write | fs::perms::others_write;
  fs::permissions(kernel.parent_path(), kWriting, fs::perm_options::remove);
  fs::permissions(program.parent_path(), fs::perms::all);
  constexpr uid_t kNobody = 65534; // what root may write is not read-only
  bool isRoot = geteuid() == 0;
  if (isRoot && seteuid(kNobody) != 0)
    GTEST_SKIP() << "[SKIP] root that may not become another user can write every folder";
  std::string message;
  try {
    cacheFolder().clear(std::chrono::system_clock::time_point::max());
  } catch (const Error& error) {
    message = error.what();
  }
  if (isRoot)
    ASSERT_EQ(seteuid(0), 0);
  fs::permissions(kernel.parent_path(), fs::perms::owner_all);
  EXPECT_THAT(message, HasSubstr("1 of the cache's entries cannot be removed: " + kernel.string() + ": Permission denied"));
  EXPECT_TRUE(fs::exists(kernel));
  EXPECT_FALSE(fs::exists(program));
}

TEST_F(Cache, EntriesOfAnotherVersionAreNotDamaged) {
  ProgramCache programs(cacheFolder().programs());
  programs.store(keyOf("m", {}, sourceId()), folder / "model.json", scaleProgram());
  programs.store(keyOf("m", {}, "0.0.9-older"), folder / "model.json", scaleProgram());
  auto kernel = [&](const std::string& name, const std::vector<std::pair<std::string, std::string>>& sections) {
    std::vector<Container::Section> list;
    for (const auto& [section, text] : sections)
      list.push_back({section, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}});
    std::vector<uint8_t> bytes = Container::write(list);
    fs::path file = entry("kernels/" + name, 0, 100);
    std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return file;
  };
  auto keyOfKernel = [](const std::string& build) { return fmt::format("11:moec kernel\n{}:{}\n6:22.1.0\n4:body\n", build.size(), build); };
  std::string launch = R"({"symbol": "rows_1", "target": "cpu:x86-64-v3"})";
  kernel("a.kernel", {{"key", keyOfKernel(sourceId())}, {"launch", launch}, {"image", "i"}});
  kernel("b.kernel", {{"key", keyOfKernel("0.0.9-older")}, {"launch", launch}, {"image", "i"}});
  kernel("c.kernel", {{"words", "of a form that was never known"}});
  fs::path newer = kernel("d.kernel", {{"key", keyOfKernel(sourceId())}});
  std::fstream(newer, std::ios::in | std::ios::out | std::ios::binary).seekp(8).put(9); // the container's version
  entry("kernels/e.kernel", 50, 100);                                                   // no container at all
  std::map<std::string, nlohmann::json> entries;
  auto listed = nlohmann::json::parse(moec({"cache", "list", "--json"}).out);
  for (const auto& found : listed["entries"])
    entries[found["kind"] == "kernel"           ? fs::path(found["path"].get<std::string>()).filename().string()
            : found["this_version"].get<bool>() ? "new"
                                                : "old"] = found;
  ASSERT_EQ(entries.size(), 7u);
  for (const auto& [name, isOfThis] : {std::pair("new", true), std::pair("old", false), std::pair("a.kernel", true), std::pair("b.kernel", false),
                                       std::pair("c.kernel", false), std::pair("d.kernel", false), std::pair("e.kernel", false)}) {
    ASSERT_TRUE(entries.contains(name)) << name;
    EXPECT_EQ(entries[name]["this_version"], isOfThis) << name;
    EXPECT_EQ(entries[name].contains("damage"), name == std::string("e.kernel")) << name;
  }
  std::string table = moec({"cache", "list"}).out;
  EXPECT_THAT(table, HasSubstr("(of another version) rows_1"));
  EXPECT_THAT(table, HasSubstr("(of another version) c.kernel"));
  EXPECT_THAT(table, HasSubstr("4 of another version of moec"));
  EXPECT_THAT(table, HasSubstr("(damaged) e.kernel"));
  EXPECT_THAT(table, HasSubstr("1 damaged"));
}

TEST_F(Cache, MistakesAreSaid) {
  expectFailure({"cache"}, 2, "");
  expectFailure({"cache", "clear", "--older-than", "soon"}, 2, "--older-than: expected a duration, as 90s, 12h or 30d; found \"soon\"");
  expectFailure({"cache", "list", "--cache-limit", "4GB"}, 2, "--cache-limit: expected a number of bytes, as 500M or 4G; found \"4GB\"");
  environment = {{"MOEC_CACHE_LIMIT", "much"}};
  expectFailure({"cache", "list"}, 2, "MOEC_CACHE_LIMIT: expected");
  expectFailure({"cache", "explain", path("absent.json")}, 1, "absent.json");
}

} // namespace
