#include "compiler/cli/bench/BenchJson.h"

#include "runtime/bench/FmaRate.h"
#include "runtime/core/Error.h"
#include "runtime/io/MappedFile.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <functional>

namespace moec::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "moec bench 1"; // `format` of a report
constexpr size_t kLargestFile = size_t{256} << 20;

std::string dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

Json workJson(const BenchKernel& kernel) {
  return {{"launches", kernel.launches},
          {"best", kernel.best},
          {"median", kernel.median},
          {"share", kernel.share},
          {"flops", kernel.flops()},
          {"bytes", kernel.work.bytes},
          {"limit", kernel.bound.seconds},
          {"limited_by", nameOf(kernel.bound.side)},
          {"limit_in_turn", kernel.bound.inTurn},
          {"of_limit", kernel.ofLimit()}};
}

Json kernelsJson(const BenchTimes& times, const bench::Peaks& peaks) {
  std::vector<BenchKernel> kernels = kernelsOf(times, peaks);
  Json result = Json::array();
  for (size_t i = 0; i + 1 < kernels.size(); ++i) {
    Json one{{"kernel", kernels[i].kernel}, {"kind", kernels[i].kind}, {"layers", kernels[i].layers}};
    one.update(workJson(kernels[i]));
    result.push_back(std::move(one));
  }
  return result;
}

Json launchesJson(const BenchTimes& times) {
  Json result = Json::array();
  for (const BenchLaunch& launch : times.launches)
    result.push_back({{"list", name(launch.list)},
                      {"launch", launch.index},
                      {"layer", launch.layer},
                      {"kind", launch.kind},
                      {"kernel", launch.kernel},
                      {"dtype", launch.work.flops64 > 0 ? "f64" : "f32"},
                      {"flops", launch.work.flops32 + launch.work.flops64},
                      {"bytes", launch.work.bytes},
                      {"seconds", launch.seconds}});
  return result;
}

Json limitsJson(const BenchTimes& times) {
  Json result{{"f32_flops", Json::array()}, {"f64_flops", Json::array()}, {"bytes_read", Json::array()}};
  for (const bench::LimitSample& sample : times.limits) {
    result["f32_flops"].push_back(sample.flops32);
    result["f64_flops"].push_back(sample.flops64);
    result["bytes_read"].push_back(sample.bytes);
  }
  return result;
}

Json timesJson(const BenchTimes& times, const bench::Peaks& peaks) {
  bench::Spread spread = times.spread();
  Json result{{"name", times.name},      {"pass", times.pass},
              {"tokens", times.tokens},  {"sizes", Json::object()},
              {"calls", times.calls},    {"seconds", times.seconds},
              {"median", spread.median}, {"best", times.best()},
              {"spread", spread.half()}, {"tokens_per_second", times.tokensPerSecond()}};
  for (const auto& [size, value] : times.sizes)
    result["sizes"][size] = value;
  if (times.launches.empty())
    return result;
  result["limits"] = limitsJson(times);
  result["sum"] = workJson(kernelsOf(times, peaks).back());
  result["outside"] = outsideShare(times);
  result["kernels"] = kernelsJson(times, peaks);
  result["launches"] = launchesJson(times);
  return result;
}

} // namespace

std::string toJson(const BenchReport& report) {
  Json result{{"format", kFormat},       {"model", report.model},   {"moec", report.build},       {"purpose", name(report.purpose)},
              {"device", report.device}, {"target", report.target}, {"cpu", report.cpu},          {"threads", report.threads},
              {"token", report.token},   {"machine", nullptr},      {"benchmarks", Json::array()}};
  bench::Peaks peaks = report.peaks();
  if (report.hasLimits())
    result["machine"] = {{"vectors", bench::fmaVectors()},
                         {"f32_flops", peaks.flops32},
                         {"f64_flops", peaks.flops64},
                         {"bytes_read", peaks.bytes},
                         {"memory", report.readBytes}};
  for (const BenchTimes& times : report.benchmarks)
    result["benchmarks"].push_back(timesJson(times, peaks));
  return dump(result);
}

std::string toJson(const BenchComparisons& comparisons) {
  Json result{{"a", comparisons.a}, {"b", comparisons.b}, {"method", methodOf(comparisons.pairing)}, {"comparisons", Json::array()}};
  for (const BenchComparison& one : comparisons.comparisons)
    result["comparisons"].push_back({{"benchmark", one.what},
                                     {"median_a", one.medianA},
                                     {"median_b", one.medianB},
                                     {"ratio", one.ratio.value},
                                     {"low", one.ratio.low},
                                     {"high", one.ratio.high},
                                     {"verdict", one.verdict()}});
  result["differences"] = comparisons.differences;
  result["only_a"] = comparisons.onlyA;
  result["only_b"] = comparisons.onlyB;
  return dump(result);
}

