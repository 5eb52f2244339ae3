// `moec tune`, and what other commands make of the database that it keeps. No assertion depends on what turned out faster.

#include "compiler/cli/tune/Match.h"
#include "compiler/cli/tune/Search.h"
#include "compiler/cli/tune/TuneEntries.h"
#include "runtime/core/CpuTarget.h"
#include "runtime/core/TuningDatabase.h"
#include "tests/cli/CacheOfModels.h"

#include <fcntl.h>
#include <sstream>
#include <sys/file.h>
#include <unistd.h>

using namespace moec::test;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

namespace {

const std::string kLayer = R"({"name": "layer", "inputs": {"x": {"shape": ["batch", 16]}, "label": {"shape": ["batch"], "dtype": "i64", "for": "loss"}},
  "model": [{"kind": "layer_norm"}, {"kind": "linear", "out": 32}, {"kind": "layer_norm"}, {"kind": "linear", "out": 3, "name": "scores"}],
  "loss": {"kind": "cross_entropy", "scores": "scores", "labels": "label"}, "check": {"batch": 256}})";

class Tune : public CommandTest {
protected:
  std::string model;
  fs::path database = folder / "cache/moec/tuning.jsonl";

  void SetUp() override {
    CommandTest::SetUp();
    model = file("layer.json", kLayer);
  }

  json tuned(const std::string& budget, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"tune", model, "--json", "--quiet", "--budget", budget};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Outcome outcome = moec(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out);
  }
  std::vector<json> launches(std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"explain", model, "--json", "--target", "cpu"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Outcome outcome = moec(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    std::vector<json> all;
    std::istringstream lines(outcome.out);
    for (std::string line; std::getline(lines, line);)
      all.push_back(json::parse(line));
    return all;
  }
  static int tunedLaunches(const std::vector<json>& launches, const std::string& list = "forward") {
    return static_cast<int>(std::ranges::count_if(launches, [&](const json& launch) { return launch["list"] == list && launch["chosen_by"] == "tuning"; }));
  }

  /// As if another schedule of the model's norm had been measured.
  void writeEntry(const fs::path& to, int64_t factor = 2) const {
    json result = tuned("0s", {"--tuning", "off"});
    for (const json& kernel : result["kernels"])
      if (kernel["kind"] == "rows") {
        moec::KernelSchedule schedule = kernel["cost_model"];
        schedule.at("block") *= factor;
        moec::TuningDatabase(to).append({{.kernel = kernel["kernel"],
                                          .target = result["target"],
                                          .cpu = moec::cpuModel(),
                                          .sizes = kernel["sizes"],
                                          .schedule = schedule,
                                          .ratio = 0.5,
                                          .threads = 1,
                                          .kind = "rows",
                                          .layer = "",
                                          .date = "",
                                          .build = ""}});
        return;
      }
    FAIL() << "the model has no kernel of kind rows: " << result;
  }
};

/// A kernel as a search of one size leaves it.
moec::cli::TunedKernel kernelOf(const std::string& key, int64_t block, bool isRefuted, const std::string& sizes = "batch=8") {
  moec::cli::TunedKernel kernel;
  kernel.key = key;
  kernel.sizes = sizes;
  kernel.model = {{"block", 8}};
  kernel.tuned = {{"block", block}};
  kernel.isRefuted = isRefuted;
  return kernel;
}

TEST(TuneEntries, OnlyWhatWasRefutedAtItsSizesIsTakenBack) {
  auto known = [](const std::string& key, const std::string& sizes, const std::string& cpu = moec::cpuModel()) {
    moec::TunedSchedule entry;
    entry.kernel = key;
    entry.cpu = cpu;
    entry.sizes = sizes;
    entry.schedule = {{"block", 32}};
    return entry;
  };
  moec::TuningContents before;
  before.entries = {known("refuted", "batch=1"),     known("refuted", "batch=8"),     known("unfinished", "batch=8"),
                    known("other sizes", "batch=8"), known("other sizes", "batch=1"), known("other cpu", "batch=8", "Another"),
                    known("better", "batch=1")};
  moec::cli::TuneResult result;
  result.kernels = {kernelOf("refuted", 8, true),  kernelOf("unfinished", 8, false), kernelOf("other sizes", 8, true), kernelOf("other cpu", 8, true),
                    kernelOf("better", 64, false), kernelOf("new", 16, false),       kernelOf("unknown", 8, false)};
  std::vector<std::string> written;
  for (const moec::TunedSchedule& entry : entriesOf(result, before, 2))
    written.push_back(entry.kernel + " " + std::to_string(entry.schedule.at("block")) + " " + entry.sizes);
  EXPECT_THAT(written, testing::ElementsAre("refuted 8 batch=8", "better 64 batch=8", "new 16 batch=8"));
}

