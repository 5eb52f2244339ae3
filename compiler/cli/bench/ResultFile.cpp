#include "compiler/cli/bench/ResultFile.h"

#include "compiler/cli/bench/ForeignText.h"
#include "runtime/core/Error.h"
#include "runtime/io/MappedFile.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace moec::cli {

namespace {

using Json = nlohmann::json; // its objects find a name among many quickly, also in a file that lies

constexpr size_t kLargestFile = size_t{256} << 20;
constexpr int kDeepest = 16; // lists and objects; a report has six
constexpr size_t kMostBenchmarks = 1000, kMostTimes = 100'000, kMostTimesOfAll = 500'000, kMostSizes = 64;

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw Error(Fault::Data, fmt::format("{}: {}; expected what `moec bench -o FILE` writes", file, what));
}

/// A value in an error. Of lists and objects the kind alone: they have no bound.
std::string describe(const Json& value) {
  if (value.is_structured())
    return value.is_array() ? "a list" : "an object";
  return value.is_string() ? fmt::format("\"{}\"", shownWord(value.get_ref<const std::string&>())) : value.dump();
}

/// A member of the right type, or an error that names its place.
class Reader {
public:
  Reader(const std::string& file, const Json& json, std::string place) : file_(file), json_(json), place_(std::move(place)) {}

  bool has(const char* name) const { return json_.is_object() && json_.contains(name); }
  std::string text(const char* name) const { return of(name, "a text", &Json::is_string).get<std::string>(); }
  std::string oneOf(const char* name, std::initializer_list<const char*> words) const {
    const Json& value = of(name, "a text", &Json::is_string);
    std::string list;
    for (const char* word : words) {
      if (value == word)
        return word;
      list += fmt::format("{}\"{}\"", list.empty() ? "" : " or ", word);
    }
    wrong(name, list.c_str(), value);
  }
  int64_t count(const char* name) const { return countOf(name, of(name, "an integer", &Json::is_number_integer), 0); }
  const Json& list(const char* name) const { return of(name, "a list", &Json::is_array); }
  std::vector<double> times(const char* name) const {
    if (list(name).size() > kMostTimes)
      fail(file_, fmt::format("{}, \"{}\": {} of them, and more than {} are not compared", place_, name, list(name).size(), kMostTimes));
    std::vector<double> result;
    for (const Json& value : list(name)) {
      if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() <= 0)
        wrong(name, "numbers above zero", value);
      result.push_back(value.get<double>());
    }
    return result;
  }
  Bindings sizes(const char* name) const {
    const Json& object = of(name, "an object", &Json::is_object);
    if (object.size() > kMostSizes)
      fail(file_, fmt::format("{}, \"{}\": {} of them are more than a model has", place_, name, object.size()));
    Bindings result;
    for (const auto& [size, value] : object.items()) {
      if (!value.is_number_integer())
        wrong(name, "integers", value);
      result[size] = countOf(name, value, 1);
    }
    return result;
  }

private:
  int64_t countOf(const char* name, const Json& value, int64_t least) const {
    bool fits = value.is_number_unsigned() ? value.get<uint64_t>() <= INT64_MAX : value.get<int64_t>() >= 0;
    if (!fits || value.get<int64_t>() < least)
      wrong(name, fmt::format("an integer from {} to 2^63-1", least).c_str(), value);
    return value.get<int64_t>();
  }
  const Json& of(const char* name, const char* expected, bool (Json::*isOf)() const noexcept) const {
    if (!has(name))
      fail(file_, fmt::format("{} lacks \"{}\"", place_, name));
    const Json& value = json_.at(name);
    if (!(value.*isOf)())
      wrong(name, expected, value);
    return value;
  }
  [[noreturn]] void wrong(const char* name, const char* expected, const Json& found) const {
    fail(file_, fmt::format("{}, \"{}\": expected {}, found {}", place_, name, expected, describe(found)));
  }

  const std::string& file_;
  const Json& json_;
  std::string place_;
};

/// Looks for `format` in an object, and no further.
class FormatFinder : public nlohmann::json_sax<Json> {
public:
  bool found() const { return found_; }

