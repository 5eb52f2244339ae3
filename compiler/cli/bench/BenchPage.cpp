#include "compiler/cli/bench/BenchPage.h"

#include "compiler/cli/Table.h"
#include "compiler/cli/bench/BenchText.h"
#include "compiler/cli/bench/PageParts.h"
#include "compiler/cli/bench/Roofline.h"
#include "runtime/bench/FmaRate.h"
#include "runtime/bench/ShortNumbers.h"
#include "runtime/core/HtmlText.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace moec::cli {

using bench::shortCount;
using bench::shortTime;

namespace {

std::string tile(const std::string& what, const std::string& value, const std::string& note) {
  return fmt::format("<div class=\"tile\"><div class=\"what\">{}</div><div class=\"value\">{}</div><div class=\"note\">{}</div></div>\n", htmlText(what),
                     htmlText(value), htmlText(note));
}

std::string tiles(const BenchReport& report) {
  std::string html;
  bench::Peaks peaks = report.peaks();
  if (report.hasLimits())
    html = tile("f32 multiply-adds", shortCount(peaks.flops32, "FLOP/s"), bench::fmaVectors()) +
           tile("f64 multiply-adds", shortCount(peaks.flops64, "FLOP/s"), bench::fmaVectors()) +
           tile("reads from memory", shortCount(peaks.bytes, "B/s"), fmt::format("of {} MiB", report.readBytes >> 20));
  for (const BenchTimes& times : report.benchmarks)
    html += tile(fmt::format("{}, tokens:{}", times.pass, times.tokens), shortTime(times.spread().median),
                 fmt::format("{} {}s/s", rateText(times.tokensPerSecond()), report.token));
  return html;
}

/// Cells of a row; those of numbers end in one line.
std::string cells(const std::vector<std::string>& texts, const char* tag, size_t words) {
  std::string html;
  for (size_t i = 0; i < texts.size(); ++i)
    html += fmt::format("<{}{}>{}</{}>", tag, i >= words ? " class=\"n\"" : i == 2 && *tag == 't' && tag[1] == 'd' ? " class=\"wide\"" : "", texts[i], tag);
  return html;
}

std::string bar(double part) { return fmt::format("<span class=\"bar\"><i style=\"width:{:.0f}%\"></i></span>", 100 * std::clamp(part, 0.0, 1.0)); }

std::string kernelTable(const BenchTimes& times, const std::vector<BenchKernel>& kernels) {
  constexpr size_t kWords = 3; // columns that are no numbers
  std::string html =
      "<div class=\"scroll\"><table>\n<tr>" +
      cells({"", "kernel", "layers", "launches", "share", "median", "best", "FLOP", "traffic", "limit", "by", "in turn", "of the limit"}, "th", kWords) +
      "</tr>\n";
  for (size_t i = 0; i < kernels.size(); ++i) {
    const BenchKernel& kernel = kernels[i];
    bool isSum = i + 1 == kernels.size();
    html += fmt::format("<tr{}>", isSum ? " class=\"sum\"" : "") +
            cells({isSum ? "" : std::to_string(i + 1), htmlText(kernel.kind), isSum ? "" : htmlText(fmt::format("{}", fmt::join(kernel.layers, ", "))),
                   std::to_string(kernel.launches), percent(kernel.share), shortTime(kernel.median), shortTime(kernel.best), shortCount(kernel.flops()),
                   shortCount(kernel.work.bytes, "B"), shortTime(kernel.bound.seconds), isSum ? "" : nameOf(kernel.bound.side), shortTime(kernel.bound.inTurn),
                   percent(kernel.ofLimit()) + bar(kernel.ofLimit())},
                  "td", kWords) +
            "</tr>\n";
  }
  return html + "<tr>" + cells({"", "outside of launches", "", "", percent(outsideShare(times))}, "td", kWords) + "</tr>\n</table></div>\n";
}

std::string section(const BenchTimes& times, const bench::Peaks& peaks) {
  bench::Spread spread = times.spread();
  std::string html = fmt::format("<section class=\"card\">\n<h2>{}</h2>\n<p class=\"under\">{}: median {}, best {}, spread {}, of {} of {}</p>\n",
                                 htmlText(times.name), htmlText(sizeText(times.sizes)), shortTime(spread.median), shortTime(times.best()),
                                 shortTime(spread.half()), counted(std::ssize(times.seconds), "repetition"), counted(times.calls, "call"));
  std::vector<BenchKernel> kernels = kernelsOf(times, peaks);
  if (kernels.empty())
    return html + "<p class=\"note\">Launches are timed on the CPU alone.</p>\n</section>\n";
  std::vector<RooflinePoint> points;
  std::vector<std::string> without;
  for (size_t i = 0; i + 1 < kernels.size(); ++i) {
    const BenchKernel& kernel = kernels[i];
    std::string number = std::to_string(i + 1);
    if (kernel.flops() > 0 && kernel.work.bytes > 0 && kernel.best > 0)
      points.push_back(
          {number,
           fmt::format("{} {}: {} of {}, {} of the limit by {}", kernel.kind, layerText(kernel.layers), shortCount(kernel.flops() / kernel.best, "FLOP/s"),
                       shortTime(kernel.best), percent(kernel.ofLimit()), nameOf(kernel.bound.side)),
           kernel.flops(), kernel.work.bytes, kernel.best, kernel.share, kernel.work.flops64 > kernel.work.flops32});
    else
      without.push_back(number);
  }
  html += rooflineSvg(peaks, points);
  if (!without.empty())
    html += fmt::format("<p class=\"note\">Not in the picture, for they do no arithmetic: {}.</p>\n", fmt::join(without, ", "));
  return html + kernelTable(times, kernels) + "</section>\n";
}

} // namespace

std::string toPage(const BenchReport& report) {
  std::string sections;
  bench::Peaks peaks = report.peaks();
  for (const BenchTimes& times : report.benchmarks)
    sections += section(times, peaks);
  std::string subtitle = fmt::format("{} ({}){}{}, moec {}", report.device, report.target, report.threads > 0 ? ", " + counted(report.threads, "thread") : "",
                                     report.cpu.empty() ? "" : ", " + report.cpu, report.build);
  std::string page;
  std::string_view rest = kBenchPageHtml;
  // Each name is looked for in the page's own text alone: what is put in is never read again.
  for (const auto& [name, text] : {std::pair<std::string_view, std::string>("@TITLE@", htmlText(report.model + ", moec bench")),
                                   {"@STYLE@", std::string(kBenchPageCss)},
                                   {"@NAME@", htmlText(report.model)},
                                   {"@SUBTITLE@", htmlText(subtitle)},
                                   {"@TILES@", tiles(report)},
                                   {"@SECTIONS@", sections}}) {
    size_t at = rest.find(name);
    page += std::string(rest.substr(0, at)) + text;
    rest.remove_prefix(at + name.size());
  }
  return page + std::string(rest);
}

} // namespace moec::cli
