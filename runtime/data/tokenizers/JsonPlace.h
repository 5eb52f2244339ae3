#pragma once
// A value of a tokenizer.json and where it stands, for messages: "tokenizer.json: model.vocab.the: ..". The path is built when it is needed alone.

#include "runtime/core/Error.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace moec::data {

/// Lives as long as the document and the places that it was reached from. Every Error is of Fault::Data.
class JsonPlace {
public:
  JsonPlace(const nlohmann::json& value, const std::string& file) : value_(&value), file_(&file) {}

  const nlohmann::json& value() const { return *value_; }
  bool isNull() const { return value_->is_null(); }
  /// The member of an object. Error where there is none.
  JsonPlace at(const char* key) const;
  /// The same, or nothing where it is absent or null.
  std::optional<JsonPlace> find(const char* key) const;
  /// The element of a list.
  JsonPlace at(size_t index) const;
  size_t size() const { return value_->size(); }

  // Error where the value is of another kind.
  const nlohmann::json& object() const;
  const nlohmann::json& list() const;
  const std::string& string() const;
  bool boolean() const;
  int64_t integer(int64_t least, int64_t most) const;
  double number() const;
  /// A string of exactly one character: that character.
  char32_t character() const;

  std::string stringOr(const char* key, const std::string& otherwise) const;
  bool booleanOr(const char* key, bool otherwise) const;

  /// Error that names a key that is none of these.
  void onlyKeys(std::initializer_list<const char*> known) const;

  [[noreturn]] void fail(const std::string& message) const;

private:
  JsonPlace(const nlohmann::json& value, const JsonPlace& parent, std::string step)
      : value_(&value), file_(parent.file_), parent_(&parent), step_(std::move(step)) {}
  std::string path() const;

  const nlohmann::json* value_;
  const std::string* file_;
  const JsonPlace* parent_ = nullptr;
  std::string step_; // "model" or "[3]"
};

} // namespace moec::data