  bool null() override { return value(); }
  bool boolean(bool) override { return value(); }
  bool number_integer(int64_t) override { return value(); }
  bool number_unsigned(uint64_t) override { return value(); }
  bool number_float(double, const std::string&) override { return value(); }
  bool binary(binary_t&) override { return value(); }
  bool string(std::string& text) override {
    found_ = depth_ == 1 && isFormat_ && text.starts_with("moec bench");
    return !found_ && value();
  }
  bool key(std::string& name) override {
    isFormat_ = depth_ == 1 && name == "format";
    return true;
  }
  bool start_object(size_t) override { return enter(); }
  bool start_array(size_t) override { return depth_ > 0 && enter(); } // a list has no `format`
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

private:
  bool value() { return depth_ > 0; }
  bool enter() {
    ++depth_;
    return true;
  }
  bool leave() {
    --depth_;
    return true;
  }

  int64_t depth_ = 0;
  bool isFormat_ = false, found_ = false;
};

Json parse(std::span<const uint8_t> text, const std::string& file) {
  if (text.size() > kLargestFile)
    fail(file, fmt::format("{} bytes are more than a result has ({})", text.size(), kLargestFile));
  bool isTooDeep = false;
  auto isKept = [&](int depth, Json::parse_event_t, Json&) {
    isTooDeep |= depth > kDeepest;
    return depth <= kDeepest;
  };
  Json json = Json::parse(text.begin(), text.end(), isKept, false);
  if (isTooDeep)
    fail(file, fmt::format("objects and lists are more than {} levels deep", kDeepest));
  if (json.is_discarded())
    fail(file, "is no JSON");
  return json;
}

/// Only once with these tokens in this pass: which of two would be compared?
void checkOnce(const BenchReport& report, const std::string& file) {
  std::map<std::pair<std::string, int64_t>, size_t> places;
  for (size_t i = 0; i < report.benchmarks.size(); ++i) {
    const BenchTimes& times = report.benchmarks[i];
    if (auto [other, isNew] = places.try_emplace({times.pass, times.tokens}, i); !isNew)
      fail(file, fmt::format("benchmarks {} and {} are both {}/tokens:{}", other->second, i, times.pass, times.tokens));
  }
}

} // namespace

bool isBenchReport(const std::filesystem::path& file) {
  MappedFile mapped = MappedFile::open(file);
  auto text = mapped.bytes().first(std::min(mapped.bytes().size(), kLargestFile));
  FormatFinder finder;
  Json::sax_parse(text.begin(), text.end(), &finder);
  return finder.found();
}

BenchReport readBenchReport(const std::filesystem::path& file) { return parseBenchReport(MappedFile::open(file).bytes(), file.string()); }

BenchReport parseBenchReport(std::span<const uint8_t> text, const std::string& name) {
  Json json = parse(text, name);
  Reader reader(name, json, "the result");
  if (std::string format = reader.text("format"); format != kBenchFormat)
    fail(name, fmt::format("its format is \"{}\", and this moec reads \"{}\"", shownWord(format), kBenchFormat));
  BenchReport report{.model = reader.text("model"),
                     .build = reader.text("moec"),
                     .device = reader.text("device"),
                     .target = reader.text("target"),
                     .cpu = reader.text("cpu"),
                     .token = reader.text("token"),
                     .made = reader.has("plan") ? reader.text("plan") : "not told", // moec has not always written it
                     .purpose = reader.oneOf("purpose", {"inference", "training"}) == "training" ? Purpose::Training : Purpose::Inference,
                     .threads = static_cast<int>(std::min<int64_t>(reader.count("threads"), INT32_MAX)),
                     .benchmarks = {}};
  const Json& benchmarks = reader.list("benchmarks");
  if (benchmarks.size() > kMostBenchmarks)
    fail(name, fmt::format("{} benchmarks, and more than {} are not compared", benchmarks.size(), kMostBenchmarks));
  size_t all = 0;
  for (const Json& one : benchmarks) {
    Reader inner(name, one, fmt::format("benchmark {}", report.benchmarks.size()));
    report.benchmarks.push_back({.name = inner.text("name"),
                                 .pass = inner.oneOf("pass", {"forward", "step"}),
                                 .tokens = inner.count("tokens"),
                                 .sizes = inner.sizes("sizes"),
                                 .seconds = inner.times("seconds"),
                                 .clocked = {},
                                 .launches = {},
                                 .limits = {}});
    all += report.benchmarks.back().seconds.size();
  }
  if (all > kMostTimesOfAll)
    fail(name, fmt::format("its benchmarks have {} \"seconds\" together, and more than {} are not compared", all, kMostTimesOfAll));
  checkOnce(report, name);
  return report;
}

} // namespace moec::cli
