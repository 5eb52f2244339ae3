#pragma once
// Text tables and numbers for people. Knows nothing of programs.

#include "runtime/core/Tensor.h"

#include <cstdint>
#include <string>
#include <vector>

namespace moec::cli {

/// Columns as wide as their widest cell, two spaces between them. Cells of a right-aligned column end in one line.
class Table {
public:
  /// A heading that starts with '>' makes a right-aligned column.
  explicit Table(std::vector<std::string> headings);
  void add(std::vector<std::string> row);
  std::string str() const;

private:
  std::vector<std::vector<std::string>> rows_; // the first holds the headings
  std::vector<bool> right_;
};

/// "1234", "12.3 k", "4.56 M" of a unit: at most three digits that matter.
std::string shortNumber(double value);
/// "1 kernel", "3 kernels"; `plural` of words that do not take an s.
std::string counted(int64_t count, const std::string& one, const std::string& plural = {});
/// "512 B", "1.25 KiB" ...
std::string shortBytes(double bytes);
/// "1.23 s", "45 ms" ...
std::string shortSeconds(double seconds);

/// A tensor's values in aligned columns, at most `maxRows` lines: the last axis runs to the right, long axes show both
/// ends around "...".
std::string valueTable(const Tensor& tensor, int maxRows = 24);

} // namespace moec::cli
