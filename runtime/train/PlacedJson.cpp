#include "runtime/train/PlacedJson.h"

#include "runtime/core/Error.h"
#include "runtime/core/Printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

namespace moec::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDeepest = 16; // objects and lists inside each other

/// Tells how far the parser has read: behind a key that is its closing quote, for the parser looks no byte past a string.
class Reader {
public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Reader(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  Reader& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  Reader operator++(int) {
    Reader before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Reader& other) const { return at_ == other.at_; }
  bool operator!=(const Reader& other) const { return at_ != other.at_; }

private:
  const char* at_;
  const char** furthest_;
};

/// The opening quote of the string whose closing quote stands before `end`.
size_t openingQuote(const std::string& text, size_t end) {
  for (size_t at = end - 1; at-- > 0;) {
    size_t slashes = 0;
    while (slashes < at && text[at - 1 - slashes] == '\\')
      ++slashes;
    if (text[at] == '"' && slashes % 2 == 0)
      return at;
  }
  return 0;
}

/// Without nlohmann's "[json.exception.parse_error.101] parse error at line 1, column 9: ".
std::string reason(const std::string& message) {
  size_t from = message.find("] ");
  std::string rest = from == std::string::npos ? message : message.substr(from + 2);
  if (size_t colon = rest.find(": "); rest.starts_with("parse error") && colon != std::string::npos)
    rest = rest.substr(colon + 2);
  return printable(rest.size() > 200 ? rest.substr(0, 200) + "..." : rest);
}

} // namespace

PlacedJson::PlacedJson(const std::string& text, std::string where) : text_(text), where_(std::move(where)) {
  const char* furthest = text.data();
  std::vector<std::set<std::string>> keys; // of the open objects
  std::vector<size_t> places;              // behind the keys of the outermost
  auto follow = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kDeepest)
      fail(static_cast<size_t>(furthest - text.data()), fmt::format("objects and lists are more than {} levels deep", kDeepest));
    if (event == Json::parse_event_t::object_start)
      keys.emplace_back();
    else if (event == Json::parse_event_t::object_end)
      keys.pop_back();
    else if (event == Json::parse_event_t::key) {
      auto behind = static_cast<size_t>(furthest - text.data());
      if (!keys.back().insert(value.get<std::string>()).second)
        fail(openingQuote(text, behind), fmt::format("the key {} is written twice", value.dump()));
      if (keys.size() == 1 && depth == 1)
        places.push_back(behind);
    }
    return true;
  };
  Json json;
  try {
    json = Json::parse(Reader(text.data(), &furthest), Reader(text.data() + text.size(), &furthest), follow);
  } catch (const Json::parse_error& error) {
    fail(error.byte == 0 ? 0 : error.byte - 1, "this is not JSON: " + reason(error.what()));
  } catch (const Json::exception& error) { // a number past all doubles
    fail(static_cast<size_t>(furthest - text.data()) - 1, "this is not JSON: " + reason(error.what()));
  }
  if (!json.is_object())
    fail(text.find_first_not_of(" \t\r\n"), fmt::format("expected an object {{ \"key\": value, .. }}; found {}", json.type_name()));
  size_t next = 0;
  for (auto& [key, value] : json.items()) {
    size_t behind = places[next++];
    members_.push_back({key, std::move(value), openingQuote(text, behind), text.find_first_not_of(" \t\r\n:", behind)});
  }
}

void PlacedJson::fail(size_t at, const std::string& message) const {
  at = std::min(at, text_.size());
  auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  size_t start = text_.rfind('\n', at == 0 ? 0 : at - 1);
  start = at == 0 || start == std::string::npos ? 0 : start + 1;
  auto column = 1 + std::count_if(text_.begin() + static_cast<std::ptrdiff_t>(start), text_.begin() + static_cast<std::ptrdiff_t>(at),
                                  [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }); // characters, not bytes
  throw Error(Fault::Data, fmt::format("{}:{}:{}: {}", where_, line, column, message));
}

} // namespace moec::train
