#include "models/json/Diagnostics.h"

#include "models/json/Words.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace moec::models {

namespace {

constexpr size_t kMostNamesOfValue = 8; // in a message

std::string placeText(Position place) { return fmt::format("{}:{}", place.line, place.column); }

} // namespace

void Diagnostics::error(Position position, std::string message) {
  if (isFull()) {
    ++dropped_;
    return;
  }
  std::vector<Name> names = namesOf(position);
  for (const Name& one : names)
    message += fmt::format("{}{} is {}", &one == &names.front() ? "; " : ", ", inQuotes(one.name),
                           one.definition.line ? "defined at " + placeText(one.definition) : "given with the call");
  Entry entry{position, std::move(message)};
  if (!names.empty()) {
    auto same = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& other) { return other.message == entry.message; });
    if (same != entries_.end()) { // of the same definition: the message names it
      std::vector<Position> places = std::move(same->also);
      places.push_back(same->position);
      places.push_back(position);
      std::sort(places.begin(), places.end());
      places.erase(std::unique(places.begin(), places.end()), places.end());
      entry.position = places.front();
      entry.also.assign(places.begin() + 1, places.end());
      entries_.erase(same);
    }
  }
  keep(std::move(entry));
}

void Diagnostics::keep(Entry entry) {
  auto place = std::lower_bound(entries_.begin(), entries_.end(), entry,
                                [](const Entry& a, const Entry& b) { return std::tie(a.position, a.message) < std::tie(b.position, b.message); });
  if (place == entries_.end() || place->position != entry.position || place->message != entry.message)
    entries_.insert(place, std::move(entry));
}

void Diagnostics::noteName(Position use, std::string_view name, Position definition) {
  if (!use.line || (names_.size() >= kMostNames && !names_.contains(use)))
    return;
  std::vector<Name>& names = names_[use];
  auto known = std::find_if(names.begin(), names.end(), [&](const Name& one) { return one.name == name; });
  if (known != names.end())
    known->definition = definition; // of another use of an own block
  else if (names.size() < kMostNamesOfValue)
    names.push_back({std::string(name), definition});
}

std::vector<Diagnostics::Name> Diagnostics::namesOf(Position use) const {
  std::vector<Name> result;
  std::vector<Position> open{use};
  for (size_t i = 0; i < open.size() && result.size() < kMostNamesOfValue; ++i)
    if (auto found = names_.find(open[i]); found != names_.end())
      for (const Name& one : found->second)
        if (!one.definition.line || std::find(open.begin(), open.end(), one.definition) == open.end()) {
          open.push_back(one.definition);
          result.push_back(one);
        }
  return result;
}

std::string Diagnostics::text() const {
  constexpr size_t kMost = 100;
  std::string result;
  for (size_t i = 0; i < std::min(entries_.size(), kMost); ++i) {
    const auto& [position, text, also] = entries_[i];
    std::string message = text;
    for (const Position& place : also)
      message += (&place == &also.front() ? "; also at " : ", ") + placeText(place);
    result +=
        position.line ? fmt::format("{}:{}:{}: error: {}\n", file_, position.line, position.column, message) : fmt::format("{}: error: {}\n", file_, message);
  }
  if (entries_.size() > kMost)
    result += fmt::format("{}: error: and {} more\n", file_, entries_.size() - kMost + dropped_);
  return result;
}

} // namespace moec::models
