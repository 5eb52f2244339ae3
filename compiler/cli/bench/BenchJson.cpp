#include "compiler/cli/bench/BenchJson.h"

#include "compiler/cli/bench/ResultFile.h"
#include "runtime/bench/FmaRate.h"

#include <nlohmann/json.hpp>

namespace moec::cli {

namespace {

using Json = nlohmann::ordered_json;

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

Json sizesJson(const Bindings& sizes) {
  Json result = Json::object();
  for (const auto& [size, value] : sizes)
    result[size] = value;
  return result;
}

Json timesJson(const BenchTimes& times, const bench::Peaks& peaks) {
  bench::Spread spread = times.spread();
  Json result{{"name", times.name},      {"pass", times.pass},
              {"tokens", times.tokens},  {"sizes", sizesJson(times.sizes)},
              {"calls", times.calls},    {"seconds", times.seconds},
              {"median", spread.median}, {"best", times.best()},
              {"spread", spread.half()}, {"tokens_per_second", times.tokensPerSecond()}};
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
  Json result{{"format", kBenchFormat},  {"model", report.model},   {"moec", report.build}, {"purpose", name(report.purpose)},
              {"device", report.device}, {"target", report.target}, {"cpu", report.cpu},    {"threads", report.threads},
              {"token", report.token},   {"plan", report.made},     {"machine", nullptr},   {"benchmarks", Json::array()}};
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
  Json result{{"a", comparisons.a}, {"b", comparisons.b}, {"method", comparisons.method()}, {"comparisons", Json::array()}};
  for (const BenchComparison& one : comparisons.comparisons)
    result["comparisons"].push_back({{"benchmark", one.what},
                                     {"sizes_a", sizesJson(one.sizesA)},
                                     {"sizes_b", sizesJson(one.sizesB)},
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

} // namespace moec::cli
