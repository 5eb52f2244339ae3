#include "models/json/Json.h"

#include "models/json/Words.h"

#include <fmt/format.h>

namespace moec::models {

const Json* Json::find(std::string_view key) const {
  if (!isObject())
    return nullptr;
  for (const Member& member : object())
    if (member.key == key)
      return &member.value;
  return nullptr;
}

Json Json::at(Position position) const {
  Json copy = *this;
  copy.position_ = position;
  return copy;
}

std::string Json::describe() const {
  if (isNull())
    return "null";
  if (isList())
    return list().empty() ? "an empty list" : "a list";
  if (isObject())
    return "an object";
  if (isString())
    return "the string " + inQuotes(string());
  return text();
}

std::string Json::text() const {
  if (isNull())
    return "null";
  if (isBool())
    return boolean() ? "true" : "false";
  if (isInteger())
    return fmt::format("{}", integer());
  if (isNumber())
    return fmt::format("{}", number());
  if (isString())
    return inQuotes(string());
  std::string inner;
  if (isList()) {
    for (const Json& item : list())
      inner += (inner.empty() ? "" : ", ") + item.text();
    return "[" + inner + "]";
  }
  for (const Member& member : object())
    inner += (inner.empty() ? "" : ", ") + inQuotes(member.key) + ": " + member.value.text();
  return "{" + inner + "}";
}

} // namespace moec::models
