#include "runtime/train/Metrics.h"

#include "runtime/core/AtomicFile.h"
#include "runtime/core/Error.h"
#include "runtime/io/MappedFile.h"
#include "runtime/train/AppendWhole.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <cmath>
#include <fcntl.h>
#include <string_view>
#include <system_error>
#include <unistd.h>

namespace moec::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// JSON has no word for what is not finite.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json numbers(const std::map<std::string, double>& values) {
  Json json = Json::object();
  for (const auto& [name, value] : values)
    json[name] = number(value);
  return json;
}

/// The whole lines of a file; what stands behind the last line end was never finished.
template <class Use> void forEachLine(const fs::path& file, Use use) {
  if (std::error_code code; !fs::exists(file, code))
    return;
  MappedFile bytes = MappedFile::open(file);
  std::string_view rest(reinterpret_cast<const char*>(bytes.bytes().data()), bytes.bytes().size());
  for (size_t number = 1, end; (end = rest.find('\n')) != std::string_view::npos; ++number, rest.remove_prefix(end + 1))
    use(number, rest.substr(0, end));
}

Json parseLine(const fs::path& file, size_t number, std::string_view line) {
  Json json = Json::parse(line.begin(), line.end(), nullptr, false);
  if (!json.is_object() || !json.contains("kind") || !json["kind"].is_string() || !json.contains("step") || !json["step"].is_number_integer())
    throw Error(Fault::Data, fmt::format("{}:{}: damaged: expected an object with \"kind\" and \"step\"", file.string(), number));
  return json;
}

double real(const Json& json, const char* key) { return json.contains(key) && json[key].is_number() ? json[key].get<double>() : std::nan(""); }
int64_t whole(const Json& json, const char* key) { return json.contains(key) && json[key].is_number_integer() ? json[key].get<int64_t>() : 0; }

std::map<std::string, double> reals(const Json& json, const char* key) {
  std::map<std::string, double> values;
  if (json.contains(key) && json[key].is_object())
    for (const auto& [name, value] : json[key].items())
      values[name] = value.is_number() ? value.get<double>() : std::nan("");
  return values;
}

std::string text(const Json& json, const char* key) { return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : ""; }

StepRecord stepOf(const Json& json) {
  StepRecord record;
  record.step = whole(json, "step");
  record.epoch = whole(json, "epoch");
  record.records = whole(json, "records");
  record.loss = real(json, "loss");
  record.learningRate = real(json, "learning_rate");
  record.gradientNorm = real(json, "gradient_norm");
  record.seconds = real(json, "seconds");
  record.secondsWaited = real(json, "seconds_waited");
  record.tokensPerSecond = real(json, "tokens_per_second");
  record.auxLosses = reals(json, "aux_losses");
  if (json.contains("load") && json["load"].is_object())
    for (const auto& [gate, load] : json["load"].items())
      for (const Json& one : load)
        record.load[gate].push_back(one.is_number() ? one.get<double>() : std::nan(""));
  record.dropped = reals(json, "dropped");
  record.nonFinite = reals(json, "non_finite");
  return record;
}

EvaluationRecord evaluationOf(const Json& json) {
  EvaluationRecord record;
  record.step = whole(json, "step");
  record.records = whole(json, "records");
  record.loss = real(json, "loss");
  record.seconds = real(json, "seconds");
  if (json.contains("accuracy"))
    record.accuracy = real(json, "accuracy");
  record.auxLosses = reals(json, "aux_losses");
  record.nonFinite = reals(json, "non_finite");
  record.best = json.contains("best") && json["best"] == true;
  return record;
}

} // namespace

Metrics::Metrics(const fs::path& file, std::optional<Kept> kept) : path_(file) {
  AtomicFile cut(file);
  auto keeps = [&](const Json& json) { return json["step"].get<int64_t>() <= (json["kind"] == "evaluation" ? kept->evaluated : kept->step); };
  forEachLine(file, [&](size_t number, std::string_view line) {
    if (kept && keeps(parseLine(file, number, line))) {
      cut.write(line);
      cut.write("\n");
    }
  });
  cut.commit();
  file_ = open(file.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (file_ < 0)
    throw Error(Fault::System, fmt::format("{}: cannot open: {}", file.string(), std::generic_category().message(errno)));
}

Metrics::~Metrics() { close(file_); }

void Metrics::append(std::string line) {
  line += '\n';
  if (int code = appendWhole(file_, {reinterpret_cast<const uint8_t*>(line.data()), line.size()}))
    throw Error(Fault::System, fmt::format("{}: cannot write: {}", path_.string(), std::generic_category().message(code)));
}

void Metrics::add(const StepRecord& record) {
  Json json = {{"kind", "step"},
               {"step", record.step},
               {"epoch", record.epoch},
               {"records", record.records},
               {"loss", number(record.loss)},
               {"learning_rate", record.learningRate},
               {"gradient_norm", number(record.gradientNorm)},
               {"seconds", record.seconds},
               {"seconds_waited", record.secondsWaited},
               {"tokens_per_second", record.tokensPerSecond}};
  if (!record.auxLosses.empty())
    json["aux_losses"] = numbers(record.auxLosses);
  if (!record.load.empty())
    json["load"] = record.load;
  if (!record.dropped.empty())
    json["dropped"] = numbers(record.dropped);
  if (!record.nonFinite.empty())
    json["non_finite"] = numbers(record.nonFinite);
  append(json.dump());
}

void Metrics::add(const EvaluationRecord& record) {
  Json json = {{"kind", "evaluation"}, {"step", record.step}, {"records", record.records}, {"loss", number(record.loss)}};
  if (record.accuracy)
    json["accuracy"] = number(*record.accuracy);
  if (!record.auxLosses.empty())
    json["aux_losses"] = numbers(record.auxLosses);
  if (!record.nonFinite.empty())
    json["non_finite"] = numbers(record.nonFinite);
  json["seconds"] = record.seconds;
  json["best"] = record.best;
  append(json.dump());
}

void Metrics::addCheckpoint(int64_t step, const std::string& folder) { append(Json({{"kind", "checkpoint"}, {"step", step}, {"folder", folder}}).dump()); }

void Metrics::addSkipped(int64_t step, const std::string& message) {
  append(Json({{"kind", "skipped"}, {"step", step}, {"message", message}}).dump(-1, ' ', false, Json::error_handler_t::replace));
}

void Metrics::addEvent(int64_t step, const std::string& event, const std::string& message) {
  Json json = {{"kind", event}, {"step", step}};
  if (!message.empty())
    json["message"] = message;
  append(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void readMetrics(const fs::path& file, Listener& listener) {
  forEachLine(file, [&](size_t number, std::string_view line) {
    Json json = parseLine(file, number, line);
    std::string kind = json["kind"].get<std::string>();
    if (kind == "step")
      listener.onStep(stepOf(json));
    else if (kind == "evaluation")
      listener.onEvaluation(evaluationOf(json));
    else if (kind == "checkpoint")
      listener.onCheckpoint(file.parent_path() / text(json, "folder"));
    else if (kind == "skipped")
      listener.onSkippedRecord(text(json, "message"));
    else
      listener.onEvent(whole(json, "step"), kind, text(json, "message"));
  });
}

} // namespace moec::train
