#include "models/Expression.h"

#include "models/json/Words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <limits>
#include <set>

namespace moec::models {

namespace {

using Lookup = std::function<const Json*(std::string_view name, Position use)>; // null after it has reported

/// Recursive descent over `sum := product (('+'|'-') product)*`, `product := atom (('*'|'/') atom)*`,
/// `atom := integer | name | '-' atom | '(' sum ')'`.
class Arithmetic {
public:
  Arithmetic(const Json& text, const Lookup& lookup, Diagnostics& diagnostics)
      : json_(text), text_(text.string()), lookup_(lookup), diagnostics_(diagnostics) {}

  /// The value of the text from `begin` to its end.
  std::optional<int64_t> evaluate(size_t begin) {
    at_ = begin;
    std::optional<int64_t> value = sum();
    if (value && peek() != '\0')
      return fail(fmt::format("unexpected {}", inQuotes(text_.substr(at_, 1))));
    noteNames();
    return value;
  }

private:
  static constexpr int kDeepest = 64;

  /// From here on what is said of the value says where its names are defined. What is no expression has none.
  void noteNames() {
    for (const auto& [name, definition] : names_)
      diagnostics_.noteName(json_.position(), name, definition);
  }
  /// Of a value that cannot be, in a text that can.
  std::optional<int64_t> failOfValue(const std::string& what) {
    noteNames();
    return fail(what);
  }
  std::optional<int64_t> fail(const std::string& what) {
    diagnostics_.error(json_.position(), fmt::format("in {}: {}", inQuotes(text_), what));
    return std::nullopt;
  }
  char peek() {
    while (at_ < text_.size() && text_[at_] == ' ')
      ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  std::optional<int64_t> sum() {
    std::optional<int64_t> left = product();
    while (left && (peek() == '+' || peek() == '-')) {
      char op = text_[at_++]; // read before its right side, which arguments of one call need not be
      left = apply(op, *left, product());
    }
    return left;
  }
  std::optional<int64_t> product() {
    std::optional<int64_t> left = atom();
    while (left && (peek() == '*' || peek() == '/')) {
      char op = text_[at_++];
      left = apply(op, *left, atom());
    }
    return left;
  }

  std::optional<int64_t> apply(char op, int64_t a, std::optional<int64_t> right) {
    if (!right)
      return std::nullopt;
    int64_t b = *right, result = 0;
    if (op == '/') {
      if (b == 0)
        return failOfValue("division by zero");
      if (b == -1 && a == std::numeric_limits<int64_t>::min())
        return failOfValue(fmt::format("{} / -1 does not fit into 64 bits", a));
      if (a % b != 0)
        return failOfValue(fmt::format("{} is not divisible by {}", a, b));
      return a / b;
    }
    bool overflow = op == '+'   ? __builtin_add_overflow(a, b, &result)
                    : op == '-' ? __builtin_sub_overflow(a, b, &result)
                                : __builtin_mul_overflow(a, b, &result);
    if (overflow)
      return failOfValue(fmt::format("{} {} {} does not fit into 64 bits", a, op, b));
    return result;
  }

  std::optional<int64_t> atom() {
    if (depth_ == kDeepest)
      return fail(fmt::format("brackets are more than {} levels deep", kDeepest));
    ++depth_;
    std::optional<int64_t> value = atomInside();
    --depth_;
    return value;
  }
  std::optional<int64_t> atomInside() {
    char c = peek();
    if (c == '-') {
      ++at_;
      return apply('-', 0, atom());
    }
    if (c == '(') {
      ++at_;
      std::optional<int64_t> value = sum();
      if (value && peek() != ')')
        return fail("a bracket is not closed");
      ++at_;
      return value;
    }
    size_t begin = at_;
    bool isNumber = std::isdigit(static_cast<unsigned char>(c));
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_' || (isNumber && text_[at_] == '.')))
      ++at_;
    std::string_view word = std::string_view(text_).substr(begin, at_ - begin);
    if (word.empty())
      return fail(c ? fmt::format("expected a number, a name or a bracket, not {}", inQuotes(std::string_view(&c, 1)))
                    : "expected a number, a name or a bracket at the end");
    if (std::isdigit(static_cast<unsigned char>(word[0])))
      return literal(word);
    const Json* value = lookup_(word, json_.position());
    if (!value)
      return std::nullopt;
    names_.emplace_back(word, value->position());
    if (!value->isInteger())
      return failOfValue(fmt::format("{} is {}; arithmetic takes integers", word, value->describe()));
    return value->integer();
  }
  std::optional<int64_t> literal(std::string_view word) {
    int64_t value = 0;
    for (char c : word)
      if (c < '0' || c > '9')
        return fail(fmt::format("{} is no integer", inQuotes(word)));
      else if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, c - '0', &value))
        return fail(fmt::format("{} does not fit into 64 bits", word));
    return value;
  }

