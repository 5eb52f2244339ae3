#include "compiler/cli/bench/BenchCompare.h"

#include "compiler/cli/bench/ForeignText.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace moec::cli {

namespace {

std::string keyOf(const BenchTimes& times) { return fmt::format("{}/tokens:{}", times.pass, times.tokens); } // a pass is one of two words

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
  auto compareWords = [&](const char* what, const std::string& ofA, const std::string& ofB) {
    if (ofA != ofB)
      result.push_back(fmt::format("{}: {} and {}", what, shownWord(ofA), shownWord(ofB)));
  };
  compareWords("model", a.model, b.model);
  compareWords("moec", a.build, b.build);
  compareWords("device", a.device, b.device);
  compareWords("target", a.target, b.target);
  compareWords("cpu", a.cpu, b.cpu);
  compareWords("what counts as a token", a.token, b.token);
  compareWords("purpose", name(a.purpose), name(b.purpose));
  compareWords("plan", a.made, b.made);
  if (a.threads != b.threads)
    result.push_back(fmt::format("threads: {} and {}", a.threads, b.threads));
  for (const BenchTimes& ofA : a.benchmarks)
    if (const BenchTimes* ofB = find(b, keyOf(ofA)); ofB && ofA.sizes != ofB->sizes)
      result.push_back(fmt::format("sizes of {}: {} and {}", keyOf(ofA), sizeText(ofA.sizes), sizeText(ofB->sizes)));
  return result;
}

} // namespace

const char* BenchComparison::verdict() const { return !ratio.shows() ? "no difference shown" : ratio.value < 1 ? "faster" : "slower"; }

std::string BenchComparisons::method() const {
  int fewest = bench::kMostResamples, most = 0;
  for (const BenchComparison& one : comparisons) {
    fewest = std::min(fewest, one.ratio.resamples);
    most = std::max(most, one.ratio.resamples);
  }
  return methodOf(pairing, fewest, most);
}

BenchComparisons compareReports(const std::string& nameA, const BenchReport& a, const std::string& nameB, const BenchReport& b, bench::Pairing pairing) {
  BenchComparisons result{
      .a = nameA, .b = nameB, .pairing = pairing, .comparisons = {}, .differences = differencesOf(a, b), .onlyA = keysOf(a, &b), .onlyB = keysOf(b, &a)};
  for (const BenchTimes& ofA : a.benchmarks)
    if (const BenchTimes* ofB = find(b, keyOf(ofA))) {
      try {
        result.comparisons.push_back(
            {keyOf(ofA), ofA.sizes, ofB->sizes, ofA.spread().median, ofB->spread().median, ratioOfMedians(ofB->seconds, ofA.seconds, pairing)});
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
