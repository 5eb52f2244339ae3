#include "compiler/cli/bench/BenchCompare.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace moec::cli {

namespace {

std::string keyOf(const BenchTimes& times) { return fmt::format("{}/tokens:{}", times.pass, times.tokens); }

const BenchTimes* find(const BenchReport& report, const std::string& key) {
  auto found = std::ranges::find(report.benchmarks, key, keyOf);
  return found == report.benchmarks.end() ? nullptr : &*found;
}

std::vector<std::string> keysOf(const BenchReport& report, const BenchReport* without = nullptr) {
  std::vector<std::string> keys;
  for (const BenchTimes& times : report.benchmarks)
    if (!without || !find(*without, keyOf(times)))
      keys.push_back(keyOf(times));
  return keys;
}

std::vector<std::string> differencesOf(const BenchReport& a, const BenchReport& b) {
  std::vector<std::string> result;
  auto compare = [&](const char* what, const auto& ofA, const auto& ofB) {
    if (ofA != ofB)
      result.push_back(fmt::format("{}: {} and {}", what, ofA, ofB));
  };
  compare("model", a.model, b.model);
  compare("moec", a.build, b.build);
  compare("device", a.device, b.device);
  compare("target", a.target, b.target);
  compare("cpu", a.cpu, b.cpu);
  compare("threads", a.threads, b.threads);
  return result;
}

} // namespace

const char* BenchComparison::verdict() const { return !ratio.shows() ? "no difference shown" : ratio.value < 1 ? "faster" : "slower"; }

BenchComparisons compareReports(const std::string& nameA, const BenchReport& a, const std::string& nameB, const BenchReport& b, bench::Pairing pairing) {
  BenchComparisons result{
      .a = nameA, .b = nameB, .pairing = pairing, .comparisons = {}, .differences = differencesOf(a, b), .onlyA = keysOf(a, &b), .onlyB = keysOf(b, &a)};
  for (const BenchTimes& ofA : a.benchmarks)
    if (const BenchTimes* ofB = find(b, keyOf(ofA))) {
      try {
        result.comparisons.push_back({keyOf(ofA), ofA.spread().median, ofB->spread().median, ratioOfMedians(ofB->seconds, ofA.seconds, pairing)});
      } catch (const Error& error) {
        throw Error(error.fault(), fmt::format("{} and {}, {}: {}", nameA, nameB, keyOf(ofA), error.what()));
      }
    }
  if (result.comparisons.empty())
    throw Error(Fault::Data, fmt::format("{} and {} have no benchmark in common: {} has {}, {} has {}", nameA, nameB, nameA, fmt::join(keysOf(a), ", "), nameB,
                                         fmt::join(keysOf(b), ", ")));
  return result;
}

} // namespace moec::cli
