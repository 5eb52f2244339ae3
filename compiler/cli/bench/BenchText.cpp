#include "compiler/cli/bench/BenchText.h"

#include "compiler/cli/Table.h"
#include "compiler/cli/Terminal.h"
#include "runtime/bench/FmaRate.h"
#include "runtime/bench/ShortNumbers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unistd.h>

namespace moec::cli {

using bench::digits;
using bench::shortCount;
using bench::shortTime;

std::string rateText(double rate) { return rate < 999.5 ? digits(rate) : shortCount(rate); }

std::string layerText(const std::vector<std::string>& layers) {
  if (layers.empty())
    return "";
  return layers.size() == 1 ? layers[0] : fmt::format("{}, and {} more", layers[0], layers.size() - 1);
}

std::string percent(double part) { return digits(100 * part) + " %"; }

namespace {

std::vector<std::string> kernelRow(const BenchKernel& kernel) {
  return {kernel.kind,
          layerText(kernel.layers),
          std::to_string(kernel.launches),
          percent(kernel.share),
          shortTime(kernel.median),
          shortTime(kernel.best),
          shortCount(kernel.flops()),
          shortCount(kernel.work.bytes, "B"),
          shortTime(kernel.bound.seconds),
          nameOf(kernel.bound.side),
          shortTime(kernel.bound.inTurn),
          percent(kernel.ofLimit())};
}

std::string kernelTable(const BenchTimes& times, const bench::Peaks& peaks) {
  Table table({"  kernel", "layer", ">launches", ">share", ">median", ">best", ">flop", ">traffic", ">limit", "by", ">in turn", ">of limit"});
  std::vector<BenchKernel> kernels = kernelsOf(times, peaks);
  for (const BenchKernel& kernel : kernels) {
    std::vector<std::string> row = kernelRow(kernel);
    row[0].insert(0, "  ");
    if (&kernel == &kernels.back())
      row[1] = row[9] = ""; // of all layers, and by both sides
    table.add(std::move(row));
  }
  table.add({"  outside", "", "", percent(outsideShare(times))});
  return table.str();
}

} // namespace

std::string toText(const BenchReport& report) {
  std::string text = fmt::format("{} on {} ({}){}{}\n", report.model, report.device, report.target,
                                 report.threads > 0 ? ", " + counted(report.threads, "thread") : "", report.cpu.empty() ? "" : ", " + report.cpu);
  bench::Peaks peaks = report.peaks();
  if (report.hasLimits())
    text += fmt::format("limits  {} in f32, {} in f64 ({}), {} read from memory: the best of {} measurements between the repetitions\n",
                        shortCount(peaks.flops32, "FLOP/s"), shortCount(peaks.flops64, "FLOP/s"), bench::fmaVectors(), shortCount(peaks.bytes, "B/s"), [&] {
                          size_t count = 0;
                          for (const BenchTimes& times : report.benchmarks)
                            count += times.limits.size();
                          return count;
                        }());
  else
    text += "limits  not measured, and launches not timed: of the cpu alone\n";
  if (report.token != "token")
    text += fmt::format("tokens  a {} counts as one\n", report.token);
  Table table({"benchmark", "sizes", ">median", ">best", ">spread", fmt::format(">{}s/s", report.token), ">repetitions"});
  for (const BenchTimes& times : report.benchmarks) {
    bench::Spread spread = times.spread();
    table.add({times.name, sizeText(times.sizes), shortTime(spread.median), shortTime(times.best()), shortTime(spread.half()),
               rateText(times.tokensPerSecond()), fmt::format("{} x {}", times.seconds.size(), times.calls)});
  }
  text += "\n" + table.str();
  for (const BenchTimes& times : report.benchmarks)
    if (!times.launches.empty())
      text += fmt::format("\n{}\n{}", times.name, kernelTable(times, peaks));
  return text;
}

std::string toText(const BenchComparisons& comparisons) {
  std::string text = fmt::format("A  {}\nB  {}\n\n", comparisons.a, comparisons.b);
  Table table({"benchmark", "sizes", ">A median", ">B median", ">B/A", "95 %", "B is"});
  for (const BenchComparison& one : comparisons.comparisons) {
    std::string verdict = one.verdict();
    if (one.ratio.shows())
      verdict = coloured(STDOUT_FILENO, one.ratio.value < 1 ? Colour::Green : Colour::Red, verdict);
    table.add({one.what, one.sizesA == one.sizesB ? sizeText(one.sizesA) : "differ", shortTime(one.medianA), shortTime(one.medianB),
               fmt::format("{:.3f}", one.ratio.value), fmt::format("{:.3f} to {:.3f}", one.ratio.low, one.ratio.high), verdict});
  }
  text += table.str() + "\n" + comparisons.method() + "\n";
  for (const std::string& difference : comparisons.differences)
    text += "A and B differ in " + difference + "\n";
  for (auto [name, only] : {std::pair("A", &comparisons.onlyA), std::pair("B", &comparisons.onlyB)})
    if (!only->empty())
      text += fmt::format("only in {}: {}\n", name, fmt::join(*only, ", "));
  return text;
}

namespace {

std::string csvRow(std::vector<std::string> cells) {
  for (std::string& cell : cells)
    if (cell.find_first_of(",\"\n\r") != std::string::npos) {
      std::string quoted = "\"";
      for (char c : cell)
        quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
      cell = quoted + "\"";
    }
  return fmt::format("{}\n", fmt::join(cells, ","));
}

std::string number(double value) { return fmt::format("{}", value); }

} // namespace

std::string toCsv(const BenchReport& report) {
  std::string text = csvRow({"benchmark", "tokens", "kernel", "kind", "layers", "launches", "share", "median", "best", "spread", "tokens_per_second", "flops",
                             "bytes", "limit", "limited_by", "limit_in_turn", "of_limit"});
  bench::Peaks peaks = report.peaks();
  for (const BenchTimes& times : report.benchmarks) {
    std::vector<BenchKernel> kernels = kernelsOf(times, peaks);
    bench::Spread spread = times.spread();
    std::vector<std::string> call{times.name,
                                  std::to_string(times.tokens),
                                  "",
                                  "",
                                  "",
                                  "",
                                  "1",
                                  number(spread.median),
                                  number(times.best()),
                                  number(spread.half()),
                                  number(times.tokensPerSecond())};
    auto addWork = [](std::vector<std::string>& row, const BenchKernel& kernel) {
      for (const std::string& cell : {number(kernel.flops()), number(kernel.work.bytes), number(kernel.bound.seconds), std::string(nameOf(kernel.bound.side)),
                                      number(kernel.bound.inTurn), number(kernel.ofLimit())})
        row.push_back(cell);
    };
    call.resize(17);
    text += csvRow(std::move(call));
    for (const BenchKernel& kernel : kernels) {
      std::vector<std::string> row{times.name,
                                   std::to_string(times.tokens),
                                   kernel.kernel,
                                   kernel.kind,
                                   fmt::format("{}", fmt::join(kernel.layers, " ")),
                                   std::to_string(kernel.launches),
                                   number(kernel.share),
                                   number(kernel.median),
                                   number(kernel.best),
                                   "",
                                   ""};
      addWork(row, kernel);
      text += csvRow(std::move(row));
    }
  }
  return text;
}

std::string toCsv(const BenchComparisons& comparisons) {
  std::string text = csvRow({"benchmark", "median_a", "median_b", "ratio", "low", "high", "verdict"});
  for (const BenchComparison& one : comparisons.comparisons)
    text += csvRow({one.what, number(one.medianA), number(one.medianB), number(one.ratio.value), number(one.ratio.low), number(one.ratio.high), one.verdict()});
  return text;
}

} // namespace moec::cli
