#include "compiler/cli/bench/Roofline.h"

#include "runtime/bench/ShortNumbers.h"
#include "runtime/core/HtmlText.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace moec::cli {

namespace {

constexpr double kWidth = 1120, kHeight = 460, kLeft = 100, kRight = 24, kTop = 18, kBottom = 52;

/// A logarithmic axis over whole decades.
struct Axis {
  int low = 0, high = 1;   // powers of ten at its ends
  double from = 0, to = 0; // pixels

  double at(double value) const { return from + (to - from) * (std::log10(value) - low) / (high - low); }
  double end() const { return std::pow(10.0, high); }
  double begin() const { return std::pow(10.0, low); }
};

Axis axisOf(double least, double most, double from, double to) {
  Axis axis{static_cast<int>(std::floor(std::log10(least))), static_cast<int>(std::ceil(std::log10(most))), from, to};
  axis.high = std::max(axis.high, axis.low + 1);
  return axis;
}

std::string line(const char* style, double x1, double y1, double x2, double y2) {
  return fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", style, x1, y1, x2, y2);
}

std::string label(double x, double y, const char* anchor, const std::string& text, const char* style = "") {
  return fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", style, x, y, anchor, htmlText(text));
}

std::string grid(const Axis& x, const Axis& y) {
  std::string svg;
  for (int power = x.low; power <= x.high; ++power) {
    double value = std::pow(10.0, power);
    svg += line("gridline", x.at(value), y.from, x.at(value), y.to) + label(x.at(value), y.from + 18, "middle", fmt::format("{:g}", value));
  }
  for (int power = y.low; power <= y.high; ++power) {
    double value = std::pow(10.0, power);
    svg += line("gridline", x.from, y.at(value), x.to, y.at(value)) + label(x.from - 8, y.at(value) + 4, "end", bench::shortCount(value, "FLOP/s"));
  }
  return svg + line("axis", x.from, y.from, x.to, y.from) + line("axis", x.from, y.from, x.from, y.to) +
         label((x.from + x.to) / 2, y.from + 40, "middle", "arithmetic intensity: FLOP for each byte of least traffic");
}

/// What both sides allow together, and one behind the other.
std::string roof(const Axis& x, const Axis& y, double flops, double bytes, const std::string& name) {
  std::string together, inTurn;
  constexpr int kSteps = 160;
  for (int step = 0; step <= kSteps; ++step) {
    double intensity = x.begin() * std::pow(x.end() / x.begin(), static_cast<double>(step) / kSteps);
    double least = std::min(flops, intensity * bytes), turn = 1 / (1 / flops + 1 / (intensity * bytes));
    if (least >= y.begin())
      together += fmt::format("{:.1f},{:.1f} ", x.at(intensity), y.at(least));
    if (turn >= y.begin())
      inTurn += fmt::format("{:.1f},{:.1f} ", x.at(intensity), y.at(turn));
  }
  return fmt::format("<polyline class=\"roof\" points=\"{}\"/>\n<polyline class=\"turn\" points=\"{}\"/>\n", together, inTurn) +
         label(x.to - 4, y.at(flops) - 7, "end", fmt::format("{} {}", name, bench::shortCount(flops, "FLOP/s")), "roofname");
}

} // namespace

std::string rooflineSvg(const bench::Peaks& peaks, const std::vector<RooflinePoint>& points) {
  double most = 0, left = peaks.bytes > 0 ? peaks.flops32 / peaks.bytes : 1, right = left, least = peaks.flops32;
  bool floats = false, doubles = false;
  for (const RooflinePoint& point : points) {
    double intensity = point.flops / point.bytes, rate = point.flops / point.seconds;
    (point.isDouble ? doubles : floats) = true;
    left = std::min(left, intensity);
    right = std::max(right, intensity);
    least = std::min(least, rate);
    most = std::max(most, rate);
  }
  if (floats || !doubles)
    most = std::max(most, peaks.flops32);
  if (doubles)
    most = std::max(most, peaks.flops64);
  Axis x = axisOf(left / 1.5, right * 1.5, kLeft, kWidth - kRight), y = axisOf(least / 1.2, most * 1.2, kHeight - kBottom, kTop);

  std::string svg = fmt::format("<svg viewBox=\"0 0 {:g} {:g}\" role=\"img\" aria-label=\"kernels on the roofline\">\n", kWidth, kHeight) + grid(x, y);
  if (floats || !doubles)
    svg += roof(x, y, peaks.flops32, peaks.bytes, "f32");
  if (doubles)
    svg += roof(x, y, peaks.flops64, peaks.bytes, "f64");
  double named = std::max(x.begin() * 1.25, y.begin() * 1.6 / peaks.bytes); // below the line, where it begins
  svg += label(x.at(named) + 8, y.at(named * peaks.bytes) + 18, "start", fmt::format("memory {}", bench::shortCount(peaks.bytes, "B/s")), "roofname");
  svg += label(x.to - 4, y.from - 8, "end", "dashed: arithmetic and memory one behind the other", "turnname");
  std::string numbers; // above all points
  std::vector<std::pair<double, double>> places;
  for (const RooflinePoint& point : points) {
    double px = x.at(point.flops / point.bytes), py = y.at(point.flops / point.seconds), radius = 8.5 + 10 * std::sqrt(std::clamp(point.share, 0.0, 1.0));
    double nx = px; // a number that would lie on another steps aside
    while (std::ranges::any_of(places, [&](const auto& place) { return std::abs(place.first - nx) < 17 && std::abs(place.second - py) < 14; }))
      nx += 18;
    places.emplace_back(nx, py);
    std::string style = point.isDouble ? "point double" : "point", title = htmlText(point.words);
    svg += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\"><title>{}</title></circle>\n", style, px, py, radius, title);
    if (nx != px)
      numbers += line("leader", px, py, nx, py) + fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"8.5\"/>", style, nx, py);
    numbers += fmt::format("<text class=\"number\" x=\"{:.1f}\" y=\"{:.1f}\">{}<title>{}</title></text>\n", nx, py + 3.8, htmlText(point.number), title);
  }
  svg += numbers;
  return svg + "</svg>\n";
}

} // namespace moec::cli
