#pragma once
// For precompiled headers: what most files with JSON instantiate of its library, so that it is instantiated once. Comparing alone takes a compiler more than a
// second. Nothing calls it.

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace moec::precompiled {

template <class Json> bool useJson(Json& a, const Json& b) {
  a = Json::parse(b.dump(2));
  a["list"] = Json{{"number", 1}, {"text", b.value("text", std::string())}};
  a["number"] = b.value("number", int64_t{1}) + b.at("number").template get<int64_t>();
  a["ratio"] = b.at("ratio").template get<double>();
  a["yes"] = b.contains("yes") && b.at("yes").template get<bool>();
  a["text"] = b.at("text").template get<std::string>();
  a["texts"] = b.at("texts").template get<std::vector<std::string>>();
  for (const auto& [key, value] : b.items())
    a[key].push_back(value);
  return a == b || a < b || std::ranges::find(a, b) != a.end() || std::ranges::find(b, a) != b.end();
}

inline bool useJson() {
  nlohmann::json sorted;
  nlohmann::ordered_json ordered;
  return useJson(sorted, nlohmann::json()) && useJson(ordered, nlohmann::ordered_json());
}

} // namespace moec::precompiled