namespace {

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  throw Error(Fault::Data, fmt::format("{}: {}; expected what `moec bench -o FILE` writes", file.string(), what));
}

/// A member of the right type, or an error that names its place.
class Reader {
public:
  Reader(const std::filesystem::path& file, const Json& json, std::string place) : file_(file), json_(json), place_(std::move(place)) {}

  std::string text(const char* name) const { return of(name, "a text", &Json::is_string).get<std::string>(); }
  int64_t count(const char* name) const {
    const Json& value = of(name, "an integer", &Json::is_number_integer);
    bool fits = value.is_number_unsigned() ? value.get<uint64_t>() <= INT64_MAX : value.get<int64_t>() >= 0;
    return fits ? value.get<int64_t>() : wrong(name, "an integer from 0 to 2^63-1", value);
  }
  const Json& list(const char* name) const { return of(name, "a list", &Json::is_array); }
  std::vector<double> numbers(const char* name) const {
    std::vector<double> result;
    for (const Json& value : list(name))
      if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() <= 0)
        wrong(name, "numbers above zero", value);
      else
        result.push_back(value.get<double>());
    return result;
  }

private:
  const Json& of(const char* name, const char* expected, bool (Json::*isOf)() const noexcept) const {
    if (!json_.is_object() || !json_.contains(name))
      fail(file_, fmt::format("{} lacks \"{}\"", place_, name));
    const Json& value = json_.at(name);
    if (!(value.*isOf)())
      wrong(name, expected, value);
    return value;
  }
  [[noreturn]] int64_t wrong(const char* name, const char* expected, const Json& found) const {
    std::string text = found.dump(-1, ' ', true, Json::error_handler_t::replace);
    fail(file_, fmt::format("{}, \"{}\": expected {}, found {}", place_, name, expected, text.size() > 60 ? text.substr(0, 60) + "..." : text));
  }

  const std::filesystem::path& file_;
  const Json& json_;
  std::string place_;
};

} // namespace

bool isBenchReport(const std::filesystem::path& file) {
  MappedFile mapped = MappedFile::open(file);
  std::string_view text(reinterpret_cast<const char*>(mapped.bytes().data()), std::min<size_t>(mapped.bytes().size(), 256));
  size_t brace = text.find_first_not_of(" \t\r\n");
  if (brace == std::string_view::npos || text[brace] != '{')
    return false;
  size_t word = text.find_first_not_of(" \t\r\n", brace + 1);
  return word != std::string_view::npos && text.substr(word).starts_with("\"format\"");
}

BenchReport readBenchReport(const std::filesystem::path& file) {
  MappedFile mapped = MappedFile::open(file);
  if (mapped.bytes().size() > kLargestFile)
    fail(file, fmt::format("{} bytes are more than a result has ({})", mapped.bytes().size(), kLargestFile));
  Json json = Json::parse(mapped.bytes().begin(), mapped.bytes().end(), nullptr, false);
  if (json.is_discarded())
    fail(file, "is no JSON");
  Reader reader(file, json, "the result");
  if (std::string format = reader.text("format"); format != kFormat)
    fail(file, fmt::format("its format is \"{}\", and this moec reads \"{}\"", format, kFormat));
  BenchReport report{.model = reader.text("model"),
                     .build = reader.text("moec"),
                     .device = reader.text("device"),
                     .target = reader.text("target"),
                     .cpu = reader.text("cpu"),
                     .token = reader.text("token"),
                     .threads = static_cast<int>(std::min<int64_t>(reader.count("threads"), INT32_MAX)),
                     .benchmarks = {}};
  size_t index = 0;
  for (const Json& one : reader.list("benchmarks")) {
    Reader inner(file, one, fmt::format("benchmark {}", index++));
    report.benchmarks.push_back({.name = inner.text("name"),
                                 .pass = inner.text("pass"),
                                 .tokens = inner.count("tokens"),
                                 .sizes = {},
                                 .seconds = inner.numbers("seconds"),
                                 .clocked = {},
                                 .launches = {},
                                 .limits = {}});
  }
  return report;
}

} // namespace moec::cli
