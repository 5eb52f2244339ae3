#include "runtime/train/Page.h"

#include "runtime/core/AtomicFile.h"
#include "runtime/core/Base64.h"
#include "runtime/core/HtmlText.h"
#include "runtime/train/PageParts.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace moec::train {

namespace {

using Json = nlohmann::ordered_json;

// What the page's numbers may take: together with the text around them less than 2 MB.
constexpr int64_t kMostNumbers = 130'000; // of curves, about 8 bytes each
constexpr int64_t kMostCells = 200'000;   // of maps, 2 bytes each in base 64

/// JSON that may stand in a script element: no '<' is left, and bytes that are no UTF-8 are replaced.
std::string forScript(const Json& json) {
  std::string result;
  for (char c : json.dump(-1, ' ', false, Json::error_handler_t::replace))
    if (c == '<')
      result += "\\u003c";
    else
      result += c;
  return result;
}

/// Five digits that matter, in few bytes.
Json number(std::optional<double> value) {
  if (!value || !std::isfinite(*value))
    return nullptr;
  if (*value == std::floor(*value) && std::abs(*value) < 1e9)
    return static_cast<int64_t>(*value);
  return std::strtod(fmt::format("{:.5g}", *value).c_str(), nullptr);
}

/// `per` bins become one: the mean of all in them.
Json means(const Bins& bins, const Bins::Series* series, int64_t per = 1) {
  Json result = Json::array();
  for (int64_t from = 0; from < bins.size(); from += per) {
    double sum = 0;
    int64_t count = 0;
    for (int64_t bin = from; series && bin < std::min(from + per, static_cast<int64_t>(series->count.size())); ++bin)
      if (auto index = static_cast<size_t>(bin); series->count[index] > 0) {
        sum += series->sum[index][0];
        count += series->count[index];
      }
    result.push_back(number(count ? std::optional(sum / static_cast<double>(count)) : std::nullopt));
  }
  return result;
}

Json bounds(const Bins& bins, const Bins::Series* series, bool high) {
  Json result = Json::array();
  for (int64_t bin = 0; bin < bins.size(); ++bin) {
    auto index = static_cast<size_t>(bin);
    bool there = series && index < series->count.size() && series->count[index] > 0;
    result.push_back(number(there ? std::optional((high ? series->high : series->low)[index]) : std::nullopt));
  }
  return result;
}

Json stepsOf(const Bins& bins, int64_t steps, int64_t per = 1) {
  Json result = Json::array();
  for (int64_t from = 0; from < bins.size(); from += per)
    result.push_back(lastStep(bins, std::min(from + per, bins.size()) - 1, steps));
  return result;
}

Json curvesJson(const History& history) {
  const Bins& curves = history.curves();
  Json json;
  json["step"] = stepsOf(curves, history.steps());
  Json& series = json["series"] = Json::object();
  for (const char* name : {"loss", "learning_rate", "gradient_norm", "tokens_per_second", "epoch"})
    series[name] = means(curves, curves.find(name));
  if (curves.width() > 1) { // else each is the curve itself
    series["loss_low"] = bounds(curves, curves.find("loss"), false);
    series["loss_high"] = bounds(curves, curves.find("loss"), true);
  }
  // Deep models have many curves of these kinds: they get fewer points each.
  std::vector<std::pair<std::string, const Bins::Series*>> aux, dropped;
  for (const auto& [name, found] : curves.series()) {
    if (name.starts_with("aux "))
      aux.emplace_back(name.substr(4), &found);
    if (name.starts_with("dropped "))
      dropped.emplace_back(name.substr(8), &found);
  }
  int64_t left = kMostNumbers - curves.size() * 8;
  auto many = static_cast<int64_t>(aux.size() + dropped.size());
  int64_t most = std::max<int64_t>(1, left / std::max<int64_t>(1, many)), per = (curves.size() + most - 1) / most;
  per = std::max<int64_t>(1, per);
  json["aux_step"] = stepsOf(curves, history.steps(), per);
  json["aux"] = Json::object();
  for (const auto& [name, found] : aux)
    json["aux"][name] = means(curves, found, per);
  json["dropped"] = Json::object();
  for (const auto& [name, found] : dropped)
    json["dropped"][name] = means(curves, found, per);
  return json;
}

Json evaluationsJson(const History& history) {
  const Bins& curves = history.evaluationCurves();
  Json json{{"step", Json::array()}, {"loss", means(curves, curves.find("loss"))}};
  for (const Json& step : means(curves, curves.find("step")))
    json["step"].push_back(step.is_null() ? step : Json(std::llround(step.get<double>())));
  if (const Bins::Series* accuracy = curves.find("accuracy"))
    json["accuracy"] = means(curves, accuracy);
  return json;
}

/// Column by column, each expert's choices in relation to an even share, in 1024ths, as 16 bits, the low ones first, in base 64.
std::string cells(const Bins& loads, const Bins::Series& series, size_t experts, int64_t per) {
  std::vector<uint8_t> bytes;
  for (int64_t from = 0; from < loads.size(); from += per) {
    std::vector<double> sum(experts, 0);
    for (int64_t bin = from; bin < std::min(from + per, static_cast<int64_t>(series.sum.size())); ++bin)
      for (size_t i = 0; i < series.sum[static_cast<size_t>(bin)].size(); ++i)
        sum[i] += series.sum[static_cast<size_t>(bin)][i];
    double even = std::accumulate(sum.begin(), sum.end(), 0.0) / static_cast<double>(experts);
    for (double value : sum) {
      auto cell = static_cast<uint16_t>(even > 0 ? std::clamp(std::round(1024 * value / even), 0.0, 65535.0) : 0.0);
      bytes.push_back(static_cast<uint8_t>(cell & 0xff));
      bytes.push_back(static_cast<uint8_t>(cell >> 8));
    }
  }
  return encodeBase64(bytes);
}

Json loadsJson(const History& history) {
  const Bins& loads = history.loads();
  std::vector<std::pair<std::string, size_t>> gates;
  size_t all = 0;
  for (const auto& [name, series] : loads.series()) {
    size_t experts = 0;
    for (const auto& sum : series.sum)
      experts = std::max(experts, sum.size());
    gates.emplace_back(name, experts);
    all += experts;
  }
  int64_t most = std::clamp<int64_t>(kMostCells / static_cast<int64_t>(std::max<size_t>(1, all)), 1, History::kMostColumns);
  int64_t per = std::max<int64_t>(1, (loads.size() + most - 1) / most);
  Json json{{"step", stepsOf(loads, history.steps(), per)}, {"gates", Json::array()}};
  for (const auto& [name, experts] : gates)
    json["gates"].push_back({{"name", name}, {"experts", experts}, {"cells", cells(loads, *loads.find(name), experts, per)}});
  return json;
}

std::string tile(const std::string& what, const std::string& value, const std::string& note) {
  return fmt::format("<div class=\"tile\"><div class=\"what\">{}</div><div class=\"value\">{}</div><div class=\"note\">{}</div></div>\n", htmlText(what),
                     htmlText(value), htmlText(note));
}

std::string lossText(double loss) { return std::isfinite(loss) ? fmt::format("{:.4g}", loss) : "not finite"; }

std::string tiles(const History& history, const About& about) {
  std::string result;
  if (const auto& best = history.mostAccurate())
    result += tile("best validation accuracy", fmt::format("{:.2f} %", 100 * *best->accuracy), fmt::format("at step {}", best->step));
  if (const auto& best = history.bestEvaluation())
    result += tile("best validation loss", lossText(best->loss), fmt::format("at step {}", best->step));
  if (history.steps() > 0)
    result += tile("training loss", lossText(history.last().loss), "of the last step");
  std::string share = about.steps > 0 ? fmt::format("of {}", about.steps) : "";
  result += tile("steps", std::to_string(history.steps()), about.state.empty() ? share : fmt::format("{}{}{}", share, share.empty() ? "" : ", ", about.state));
  if (history.steps() > 0) {
    result += tile("time", durationText(history.seconds()), fmt::format("epoch {}", history.last().epoch + 1));
    double rate = history.tokensPerSecond();
    result += tile(history.countsTokens() ? "tokens a second" : "records a second", fmt::format("{:.{}f}", rate, rate < 10 ? 2 : 0), "of the last steps");
  }
  return result;
}

std::string fact(const std::string& name, const std::string& value) { return fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", htmlText(name), htmlText(value)); }

std::string facts(const History& history, const About& about) {
  std::string result = fact("model", about.model);
  if (!about.data.empty())
    result += fact("data", about.data);
  if (!about.target.empty())
    result += fact("target", about.target);
  result += fact("learnt from", fmt::format("{} records in {} steps", history.records(), history.steps()));
  for (const auto& [name, value] : about.facts)
    result += fact(name, value);
  return result;
}

std::string subtitle(const About& about) {
  std::string result;
  for (const std::string& part : {about.data, about.target, about.state})
    if (!part.empty())
      result += (result.empty() ? "" : " \u00b7 ") + part;
  return result;
}

} // namespace

std::string durationText(double seconds) {
  auto whole = static_cast<int64_t>(std::llround(std::clamp(std::isfinite(seconds) ? seconds : 0.0, 0.0, 1e15)));
  if (whole < 60)
    return fmt::format("{} s", whole);
  if (whole < 3600)
    return fmt::format("{} m {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} m", whole / 3600, whole % 3600 / 60);
}

std::string pageText(const History& history, const About& about) {
  Json data = curvesJson(history);
  data["evaluations"] = evaluationsJson(history);
  data["load"] = loadsJson(history);
  data["unit"] = history.countsTokens() ? "tokens" : "records";
  std::pair<std::string_view, std::string> parts[] = {
      {"TITLE", htmlText(about.model + ", training")},
      {"STYLE", std::string(kPageCss)},
      {"NAME", htmlText(about.model)},
      {"SUBTITLE", htmlText(subtitle(about))},
      {"TILES", tiles(history, about)},
      {"FACTS", facts(history, about)},
      {"DATA", forScript(data)},
      {"SCRIPT", std::string(kPageJs)},
  };
  // One walk over the page's own text: what is put in is not looked at again.
  std::string result;
  std::string_view rest = kPageHtml;
  while (!rest.empty()) {
    size_t at = rest.find('@'), end = at == std::string_view::npos ? at : rest.find('@', at + 1);
    if (end == std::string_view::npos)
      break;
    auto part = std::ranges::find(parts, rest.substr(at + 1, end - at - 1), &std::pair<std::string_view, std::string>::first);
    result += rest.substr(0, part == std::end(parts) ? end : at);
    if (part != std::end(parts))
      result += part->second;
    rest.remove_prefix(part == std::end(parts) ? end : end + 1);
  }
  return result + std::string(rest);
}

void writePage(const std::filesystem::path& file, const History& history, const About& about) {
  writeFileAtomically(file, std::string_view(pageText(history, about)));
}

} // namespace moec::train
