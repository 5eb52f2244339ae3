#include "models/json/Diagnostics.h"

#include <fmt/format.h>

#include <algorithm>

namespace moec::models {

void Diagnostics::error(Position position, std::string message) {
  if (isFull()) {
    ++dropped_;
    return;
  }
  Entry entry{position, std::move(message)};
  auto place = std::lower_bound(entries_.begin(), entries_.end(), entry);
  if (place == entries_.end() || *place != entry)
    entries_.insert(place, std::move(entry));
}

std::string Diagnostics::text() const {
  constexpr size_t kMost = 100;
  std::string result;
  for (size_t i = 0; i < std::min(entries_.size(), kMost); ++i) {
    const auto& [position, message] = entries_[i];
    result += position.line ? fmt::format("{}:{}:{}: error: {}\n", file_, position.line, position.column, message)
                            : fmt::format("{}: error: {}\n", file_, message);
  }
  if (entries_.size() > kMost)
    result += fmt::format("{}: error: and {} more\n", file_, entries_.size() - kMost + dropped_);
  return result;
}

} // namespace moec::models
