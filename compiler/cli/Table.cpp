#include "compiler/cli/Table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace moec::cli {

Table::Table(std::vector<std::string> headings) {
  for (std::string& heading : headings) {
    right_.push_back(heading.starts_with('>'));
    if (right_.back())
      heading.erase(0, 1);
  }
  rows_.push_back(std::move(headings));
}

void Table::add(std::vector<std::string> row) {
  row.resize(right_.size());
  rows_.push_back(std::move(row));
}

std::string Table::str() const {
  std::vector<size_t> widths(right_.size());
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], row[i].size());
  std::string result;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += right_[i] ? fmt::format("{:>{}}", row[i], widths[i]) : fmt::format("{:<{}}", row[i], widths[i]);
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    if (!line.empty())
      result += line + "\n";
  }
  return result;
}

namespace {

std::string scaled(double value, double step, std::span<const char* const> units) {
  size_t unit = 0;
  while (std::fabs(value) >= step && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  if (unit == 0)
    return fmt::format("{:.0f}{}", value, units[0]);
  int digits = std::fabs(value) < 10 ? 2 : std::fabs(value) < 100 ? 1 : 0;
  return fmt::format("{:.{}f}{}", value, digits, units[unit]);
}

} // namespace

std::string shortNumber(double value) {
  static constexpr std::array<const char*, 5> units{"", " k", " M", " G", " T"};
  return scaled(value, 1000, units);
}

std::string counted(int64_t count, const std::string& one, const std::string& plural) {
  return fmt::format("{} {}", count, count == 1 ? one : plural.empty() ? one + "s" : plural);
}

std::string shortBytes(double bytes) {
  static constexpr std::array<const char*, 5> units{" B", " KiB", " MiB", " GiB", " TiB"};
  return scaled(bytes, 1024, units);
}

std::string shortSeconds(double seconds) {
  if (seconds >= 1)
    return fmt::format("{:.2f} s", seconds);
  return seconds >= 1e-3 ? fmt::format("{:.1f} ms", seconds * 1e3) : fmt::format("{:.0f} us", seconds * 1e6);
}

namespace {

/// Indices along an axis that are shown; -1 stands for those left out.
std::vector<int64_t> shown(int64_t size, int64_t most) {
  std::vector<int64_t> result;
  if (size <= most) {
    for (int64_t i = 0; i < size; ++i)
      result.push_back(i);
    return result;
  }
  int64_t half = std::max<int64_t>(1, most / 2);
  for (int64_t i = 0; i < half; ++i)
    result.push_back(i);
  result.push_back(-1);
  for (int64_t i = size - half; i < size; ++i)
    result.push_back(i);
  return result;
}

std::string cell(DType type, double value) {
  if (!isFloat(type))
    return fmt::format("{:.0f}", value);
  return fmt::format("{:.{}g}", value, type == DType::F64 ? 10 : type == DType::F32 ? 6 : 4);
}

} // namespace

std::string valueTable(const Tensor& tensor, int maxRows) {
  std::vector<double> values = tensor.toDoubles();
  if (values.empty())
    return "(no elements)\n";
  const Shape& shape = tensor.shape();
  int64_t columns = shape.empty() ? 1 : shape.back();
  int64_t rows = static_cast<int64_t>(values.size()) / columns;
  std::vector<std::string> headings(shape.size() > 1 ? 1 : 0);
  auto columnList = shown(columns, 10);
  for (size_t i = 0; i < columnList.size(); ++i)
    headings.push_back(">");
  Table table(headings);
  for (int64_t row : shown(rows, maxRows)) {
    std::vector<std::string> line;
    if (shape.size() > 1) {
      // The index of the row in the outer axes: [2, 0].
      std::string place;
      int64_t rest = row;
      for (size_t axis = shape.size() - 1; axis-- > 0; rest /= shape[axis])
        place = fmt::format("{}{}{}", rest % shape[axis], place.empty() ? "" : ", ", place);
      line.push_back(row < 0 ? "..." : "[" + place + "]");
    }
    for (int64_t column : columnList)
      line.push_back(row < 0 || column < 0 ? "..." : cell(tensor.dtype(), values[static_cast<size_t>(row * columns + column)]));
    table.add(std::move(line));
  }
  return table.str();
}

} // namespace moec::cli
