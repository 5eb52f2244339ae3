#pragma once
// A JSON value that knows where it stands in its file. Integers and doubles stay apart; an object's members keep their
// order. Knows nothing of models, MLIR or files.

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace moec::models {

/// A place in a text, both from 1; columns count characters. Line 0 means no place at all (a command-line option).
struct Position {
  int line = 0, column = 0;
  auto operator<=>(const Position&) const = default;
};

class Json {
public:
  struct Member;
  using List = std::vector<Json>;
  using Object = std::vector<Member>;

  Json() = default; // null
  template <class T> Json(T value, Position position) : value_(std::move(value)), position_(position) {}

  bool isNull() const { return std::holds_alternative<std::monostate>(value_); }
  bool isBool() const { return std::holds_alternative<bool>(value_); }
  bool isInteger() const { return std::holds_alternative<int64_t>(value_); }
  bool isNumber() const { return isInteger() || std::holds_alternative<double>(value_); } // integers too
  bool isString() const { return std::holds_alternative<std::string>(value_); }
  bool isList() const { return std::holds_alternative<List>(value_); }
  bool isObject() const { return std::holds_alternative<Object>(value_); }

  // Each of these needs its type.
  bool boolean() const { return std::get<bool>(value_); }
  int64_t integer() const { return std::get<int64_t>(value_); }
  double number() const { return isInteger() ? static_cast<double>(integer()) : std::get<double>(value_); }
  const std::string& string() const { return std::get<std::string>(value_); }
  const List& list() const { return std::get<List>(value_); }
  List& list() { return std::get<List>(value_); }
  const Object& object() const { return std::get<Object>(value_); }
  Object& object() { return std::get<Object>(value_); }

  /// The value of an object's key, or null when it is absent or this is no object.
  const Json* find(std::string_view key) const;
  Position position() const { return position_; }
  Json at(Position position) const; // the same value, elsewhere

  /// "an integer", "a list" ... with the value when it is short: `the string "four"`.
  std::string describe() const;
  /// Compact text, members in order.
  std::string text() const;

private:
  std::variant<std::monostate, bool, int64_t, double, std::string, List, Object> value_;
  Position position_;
};

struct Json::Member {
  std::string key;
  Position keyPosition;
  Json value;
};

} // namespace moec::models
