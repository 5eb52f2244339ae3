#include "bench/gpu/Figures.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace moec::bench {
namespace {

constexpr size_t kShownAccesses = 3;
constexpr const char* kBoundTarget = "cuda:sm_90a"; // of the chip of the bounds

std::string row(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (const std::string& cell : cells)
    line += " " + cell + " |";
  return line + "\n";
}

/// Two columns of words, then numbers.
std::string head(const std::vector<std::string>& cells) {
  std::string line = row(cells) + "|";
  for (size_t i = 0; i < cells.size(); ++i)
    line += i < 2 ? "---|" : "---:|";
  return line + "\n";
}

std::string layerOf(const std::string& layer, int launches) { return launches == 1 ? layer : fmt::format("{} (and {} more)", layer, launches - 1); }

std::string stageTable(const ModelFigures& figures) {
  std::vector<std::string> heads = {"kernel: stage", "layer", "registers", "spilled bytes", "shared bytes", "blocks x threads", "blocks per multiprocessor",
                                    "occupancy"};
  bool counted = std::any_of(figures.stages.begin(), figures.stages.end(), [](const StageFigures& stage) { return stage.counted.has_value(); });
  if (counted)
    for (const char* name : {"sectors", "over ideal", "bank conflicts", "in loops", "read", "written", "FLOPs"})
      heads.emplace_back(name);
  std::string table = head(heads);
  for (const StageFigures& stage : figures.stages) {
    std::vector<std::string> cells = {stage.kind + ": " + stage.stage,
                                      layerOf(stage.layer, stage.launches),
                                      std::to_string(stage.grid.registers),
                                      std::to_string(stage.grid.spillBytes),
                                      std::to_string(stage.grid.sharedBytes),
                                      fmt::format("{} x {}", stage.blocks, stage.grid.threads),
                                      std::to_string(stage.grid.blocksPerMultiprocessor),
                                      fmt::format("{:.0f} %", stage.occupancy * 100)};
    if (const auto& c = stage.counted)
      for (const std::string& cell :
           {shortCount(static_cast<double>(c->sectors)), fmt::format("{:.2f}{}", c->sectorRatio(), stage.assigns() ? " (assigns)" : ""),
            std::to_string(c->bankConflicts), std::to_string(c->inLoops), shortCount(static_cast<double>(c->bytesRead), "B"),
            shortCount(static_cast<double>(c->bytesWritten), "B"), shortCount(static_cast<double>(c->flops32 + c->flops64))})
        cells.push_back(cell);
    else if (counted)
      cells.resize(heads.size(), "not run");
    table += row(cells);
  }
  return table;
}

std::string launchTable(const ModelFigures& figures, const Peaks& peaks) {
  std::vector<std::string> heads = {"kernel", "layer", "FLOPs", "bytes", "at least", "by"};
  bool timed = std::any_of(figures.launches.begin(), figures.launches.end(), [](const LaunchFigures& launch) { return launch.seconds.has_value(); });
  if (timed)
    for (const char* name : {"measured", "middle half", "of the bound"})
      heads.emplace_back(name);
  std::string table = head(heads);
  for (const LaunchFigures& launch : figures.launches) {
    Bound bound = boundOf(launch.work, peaks);
    std::vector<std::string> cells = {launch.kind,
                                      layerOf(launch.layer, launch.launches),
                                      shortCount(launch.work.flops32 + launch.work.flops64),
                                      shortCount(launch.work.bytes, "B"),
                                      shortTime(bound.seconds),
                                      nameOf(bound.side)};
    if (const auto& time = launch.seconds)
      for (const std::string& cell : {shortTime(time->median), fmt::format("{} - {}", shortTime(time->low), shortTime(time->high)),
                                      fmt::format("{:.0f} %", 100 * bound.seconds / time->median)})
        cells.push_back(cell);
    else if (timed)
      cells.resize(heads.size(), "");
    table += row(cells);
  }
  return table;
}

std::string costlyText(const Counted& counted, bool shared) {
  std::string text;
  size_t shown = 0;
  for (const CostlyAccess& access : counted.costly)
    if (access.shared == shared && shown++ < kShownAccesses)
      text += fmt::format("; {} of them too many by {} in {}", access.extra, access.instruction, access.place);
  return text;
}

/// The sizes of a call, if it has any: ", batch=4".
std::string behind(const std::string& sizes) { return sizes.empty() ? sizes : ", " + sizes; }

} // namespace

std::string text(const Spread& spread) { return fmt::format("{} ({} - {})", digits(spread.median), digits(spread.low), digits(spread.high)); }

