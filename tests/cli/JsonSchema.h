#pragma once
// Checks JSON against a JSON Schema, of the keywords that docs/schemas use; any other keyword is a mistake of the
// schema.

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace moec::test {

class JsonSchema {
public:
  using Json = nlohmann::json;

  explicit JsonSchema(Json root) : root_(std::move(root)) {}

  /// What is wrong, a line each: "/outputs/0/name: expected string, found 3".
  std::vector<std::string> problems(const Json& value) const {
    std::vector<std::string> found;
    check(root_, value, "", found);
    return found;
  }

private:
  Json root_;

  static bool isOf(const Json& value, const std::string& type) {
    return type == "object"    ? value.is_object()
           : type == "array"   ? value.is_array()
           : type == "string"  ? value.is_string()
           : type == "boolean" ? value.is_boolean()
           : type == "null"    ? value.is_null()
           : type == "integer" ? value.is_number_integer()
           : type == "number"  ? value.is_number()
                               : throw std::runtime_error("schema: unknown type " + type);
  }

  void check(const Json& schema, const Json& value, const std::string& at, std::vector<std::string>& found) const {
    auto fail = [&](const std::string& what) { found.push_back(fmt::format("{}: {}, found {}", at.empty() ? "/" : at, what, value.dump().substr(0, 100))); };
    static const std::set<std::string> known{"$schema", "$defs",   "$ref",       "title",    "description",         "type", "enum", "anyOf",
                                             "items",   "minimum", "properties", "required", "additionalProperties"};
    for (const auto& [keyword, ignored] : schema.items())
      if (!known.contains(keyword))
        throw std::runtime_error("schema: unknown keyword " + keyword);
    if (schema.contains("$ref"))
      check(root_.at(Json::json_pointer(schema["$ref"].get<std::string>().substr(1))), value, at, found);
    if (schema.contains("type")) {
      Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
      if (std::ranges::none_of(types, [&](const Json& type) { return isOf(value, type); }))
        return fail("expected " + types.dump());
    }
    if (schema.contains("enum") && std::ranges::find(schema["enum"], value) == schema["enum"].end())
      fail("expected one of " + schema["enum"].dump());
    if (schema.contains("minimum") && value.is_number() && value < schema["minimum"])
      fail("expected at least " + schema["minimum"].dump());
    if (schema.contains("anyOf") && std::ranges::none_of(schema["anyOf"], [&](const Json& one) {
          std::vector<std::string> ignored;
          check(one, value, at, ignored);
          return ignored.empty();
        }))
      fail("fits nothing of anyOf");
    if (value.is_array() && schema.contains("items"))
      for (size_t i = 0; i < value.size(); ++i)
        check(schema["items"], value[i], fmt::format("{}/{}", at, i), found);
    if (value.is_object())
      checkMembers(schema, value, at, found);
  }

  void checkMembers(const Json& schema, const Json& value, const std::string& at, std::vector<std::string>& found) const {
    if (schema.contains("required"))
      for (const Json& name : schema["required"])
        if (!value.contains(name.get<std::string>()))
          found.push_back(fmt::format("{}: lacks {}", at.empty() ? "/" : at, name.dump()));
    for (const auto& [name, member] : value.items()) {
      std::string place = at + "/" + name;
      if (schema.contains("properties") && schema["properties"].contains(name))
        check(schema["properties"][name], member, place, found);
      else if (schema.contains("additionalProperties") && schema["additionalProperties"].is_object())
        check(schema["additionalProperties"], member, place, found);
      else if (schema.value("additionalProperties", Json(true)) == Json(false))
        found.push_back(place + ": not in the schema");
    }
  }
};

} // namespace moec::test
