#include "runtime/data/tokenizers/JsonPlace.h"

#include "runtime/core/NearestName.h"
#include "runtime/core/Printable.h"
#include "runtime/core/Utf8.h"

#include <algorithm>
#include <vector>

namespace moec::data {

std::string JsonPlace::path() const {
  if (!parent_)
    return "";
  std::string above = parent_->path();
  return step_.front() == '[' || above.empty() ? above + step_ : above + "." + step_;
}

void JsonPlace::fail(const std::string& message) const {
  std::string where = path();
  throw Error(Fault::Data, fmt::format("{}: {}{}", *file_, where.empty() ? where : printable(where) + ": ", printable(message)));
}

JsonPlace JsonPlace::at(const char* key) const {
  auto found = object().find(key);
  if (found == value_->end())
    fail(fmt::format("lacks \"{}\"", key));
  return {*found, *this, key};
}

std::optional<JsonPlace> JsonPlace::find(const char* key) const {
  auto found = object().find(key);
  if (found == value_->end() || found->is_null())
    return {};
  return JsonPlace(*found, *this, key);
}

JsonPlace JsonPlace::at(size_t index) const { return {list()[index], *this, fmt::format("[{}]", index)}; }

const nlohmann::json& JsonPlace::object() const {
  if (!value_->is_object())
    fail(fmt::format("expected an object; found {}", value_->type_name()));
  return *value_;
}

const nlohmann::json& JsonPlace::list() const {
  if (!value_->is_array())
    fail(fmt::format("expected a list; found {}", value_->type_name()));
  return *value_;
}

const std::string& JsonPlace::string() const {
  if (!value_->is_string())
    fail(fmt::format("expected a string; found {}", value_->type_name()));
  return value_->get_ref<const std::string&>();
}

bool JsonPlace::boolean() const {
  if (!value_->is_boolean())
    fail(fmt::format("expected true or false; found {}", value_->type_name()));
  return value_->get<bool>();
}

int64_t JsonPlace::integer(int64_t least, int64_t most) const {
  bool fits = value_->is_number_integer() && (!value_->is_number_unsigned() || value_->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
  int64_t number = fits ? value_->get<int64_t>() : 0;
  if (!fits || number < least || number > most)
    fail(fmt::format("expected an integer from {} to {}; found {}", least, most, value_->is_number() ? value_->dump() : value_->type_name()));
  return number;
}

double JsonPlace::number() const {
  if (!value_->is_number())
    fail(fmt::format("expected a number; found {}", value_->type_name()));
  return value_->get<double>();
}

char32_t JsonPlace::character() const {
  const std::string& text = string();
  if (text.empty() || firstCharacter(text).bytes != text.size())
    fail(fmt::format("expected one character; found \"{}\"", text));
  return firstCharacter(text).code;
}

std::string JsonPlace::stringOr(const char* key, const std::string& otherwise) const {
  auto found = find(key);
  return found ? found->string() : otherwise;
}

bool JsonPlace::booleanOr(const char* key, bool otherwise) const {
  auto found = find(key);
  return found ? found->boolean() : otherwise;
}

void JsonPlace::onlyKeys(std::initializer_list<const char*> known) const {
  for (const auto& [key, value] : object().items())
    if (std::ranges::none_of(known, [&](const char* name) { return key == name; }))
      fail(fmt::format("unknown key \"{}\"{}", key, didYouMean(key, {known.begin(), known.end()})));
}

} // namespace moec::data
