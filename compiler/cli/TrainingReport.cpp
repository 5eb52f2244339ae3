#include "compiler/cli/TrainingReport.h"

#include "compiler/cli/Table.h"
#include "runtime/core/Error.h"
#include "runtime/io/MappedFile.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Metrics.h"
#include "runtime/train/OutFolder.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace moec::cli {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

Json parseFile(const fs::path& file) {
  MappedFile bytes = MappedFile::open(file);
  return Json::parse(bytes.bytes().begin(), bytes.bytes().end(), nullptr, false);
}

/// metrics.jsonl into the history; what it learns from, and how it ended last.
class Reading : public train::Listener {
public:
  explicit Reading(train::History& history) : history_(history) {}
  void onStart(int64_t, int64_t, int64_t) override {}
  void onStep(const train::StepRecord& record) override {
    history_.add(record);
    end.clear();
  }
  void onEvaluation(const train::EvaluationRecord& record) override { history_.add(record); }
  void onCheckpoint(const fs::path&) override {}
  void onSkippedRecord(const std::string&) override {}
  void onEvent(int64_t, const std::string& event, const std::string& message) override {
    if (event == "begun")
      data = message;
    for (const auto& [kind, words] : {std::pair("finished", "finished"), {"early_stop", "stopped early"}, {"interrupted", "interrupted"}, {"failed", "failed"}})
      if (event == kind)
        end = words;
    if (event == "resumed")
      end.clear();
  }

  std::string end, data;

private:
  train::History& history_;
};

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json evaluationJson(const std::optional<train::EvaluationRecord>& record) {
  if (!record)
    return nullptr;
  return {{"step", record->step},
          {"records", record->records},
          {"loss", number(record->loss)},
          {"accuracy", record->accuracy ? number(*record->accuracy) : Json(nullptr)}};
}

std::string evaluationWords(const train::EvaluationRecord& record) {
  std::string text = fmt::format("{:.4f}", record.loss);
  if (record.accuracy)
    text += fmt::format(", accuracy {:.2f} %", 100 * *record.accuracy);
  return fmt::format("{}, at step {}", text, record.step);
}

} // namespace

bool isTraining(const fs::path& path) {
  std::error_code code;
  return fs::is_directory(path, code) && fs::exists(path / "train.json", code);
}

std::string modelName(const fs::path& model) {
  std::error_code code;
  constexpr uintmax_t kMost = 16 << 20; // larger ones are no models
  if (fs::is_regular_file(model, code) && fs::file_size(model, code) <= kMost)
    if (Json json = parseFile(model); json.is_object() && json.contains("name") && json["name"].is_string() && !json["name"].get<std::string>().empty())
      return json["name"];
  return model.stem().string();
}

std::string dataName(const train::Config& config) {
  const fs::path& path = config.data.path;
  return path.empty() ? "what ships with moec" : (path.has_filename() ? path : path.parent_path()).filename().string();
}

std::vector<std::pair<std::string, std::string>> factsOf(const train::Config& config) {
  std::vector<std::pair<std::string, std::string>> facts;
  const Json json = Json::parse(toJson(config));
  for (const auto& [key, value] : json.items()) {
    constexpr std::string_view kAlways[] = {"batch", "learning_rate", "schedule", "seed", "device"};
    auto known = std::ranges::find(train::configKeys(), key, &train::ConfigKey::name);
    bool isStandard = known != train::configKeys().end() && value == Json::parse(known->standard, nullptr, false);
    if (isStandard && std::ranges::find(kAlways, key) == std::end(kAlways))
      continue;
    std::string name = key == "data" ? "data path" : key; // the page's own line "data" names them
    std::ranges::replace(name, '_', ' ');
    facts.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
  }
  return facts;
}

TrainingReport readTraining(const fs::path& out) {
  if (!isTraining(out))
    throw Error(Fault::Usage, fmt::format("{} is the folder of no training: it has no train.json", out.string()));
  train::Config config;
  train::readConfig(out / "train.json", config);
  TrainingReport report{.out = out, .about = {}, .history = {}, .checkpoint = {}};
  Reading reading(report.history);
  train::readMetrics(out / "metrics.jsonl", reading);
  if (auto checkpoints = train::listCheckpoints(out); !checkpoints.empty()) {
    report.checkpoint = checkpoints.back();
    if (Json json = parseFile(*report.checkpoint / "training.json"); json.is_object() && json.contains("target") && json["target"].is_string())
      report.about.target = json["target"];
  }
  report.about.model = modelName(out / "model.json");
  report.about.data = reading.data.empty() ? dataName(config) : reading.data;
  report.about.steps = config.steps;
  report.about.state = !reading.end.empty() ? reading.end : config.steps > 0 && report.history.steps() >= config.steps ? "finished" : "under way";
  report.about.facts = factsOf(config);
  return report;
}

std::string reportJson(const TrainingReport& report) {
  const train::History& history = report.history;
  Json json{
      {"out", report.out.string()}, {"model", report.about.model}, {"data", report.about.data}, {"target", report.about.target}, {"state", report.about.state}};
  json["step"] = history.steps();
  json["steps"] = report.about.steps;
  json["records"] = history.records();
  json["seconds"] = history.seconds();
  json["loss"] = history.steps() > 0 ? number(history.last().loss) : Json(nullptr);
  json["last"] = evaluationJson(history.lastEvaluation());
  json["best"] = evaluationJson(history.bestEvaluation());
  json["checkpoint"] = report.checkpoint ? Json(report.checkpoint->string()) : Json(nullptr);
  json["page"] = report.page().string();
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string reportText(const TrainingReport& report) {
  const train::History& history = report.history;
  const train::About& about = report.about;
  bool isPart = about.steps > 0 && about.state != "finished";
  std::string steps = isPart ? fmt::format("{} of {}", history.steps(), counted(about.steps, "step")) : counted(history.steps(), "step");
  std::string text = fmt::format("{} on {}{}: {} after {}, {}\n", about.model, about.data, about.target.empty() ? "" : ", " + about.target, about.state, steps,
                                 train::durationText(history.seconds()));
  Table table({"", ""});
  if (history.steps() > 0)
    table.add({"training loss", fmt::format("{:.4f}, of the last step", history.last().loss)});
  if (const auto& best = history.bestEvaluation())
    table.add({"best validation loss", evaluationWords(*best)});
  if (const auto& last = history.lastEvaluation(); last && last->step != history.bestEvaluation().value_or(train::EvaluationRecord{}).step)
    table.add({"last validation loss", evaluationWords(*last)});
  if (report.checkpoint)
    table.add({"checkpoint", report.checkpoint->string()});
  table.add({"page", report.page().string()});
  return text + table.str();
}

void writePage(const TrainingReport& report) { train::writePage(report.page(), report.history, report.about); }

} // namespace moec::cli