TEST(TuneSearch, LargeKernelsComeFirst) {
  EXPECT_THAT(moec::cli::largeOnes({{"long", 5e-3}, {"small share", 49e-6}, {"its share", 60e-6}}), testing::ElementsAre("its share", "long"));
  EXPECT_THAT(moec::cli::largeOnes({{"long", 25e-6}, {"short", 19e-6}}), testing::ElementsAre("long"));
  auto searchOf = [](bool isSmall, std::vector<int64_t> blocks) {
    moec::cli::Search search;
    search.isSmall = isSmall;
    for (int64_t block : blocks)
      search.choice.candidates.push_back({{"block", block}});
    return search;
  };
  std::map<std::string, moec::cli::Search> searches{{"a", searchOf(false, {1, 2})}, {"b", searchOf(true, {3})}, {"c", searchOf(false, {4})}};
  std::vector<std::string> tried;
  for (auto next = nextCandidates(searches); !next.empty(); next = nextCandidates(searches)) {
    std::string round;
    for (const auto& [key, candidate] : next) {
      searches.at(key).tried.insert(candidate);
      round += key + std::to_string(candidate.at("block"));
    }
    tried.push_back(round);
  }
  EXPECT_THAT(tried, testing::ElementsAre("a1c4", "a2", "b3"));
}

TEST(TuneSearch, SharedPanelsKeepTheirWidth) {
  moec::cli::Search search;
  search.keepsWidth = true;
  search.choice.schedule = {{"nr", 16}, {"rows", 6}};
  search.choice.candidates = {{{"nr", 8}, {"rows", 6}}, {{"nr", 16}, {"rows", 4}}};
  EXPECT_EQ(search.next(), search.choice.candidates[1]);
  search.keepsWidth = false;
  EXPECT_EQ(search.next(), search.choice.candidates[0]);
}

TEST(TuneMatch, AKernelIsLostThatIsMuchSlowerInEveryTurn) {
  moec::cli::Duel duel;
  duel.base = {{"slower", {1, 2, 1}}, {"once faster", {1, 2, 1}}, {"a little slower", {1, 2, 1}}};
  duel.trial = {{"slower", {1.1, 2.2, 3}}, {"once faster", {5, 1.9, 5}}, {"a little slower", {1.04, 2.04, 1.04}}};
  EXPECT_TRUE(duel.isLost("slower"));
  EXPECT_FALSE(duel.isLost("once faster"));
  EXPECT_FALSE(duel.isLost("a little slower"));
}

moec::bench::Ratio ratio(double value, double low, double high) { return {value, low, high, 1}; }

TEST(TuneMatch, WhatIsBetterAndWhatIsOpen) {
  struct Case {
    const char* name;
    std::vector<moec::bench::Ratio> ratios;
    bool isBetter, isOpen;
  };
  for (const Case& one : {Case{"of no size", {}, false, false},
                          {"shown", {ratio(0.9, 0.85, 0.95)}, true, false},
                          {"not shown yet", {ratio(0.9, 0.85, 1.02)}, false, true},
                          {"shown, and too little", {ratio(0.99, 0.985, 0.995)}, false, false},
                          {"shown at one size", {ratio(0.8, 0.7, 0.9), ratio(0.99, 0.9, 1.05)}, true, false},
                          {"shown to be worse at another", {ratio(0.5, 0.4, 0.6), ratio(1.05, 1.01, 1.08)}, false, false},
                          {"worse at another by what would be a gain, if not shown", {ratio(0.5, 0.4, 0.6), ratio(1.03, 0.98, 1.08)}, false, true},
                          {"far worse at another, if not shown", {ratio(0.5, 0.4, 0.6), ratio(1.2, 0.9, 1.5)}, false, true},
                          {"worse on the whole", {ratio(0.9, 0.85, 0.95), ratio(1.09, 0.99, 1.2)}, false, false}}) {
    EXPECT_EQ(moec::cli::isBetter(one.ratios), one.isBetter) << one.name;
    EXPECT_EQ(moec::cli::isOpen(one.ratios), one.isOpen) << one.name;
  }
}

