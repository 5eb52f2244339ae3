#include "runtime/core/NearestName.h"

#include <algorithm>

namespace moec {

size_t editDistance(std::string_view a, std::string_view b) {
  // Three rows of the table: two back for swaps.
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j)
    row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before.swap(last);
    last.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::optional<std::string> nearestName(std::string_view name, const std::vector<std::string>& known) {
  constexpr size_t kLongest = 256; // a longer name is not a slip of the finger, and the table is quadratic
  size_t best = std::max<size_t>(name.size() / 3, 2) + 1;
  std::optional<std::string> nearest;
  for (const std::string& candidate : known) {
    size_t difference = candidate.size() > name.size() ? candidate.size() - name.size() : name.size() - candidate.size();
    if (difference >= best || name.size() > kLongest || candidate.size() > kLongest)
      continue;
    size_t distance = editDistance(name, candidate);
    if (distance < best && distance < std::max(name.size(), candidate.size())) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string didYouMean(std::string_view name, const std::vector<std::string>& known) {
  auto nearest = nearestName(name, known);
  return nearest ? "; did you mean \"" + *nearest + "\"?" : "";
}

} // namespace moec