bool StageFigures::assigns() const {
  // Stages that a gate's routing is made of, one set for each routing: "assign0", "place1".
  std::string name = stage.substr(0, stage.find_last_not_of("0123456789") + 1);
  return kind == "gate" && (name == "assign" || name == "count" || name == "scan" || name == "mark" || name == "sum" || name == "place");
}

std::vector<std::string> faultsOf(const ModelFigures& figures) {
  std::vector<std::string> faults;
  for (const StageFigures& stage : figures.stages) {
    std::string where = fmt::format("{} on {}, {}: {} of {}: ", figures.model, figures.target, stage.kind, stage.stage, stage.layer);
    if (stage.grid.spillBytes > 0)
      faults.push_back(where + fmt::format("{} bytes of registers are spilled, expected 0", stage.grid.spillBytes));
    if (!stage.counted)
      continue;
    if (!stage.assigns() && stage.counted->sectorRatio() > kMostSectors)
      faults.push_back(where + fmt::format("{:.2f} times the ideal's sectors, expected at most {}{}", stage.counted->sectorRatio(), kMostSectors,
                                           costlyText(*stage.counted, false)));
    if (stage.counted->inLoops > 0)
      faults.push_back(where + fmt::format("{} bank conflicts in loops, expected 0{}", stage.counted->inLoops, costlyText(*stage.counted, true)));
  }
  return faults;
}

std::string toMarkdown(const ModelFigures& figures, const Peaks& peaks) {
  std::string result = fmt::format("### {} on {}{}\n\n{}", figures.model, figures.device, behind(figures.sizes), stageTable(figures));
  bool timed = std::any_of(figures.launches.begin(), figures.launches.end(), [](const LaunchFigures& launch) { return launch.seconds.has_value(); });
  if (timed || figures.target == kBoundTarget) // elsewhere the same numbers would say nothing
    result += fmt::format("\nRoofline on {}{}:\n\n{}", peaks.chip, behind(figures.boundSizes), launchTable(figures, peaks));
  return result;
}

nlohmann::ordered_json toJson(const ModelFigures& figures, const Peaks& peaks) {
  nlohmann::ordered_json result{{"model", figures.model}, {"device", figures.device}, {"target", figures.target}, {"sizes", figures.sizes}};
  result["stages"] = nlohmann::ordered_json::array();
  for (const StageFigures& stage : figures.stages) {
    nlohmann::ordered_json one{{"kind", stage.kind},
                               {"stage", stage.stage},
                               {"layer", stage.layer},
                               {"launches", stage.launches},
                               {"function", stage.grid.function},
                               {"registers", stage.grid.registers},
                               {"spill_bytes", stage.grid.spillBytes},
                               {"stack_bytes", stage.grid.stackBytes},
                               {"shared_bytes", stage.grid.sharedBytes},
                               {"blocks", stage.blocks},
                               {"threads", stage.grid.threads},
                               {"blocks_per_multiprocessor", stage.grid.blocksPerMultiprocessor},
                               {"occupancy", stage.occupancy},
                               {"assigns", stage.assigns()}};
    if (const auto& c = stage.counted)
      one["counted"] = {{"sectors", c->sectors},
                        {"ideal_sectors", c->idealSectors},
                        {"bank_conflicts", c->bankConflicts},
                        {"bank_conflicts_in_loops", c->inLoops},
                        {"bytes_read", c->bytesRead},
                        {"bytes_written", c->bytesWritten},
                        {"flops32", c->flops32},
                        {"flops64", c->flops64}};
    result["stages"].push_back(std::move(one));
  }
  result["bound"] = {{"chip", peaks.chip},
                     {"sizes", figures.boundSizes},
                     {"flops32_per_second", peaks.flops32},
                     {"flops64_per_second", peaks.flops64},
                     {"bytes_per_second", peaks.bytes}};
  result["launches"] = nlohmann::ordered_json::array();
  for (const LaunchFigures& launch : figures.launches) {
    Bound bound = boundOf(launch.work, peaks);
    nlohmann::ordered_json one{{"kind", launch.kind},         {"symbol", launch.symbol},        {"layer", launch.layer},
                               {"launches", launch.launches}, {"flops32", launch.work.flops32}, {"flops64", launch.work.flops64},
                               {"bytes", launch.work.bytes},  {"bound_seconds", bound.seconds}, {"bound_by", nameOf(bound.side)}};
    if (const auto& time = launch.seconds)
      one["seconds"] = {{"median", time->median}, {"low", time->low}, {"high", time->high}};
    result["launches"].push_back(std::move(one));
  }
  result["faults"] = faultsOf(figures);
  return result;
}

} // namespace moec::bench