/// Turns of one kernel, "k", in which the trial takes as long as these factors of the base say, over and over. Of one factor the interval is the
/// factor itself.
moec::cli::Duel duelOf(int turns, const std::vector<double>& factors) {
  moec::cli::Duel duel;
  duel.turns = turns;
  for (int i = 0; i < turns; ++i) {
    duel.base["k"].push_back(1);
    duel.trial["k"].push_back(factors[static_cast<size_t>(i) % factors.size()]);
  }
  return duel;
}

TEST(TuneMatch, ItGoesOnUntilKernelsAreDecided) {
  const std::vector<double> kFaster{0.8}, kSlower{1.2}, kOpen{0.7, 1.01, 0.9, 1.02}, kSame{1};
  struct Case {
    const char* name;
    moec::cli::Duels duels;
    int turns;
    bool isWon;
  };
  for (const Case& one : {Case{"nothing is played", {moec::cli::Duel(), moec::cli::Duel()}, 3, false},
                          {"one size is not played", {duelOf(3, kFaster), moec::cli::Duel()}, 3, false},
                          {"lost in every turn", {duelOf(3, kSlower)}, 0, false},
                          {"lost at one size", {duelOf(3, kFaster), duelOf(3, kSlower)}, 0, false},
                          {"too few for an interval", {duelOf(3, kFaster)}, 5, false},
                          {"faster", {duelOf(8, kFaster)}, 0, true},
                          {"no difference", {duelOf(8, kSame)}, 0, false},
                          {"open", {duelOf(8, kOpen)}, 4, false},
                          {"open, and few are left", {duelOf(20, kOpen)}, 2, false},
                          {"open at the end", {duelOf(22, kOpen)}, 0, false}}) {
    EXPECT_EQ(turnsToDecide(one.duels, {"k"}, 22), one.turns) << one.name;
    if (havePlayed(one.duels, 6))
      EXPECT_EQ(isWon(one.duels, "k"), one.isWon) << one.name;
  }
  // Of several kernels the one that takes longest decides.
  moec::cli::Duel both = duelOf(3, kFaster);
  both.base["lost"] = both.base["k"];
  both.trial["lost"] = {2, 2, 2};
  EXPECT_EQ(moec::cli::turnsToDecide({both}, {"lost"}, 22), 0);
  EXPECT_EQ(moec::cli::turnsToDecide({both}, {"lost", "k"}, 22), 5);
}

TEST_F(Tune, AShortSearchAtOtherSizesTakesNothingBack) {
  writeEntry(database);
  auto schedules = [&] { return moec::TuningDatabase(database).read().schedulesFor(moec::cpuModel()); };
  auto before = schedules();
  ASSERT_EQ(before.size(), 1u);
  tuned("0s", {"--tokens", "8", "--threads", "1"});
  EXPECT_EQ(schedules().at(before.begin()->first), before.begin()->second);
}

TEST_F(Tune, WhatItFindsIsWhatCompilationsTake) {
  json result = tuned("3s");
  EXPECT_EQ(result["database"], database.string());
  ASSERT_GE(result["kernels"].size(), 3u);
  EXPECT_GE(result["rounds"], 1);
  int expected = 0, tried = 0;
  for (const json& kernel : result["kernels"]) {
    tried += kernel["tried"].get<int>();
    EXPECT_EQ(kernel["sizes"], "batch=256");
    EXPECT_EQ(kernel["tuned"].get<bool>(), kernel["schedule"] != kernel["cost_model"]);
    for (const json& time : kernel["times"])
      EXPECT_LT(time["high"], 1) << "what is not shown to be better is kept: " << kernel;
    if (kernel["tuned"].get<bool>()) {
      expected += kernel["launches"].get<int>();
      EXPECT_LT(kernel["ratio"], 1);
    }
  }
  EXPECT_GT(tried, 0); // a slow machine comes to one round
  EXPECT_EQ(tunedLaunches(launches()), expected);
  EXPECT_EQ(tunedLaunches(launches({"--tuning", "off"})), 0);
  EXPECT_EQ(moec::TuningDatabase(database).read().bad, 0);
  // Again, from what is known; and a step of training, two sizes, one thread.
  EXPECT_EQ(result["known"], 0);
  json step = tuned("0s", {"--train", "--tokens", "8,64", "--threads", "1"});
  for (const json& kernel : step["kernels"])
    EXPECT_TRUE(kernel["sizes"] == "" || kernel["sizes"] == "batch=8; batch=64") << kernel;
}