  const Json& json_;
  const std::string& text_;
  const Lookup& lookup_;
  Diagnostics& diagnostics_;
  std::vector<std::pair<std::string_view, Position>> names_; // so far
  size_t at_ = 0;
  int depth_ = 0;
};

// A value that names another twice, which names a third twice, and so on, would take all memory.
constexpr int64_t kMostInValue = 1024, kMostInLet = 65536;

/// Takes the number of values in `json` from `room`; false when there is not so much.
bool takeRoom(const Json& json, int64_t& room) {
  if (--room < 0)
    return false;
  if (json.isList())
    return std::all_of(json.list().begin(), json.list().end(), [&](const Json& item) { return takeRoom(item, room); });
  return !json.isObject() || std::all_of(json.object().begin(), json.object().end(), [&](const Json::Member& member) { return takeRoom(member.value, room); });
}

/// `room`: how many values may come in by names.
std::optional<Json> resolveWith(const Json& value, const Lookup& lookup, Diagnostics& diagnostics, int64_t& room) {
  if (value.isString() && value.string().starts_with("$")) {
    const std::string& text = value.string();
    if (text.starts_with("$(")) {
      std::optional<int64_t> number = Arithmetic(value, lookup, diagnostics).evaluate(1);
      return number ? std::optional(Json(*number, value.position())) : std::nullopt;
    }
    std::string_view name = std::string_view(text).substr(1);
    if (!isName(name)) {
      diagnostics.error(value.position(), fmt::format("{}: expected a name after \"$\", or \"$(...)\" to compute", inQuotes(text)));
      return std::nullopt;
    }
    const Json* found = lookup(name, value.position());
    bool told = room < 0;
    if (found && !takeRoom(*found, room)) {
      if (!told)
        diagnostics.error(value.position(), fmt::format("{} makes this too large: names may bring in {} values here, and {} "
                                                        "all over \"let\"",
                                                        inQuotes(text), kMostInValue, kMostInLet));
      found = nullptr;
    }
    if (found)
      diagnostics.noteName(value.position(), name, found->position());
    return found ? std::optional(found->at(value.position())) : std::nullopt;
  }
  if (!value.isList() && !value.isObject())
    return value;
  Json result = value;
  bool complete = true;
  auto replace = [&](Json& inner) {
    std::optional<Json> resolved = resolveWith(inner, lookup, diagnostics, room);
    complete = complete && resolved;
    if (resolved)
      inner = std::move(*resolved);
  };
  if (value.isList())
    for (Json& item : result.list())
      replace(item);
  else
    for (Json::Member& member : result.object())
      replace(member.value);
  return complete ? std::optional(std::move(result)) : std::nullopt;
}

const Json* reportUnknown(std::string_view name, Position position, const std::vector<std::string>& known, Diagnostics& diagnostics) {
  diagnostics.error(position, diagnostics.isFull() ? "" : unknownWord("name", name, known)); // a full one counts alone
  return nullptr;
}

} // namespace

const Json* Environment::find(std::string_view name) const {
  if (auto found = values.find(name); found != values.end())
    return &found->second;
  return outer ? outer->find(name) : nullptr;
}

std::vector<std::string> Environment::names() const {
  std::set<std::string> all;
  for (const Environment* e = this; e; e = e->outer)
    for (const auto& [name, value] : e->values)
      all.insert(name);
  return {all.begin(), all.end()};
}

std::optional<Json> resolve(const Json& value, const Environment& environment, Diagnostics& diagnostics) {
  Lookup lookup = [&](std::string_view name, Position use) {
    const Json* found = environment.find(name);
    return found ? found : reportUnknown(name, use, diagnostics.isFull() ? std::vector<std::string>() : environment.names(), diagnostics);
  };
  int64_t room = kMostInValue;
  return resolveWith(value, lookup, diagnostics, room);
}

std::optional<Environment> evaluateLet(const Json& let, Diagnostics& diagnostics) {
  Environment done;
  std::vector<std::string> known, open; // open: being evaluated, outermost first
  std::set<std::string> failed;
  int64_t room = kMostInLet;
  for (const Json::Member& member : let.object())
    known.push_back(member.key);

  Lookup valueOf = [&](std::string_view name, Position use) -> const Json* {
    if (auto found = done.values.find(name); found != done.values.end())
      return &found->second;
    std::string key(name);
    const Json* written = let.find(name);
    if (!written)
      return reportUnknown(name, use, known, diagnostics);
    if (failed.contains(key))
      return nullptr;
    if (std::find(open.begin(), open.end(), key) != open.end() || open.size() > 256) {
      std::string way;
      for (const std::string& step : open)
        way += (isName(step) ? step : inQuotes(step)) + " -> ";
      diagnostics.error(use, fmt::format("{} is defined by itself: {}{}", inQuotes(name), way, name));
      return nullptr;
    }
    open.push_back(key);
    std::optional<Json> value = resolveWith(*written, valueOf, diagnostics, room);
    open.pop_back();
    if (!value) {
      failed.insert(key);
      return nullptr;
    }
    return &done.values.emplace(key, std::move(*value)).first->second;
  };
  bool complete = true;
  for (const Json::Member& member : let.object())
    complete = valueOf(member.key, member.value.position()) && complete;
  return complete ? std::optional(std::move(done)) : std::nullopt;
}

} // namespace moec::models
