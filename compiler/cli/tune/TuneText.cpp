#include "compiler/cli/tune/TuneText.h"

#include "compiler/cli/Table.h"
#include "compiler/cli/bench/BenchReport.h"
#include "runtime/bench/ShortNumbers.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace moec::cli {

using bench::shortTime;

namespace {

size_t tunedOf(const TuneResult& result) { return static_cast<size_t>(std::ranges::count_if(result.kernels, &TunedKernel::isTuned)); }

std::string layerOf(const TunedKernel& kernel) { return kernel.launches > 1 ? fmt::format("{}, {} launches", kernel.layer, kernel.launches) : kernel.layer; }

/// Entries that are not the cost model's: "nr=8 rows=12".
std::string changesOf(const TunedKernel& kernel) {
  std::string text;
  for (const auto& [name, value] : kernel.tuned)
    if (auto before = kernel.model.find(name); before == kernel.model.end() || before->second != value)
      text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, value);
  return text;
}

/// Why the search ended, and what follows from it.
std::string endOf(const TuneResult& result) {
  if (result.isStopped)
    return "; it was stopped before its end";
  return result.isWhole ? "; nothing is left to try" : "; the budget ended first: a longer --budget, or another run, goes on";
}

/// What the database had for these kernels, and what it has now.
std::string keptIn(const TuneResult& result, const std::filesystem::path& file) {
  std::string text;
  if (result.known > 0)
    text += fmt::format("begun with {} of {}\n", counted(result.known, "schedule"), file.string());
  if (tunedOf(result) == 0)
    return text + "no schedule was shown to be better than the cost model's: none is " +
           (result.known > 0 ? "added; of those begun with only what was measured to the end at its own sizes is taken back\n" : "kept\n");
  return text + (file.empty() ? "kept nowhere: tuning is off\n" : fmt::format("kept in {}\n", file.string()));
}

std::string intervalOf(const bench::Ratio& ratio) { return fmt::format("{:.3f} to {:.3f}", ratio.low, ratio.high); }

} // namespace

std::string toText(const TuneResult& result, const std::filesystem::path& file) {
  Table table({"kernel", "layer", "sizes", ">tried", ">before", ">after", ">ratio", ">95 %", "instead of the cost model's"});
  for (const TunedKernel& kernel : result.kernels) {
    if (!kernel.isTuned())
      table.add({kernel.kind, layerOf(kernel), "", std::to_string(kernel.tried), "", "", "1", "", ""});
    for (const KernelTiming& timing : kernel.timings)
      table.add({kernel.kind, layerOf(kernel), sizeText(timing.sizes), std::to_string(kernel.tried), shortTime(timing.before), shortTime(timing.after),
                 fmt::format("{:.3f}", timing.ratio.value), intervalOf(timing.ratio), changesOf(kernel)});
  }
  std::string text = result.kernels.empty() ? "" : table.str();
  text += fmt::format("{} for {}: {} of {} tuned in {}, {}{}\n", result.model, result.target, tunedOf(result), counted(std::ssize(result.kernels), "kernel"),
                      counted(result.rounds, "round"), shortSeconds(result.seconds), endOf(result));
  if (tunedOf(result) > 0)
    text += fmt::format("kernels of a call: {} before, {} after\n", shortTime(result.before), shortTime(result.after));
  return text + keptIn(result, file);
}

std::string toJson(const TuneResult& result, const std::filesystem::path& file) {
  using Json = nlohmann::ordered_json;
  Json json{{"model", result.model},       {"target", result.target},   {"database", file.empty() ? Json(nullptr) : Json(file.string())},
            {"rounds", result.rounds},     {"seconds", result.seconds}, {"whole", result.isWhole},
            {"stopped", result.isStopped}, {"known", result.known},     {"tuned", tunedOf(result)},
            {"kernels", Json::array()}};
  for (const TunedKernel& kernel : result.kernels) {
    Json entry{{"kernel", kernel.key},     {"kind", kernel.kind},     {"layer", kernel.layer},     {"launches", kernel.launches},
               {"sizes", kernel.sizes},    {"tried", kernel.tried},   {"tuned", kernel.isTuned()}, {"cost_model", kernel.model},
               {"schedule", kernel.tuned}, {"ratio", kernel.ratio()}, {"times", Json::array()}};
    for (const KernelTiming& timing : kernel.timings)
      entry["times"].push_back({{"sizes", timing.sizes},
                                {"before", timing.before},
                                {"after", timing.after},
                                {"ratio", timing.ratio.value},
                                {"low", timing.ratio.low},
                                {"high", timing.ratio.high}});
    json["kernels"].push_back(std::move(entry));
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

} // namespace moec::cli