TEST_F(Tune, SaysHowManySchedulesItBeganWith) {
  writeEntry(database);
  EXPECT_EQ(tuned("0s")["known"], 1);
  writeEntry(database); // that was no better, and is taken back
  Outcome outcome = moec({"tune", model, "--quiet", "--budget", "0s"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("begun with 1 schedule of " + database.string()));
}

TEST_F(Tune, CommandsTakeTheDatabaseThatTheyAreTold) {
  EXPECT_EQ(tunedLaunches(launches()), 0);
  writeEntry(database);
  EXPECT_EQ(tunedLaunches(launches()), 1);
  EXPECT_EQ(tunedLaunches(launches({"--no-cache"})), 1);
  EXPECT_EQ(tunedLaunches(launches({"--tuning", "off"})), 0);
  std::string other = path("other.jsonl");
  expectFailure({"explain", model, "--tuning", other}, 2, "--tuning " + other + ": there is no such file");
  writeEntry(other, 4);
  EXPECT_EQ(launches({"--tuning", other}).size(), launches().size());
  EXPECT_NE(launches({"--tuning", other}), launches());
  environment.emplace_back("MOEC_TUNING", "off");
  EXPECT_EQ(tunedLaunches(launches()), 0);
  EXPECT_EQ(tunedLaunches(launches({"--tuning", other})), 1);
  environment.back().second = path("absent.jsonl");
  expectFailure({"explain", model}, 2, "MOEC_TUNING " + path("absent.jsonl") + ": there is no such file");
  environment.back().second = folder.string();
  for (const char* command : {"explain", "tune"})
    expectFailure({command, model}, 2, "MOEC_TUNING " + folder.string() + ": it is a folder; name a file, or \"off\"");
}

TEST_F(Tune, ProgramsSayWhoChoseTheirSchedules) {
  auto compile = [&](std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"compile", model, "-o", path("out.moec"), "--target", "cpu", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Outcome outcome = moec(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out);
  };
  EXPECT_EQ(compile()["targets"][0]["tuned_kernels"], 0);
  std::string plain = slurp(path("out.moec"));
  EXPECT_EQ(compile()["program_cache"], "hit");
  writeEntry(database);
  json after = compile();
  EXPECT_EQ(after["program_cache"], "miss");
  EXPECT_EQ(after["targets"][0]["tuned_kernels"], 1);
  EXPECT_EQ(compile()["program_cache"], "hit");
  json inspected = json::parse(moec({"inspect", path("out.moec"), "--json"}).out);
  EXPECT_EQ(std::ranges::count_if(inspected["kernels"], [](const json& kernel) { return kernel["chosen_by"] == "tuning"; }), 1);
  EXPECT_THAT(moec({"inspect", path("out.moec")}).out, HasSubstr("  tuning       rows_"));
  EXPECT_THAT(moec({"explain", path("out.moec")}).out, HasSubstr(" (tuning)"));
  expectFailure({"explain", path("out.moec"), "--tuning", "off"}, 2, "--tuning changes how a model is compiled");
  // Off, a database changes nothing: the program is that of a machine without one.
  compile({"--tuning", "off"});
  EXPECT_EQ(slurp(path("out.moec")), plain);
  // What this CPU's kernels cannot take changes no program.
  std::ofstream(database, std::ios::app) << "no entry\n";
  EXPECT_THAT(moec({"cache", "explain", model, "--target", "cpu"}).out, HasSubstr("hit: "));
  writeEntry(database, 4);
  EXPECT_THAT(moec({"cache", "explain", model, "--target", "cpu"}).out, HasSubstr("schedules with the digest "));
}

TEST_F(Tune, ADatabaseIsListedAndCleared) {
  EXPECT_EQ(json::parse(moec({"cache", "list", "--json"}).out)["tuning"], nullptr);
  EXPECT_THAT(moec({"doctor"}).out, HasSubstr("nothing is tuned yet"));
  writeEntry(database);
  std::ofstream(database, std::ios::app) << "no entry\n{\"v\": 2}\n{\"v\":";
  json listed = json::parse(moec({"cache", "list", "--json"}).out)["tuning"];
  EXPECT_EQ(listed["schedules"], 1);
  EXPECT_EQ(listed["bad_lines"], 1);
  EXPECT_EQ(listed["foreign_lines"], 1);
  EXPECT_EQ(listed["torn"], true);
  EXPECT_THAT(moec({"doctor"}).out, HasSubstr("1 tuned schedule, 1 of them for this CPU; 1 line is no entry and is passed over; 1 line is of another version"));
  EXPECT_THAT(moec({"doctor"}).out, HasSubstr("`moec cache clear --tuning` removes all of it"));
  EXPECT_EQ(tunedLaunches(launches()), 1);
  EXPECT_EQ(moec({"cache", "clear"}).code, 0);
  EXPECT_TRUE(fs::exists(database)) << "measuring again costs minutes";
  EXPECT_THAT(moec({"cache", "clear", "--tuning"}).out, HasSubstr("removed the tuned schedules"));
  EXPECT_FALSE(fs::exists(database));
}

TEST_F(Tune, ADatabaseThatCannotBeReadHidesNothingElse) {
  fs::create_directories(database);
  json listed = json::parse(moec({"cache", "list", "--json"}).out);
  EXPECT_TRUE(listed.contains("entries"));
  EXPECT_THAT(listed["tuning"]["damage"].get<std::string>(), HasSubstr("cannot be read"));
  EXPECT_THAT(moec({"cache", "list"}).out, HasSubstr("cannot be read"));
  EXPECT_THAT(moec({"doctor"}).out, HasSubstr("`moec cache clear --tuning` removes all of it"));
  environment.emplace_back("MOEC_TUNING", file("other.jsonl", "no entry\n"));
  std::string told = moec({"doctor"}).out;
  EXPECT_THAT(told, HasSubstr("MOEC_TUNING names the file " + path("other.jsonl")));
  EXPECT_THAT(told, Not(HasSubstr("moec cache clear --tuning")));
}

TEST_F(Tune, AnInterruptedSearchComesToItsEnd) {
  Running running = start({"tune", model, "--budget", "1h", "--quiet"});
  while (!fs::exists(folder / "cache/moec/kernels")) // it listens to signals before it compiles
    usleep(1000);
  kill(running.process, SIGINT);
  Outcome outcome = finish(running);
  EXPECT_EQ(outcome.code, 75) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("kernels tuned in "));
  EXPECT_THAT(outcome.out, HasSubstr("it was stopped before its end"));
}

