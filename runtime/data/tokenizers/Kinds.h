#pragma once
// Parts of a tokenizer.json that say by "type" what they are: a list of the kinds that are known, each with the function that reads it.

#include "runtime/core/NearestName.h"
#include "runtime/data/tokenizers/JsonPlace.h"

#include <fmt/ranges.h>

#include <string>
#include <utility>
#include <vector>

namespace moec::data {

template <class T> using Kinds = std::vector<std::pair<std::string, T (*)(const JsonPlace&)>>;

constexpr size_t kDeepestKinds = 16; // sequences inside each other

template <class T> T readKind(const Kinds<T>& kinds, const char* what, const JsonPlace& json) {
  JsonPlace type = json.at("type");
  std::vector<std::string> names;
  for (const auto& [name, read] : kinds) {
    if (name == type.string())
      return read(json);
    names.push_back(name);
  }
  type.fail(fmt::format("unknown {} \"{}\"{}; known are {}", what, type.string(), didYouMean(type.string(), names), fmt::join(names, ", ")));
}

/// A kind that does what those of its list do, one after the other.
template <class Subject, class T> T sequenceOf(const Kinds<T>& kinds, const char* what, const JsonPlace& json, const char* key) {
  json.onlyKeys({"type", key});
  thread_local size_t depth = 0;
  struct Deeper {
    size_t& depth;
    explicit Deeper(size_t& value) : depth(value) { ++depth; }
    ~Deeper() { --depth; }
  } deeper(depth);
  if (depth > kDeepestKinds)
    json.fail(fmt::format("sequences lie more than {} deep inside each other", kDeepestKinds));
  std::vector<T> parts;
  JsonPlace list = json.at(key);
  list.list();
  for (size_t i = 0; i < list.size(); ++i)
    parts.push_back(readKind(kinds, what, list.at(i)));
  return [parts](Subject& subject) {
    for (const T& part : parts)
      part(subject);
  };
}

} // namespace moec::data