TEST_F(Tune, ADatabaseThatCannotBeWrittenIsSaidBeforeTheSearch) {
  std::string below = model + "/tuning.jsonl";
  environment.emplace_back("MOEC_TUNING", below);
  expectFailure({"tune", model}, 5, "name another file, or \"off\" for none");
  environment.back().second = model;
  expectFailure({"tune", model}, 1, "layer.json: is no tuning database");
  EXPECT_FALSE(fs::exists(folder / "cache/moec/kernels"));
  EXPECT_EQ(slurp(model), kLayer);
}

TEST_F(Tune, ASearchSaysHowItEndedAndWhetherItWasAlone) {
  fs::create_directories(folder / "cache/moec");
  int lock = open((folder / "cache/moec/tune.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  Outcome beside = moec({"tune", model, "--budget", "0s", "--quiet"});
  EXPECT_THAT(beside.err, HasSubstr("another `moec tune` measures on this machine"));
  EXPECT_THAT(beside.out, HasSubstr("the budget ended first"));
  EXPECT_THAT(beside.out, HasSubstr("no schedule was shown to be better than the cost model's: none is kept"));
  close(lock);
  EXPECT_EQ(moec({"tune", model, "--budget", "0s", "--quiet"}).err, "");
}

TEST_F(Tune, ADatabaseIsMadeWhereNothingWasFaster) {
  std::string fresh = path("fresh.jsonl");
  tuned("0s", {"--tuning", fresh});
  EXPECT_EQ(slurp(fresh), "");
  EXPECT_EQ(tunedLaunches(launches({"--tuning", fresh})), 0);
}

TEST_F(Tune, WrongCallsAreRefused) {
  expectFailure({"tune", model, "--budget", "soon"}, 2, "--budget: expected a duration");
  expectFailure({"tune", model, "--target", "cuda:sm_90a"}, 2, "schedules are tuned for CPUs alone");
  expectFailure({"tune", model, "--target", "cpu,cpu:x86-64-v3"}, 2, "one target at a time");
  expectFailure({"tune", model, "--size", "wrong=3"}, 2, "wrong");
  std::string tokens = "1";
  for (int i = 2; i < 100; ++i)
    tokens += "," + std::to_string(i);
  expectFailure({"tune", model, "--tokens", tokens}, 2, "--tokens: the 99 sizes take");
  expectFailure({"tune", model, "--tuning", model}, 2, "--tuning would write over the model");
  EXPECT_EQ(slurp(model), kLayer);
}

} // namespace
