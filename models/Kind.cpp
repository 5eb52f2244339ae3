#include "models/Kind.h"

#include "models/json/Words.h"
#include "runtime/core/Printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace moec::models {

const Parameter* Kind::find(std::string_view parameter) const {
  for (const Parameter& candidate : parameters)
    if (candidate.name == parameter)
      return &candidate;
  return nullptr;
}

const std::vector<const Kind*>& kindsOf(Family family) {
  switch (family) {
  case Family::Block:
    return blockKinds();
  case Family::Gate:
    return gateKinds();
  case Family::Expert:
    return expertKinds();
  case Family::Loss:
    return lossKinds();
  case Family::Optimizer:
    return optimizerKinds();
  }
  llvm_unreachable("every family has a list");
}

const Kind* findKind(Family family, std::string_view name) {
  for (const Kind* kind : kindsOf(family))
    if (kind->name == name)
      return kind;
  return nullptr;
}

std::string_view word(Family family) {
  switch (family) {
  case Family::Block:
    return "block";
  case Family::Gate:
    return "gate";
  case Family::Expert:
    return "expert";
  case Family::Loss:
    return "loss";
  case Family::Optimizer:
    return "optimizer";
  }
  llvm_unreachable("every family has a word");
}

const std::vector<std::string>& commonKeys(Family family) {
  static const std::vector<std::string> block{"kind", "name", "from", "note"}, other{"kind", "note"};
  return family == Family::Block ? block : other;
}

bool isSymbol(std::string_view name) {
  static constexpr std::string_view reserved[] = {"floordiv", "min", "max", "ceil", "trunc"};
  return isName(name) && std::find(std::begin(reserved), std::end(reserved), name) == std::end(reserved);
}

const std::vector<std::string>& initWords() {
  static const std::vector<std::string> words = [] {
    std::vector<std::string> all{"default", "zeros", "ones", "uniform_fan_in", "uniform_fan_out"};
    all.insert(all.end(), numberedInitWords().begin(), numberedInitWords().end());
    return all;
  }();
  return words;
}

const std::vector<std::string>& numberedInitWords() {
  static const std::vector<std::string> words{"uniform",        "normal",         "truncated_normal", "kaiming_uniform",
                                              "kaiming_normal", "xavier_uniform", "xavier_normal",    "orthogonal"};
  return words;
}

const Parameter& countParameter() {
  static const Parameter count{.name = "count", .required = true, .most = 65536, .doc = "How many experts there are (E)."};
  return count;
}

namespace {

std::string range(const Parameter& parameter) { return fmt::format("from {} to {}", parameter.least, parameter.most); }

bool inRange(const Parameter& parameter, const Json& value) {
  return value.number() >= parameter.least && value.number() <= parameter.most; // false for NaN
}

bool isInteger(const Parameter& parameter, const Json& value) { return value.isInteger() && inRange(parameter, value); }

bool isNumber(const Parameter& parameter, const Json& value) { return value.isNumber() && inRange(parameter, value); }

template <class Predicate> bool all(const Json& value, Predicate predicate) {
  return value.isList() && !value.list().empty() && std::all_of(value.list().begin(), value.list().end(), predicate);
}

bool isNumberOrList(const Parameter& parameter, const Json& value) {
  return isNumber(parameter, value) || all(value, [&](const Json& item) { return isNumber(parameter, item); });
}

constexpr size_t kLongestText = 200;
bool isText(const Json& value) { return value.isString() && !value.string().empty() && value.string().size() <= kLongestText && !hasControls(value.string()); }

constexpr int64_t kLargestExtent = int64_t{1} << 31;
bool isExtent(const Json& value) {
  return value.isInteger() ? value.integer() >= 1 && value.integer() <= kLargestExtent : value.isString() && isSymbol(value.string());
}

/// A number, a word, or a word that takes a number.
bool isInit(const Json& value) {
  const auto& words = value.isObject() ? numberedInitWords() : initWords();
  if (value.isObject()) { // a gain may turn signs
    if (value.object().size() != 1)
      return false;
    const Json::Member& rule = value.object().front();
    return std::count(words.begin(), words.end(), rule.key) && rule.value.isNumber() && (rule.value.number() >= 0 || rule.key == "orthogonal");
  }
  return value.isNumber() || (value.isString() && std::count(words.begin(), words.end(), value.string()));
}

constexpr std::string_view kInitKeys[] = {"weight", "bias"}, kModes[] = {"train", "eval"};

bool isInits(const Json& value) {
  return value.isObject() && std::all_of(value.object().begin(), value.object().end(), [](const Json::Member& member) {
           return std::count(std::begin(kInitKeys), std::end(kInitKeys), member.key) && isInit(member.value);
         });
}

bool isWord(const Parameter& parameter, const Json& value) {
  return value.isString() && std::count(parameter.words.begin(), parameter.words.end(), value.string());
}

/// One value, or {"train": .., "eval": ..}.
template <class Predicate> bool byMode(const Json& value, Predicate predicate) {
  if (!value.isObject())
    return predicate(value);
  const Json *train = value.find("train"), *eval = value.find("eval");
  return train && eval && value.object().size() == 2 && predicate(*train) && predicate(*eval);
}

} // namespace

std::string expectation(const Parameter& parameter) {
  switch (parameter.type) {
  case ParameterType::Integer:
    return "an integer " + range(parameter);
  case ParameterType::Number:
    return "a number " + range(parameter);
  case ParameterType::Bool:
    return "true or false";
  case ParameterType::Word:
    return "one of " + joined(parameter.words);
  case ParameterType::WordByMode:
    return fmt::format("one of {}, or {{\"train\": .., \"eval\": ..}}", joined(parameter.words));
  case ParameterType::Integers:
    return fmt::format("a list of integers {}", range(parameter));
  case ParameterType::IntegerOrPair:
    return fmt::format("an integer {}, or a list of two", range(parameter));
  case ParameterType::Capacity:
    return fmt::format("a number {}, or {{\"train\": .., \"eval\": ..}}", range(parameter));
  case ParameterType::NumbersByMode:
    return fmt::format("a number {}, a list of such, or {{\"train\": .., \"eval\": ..}}", range(parameter));
  case ParameterType::Inits:
    return fmt::format("an object with \"weight\" or \"bias\", each a number, one of {}, or an object with one of the words from uniform on and a "
                       "number from 0, as {{\"normal\": 0.02}}",
                       joined(initWords()));
  case ParameterType::ValueName:
    return "the name of an input or of a block";
  case ParameterType::Text:
    return fmt::format("a text of 1 to {} bytes without control characters", kLongestText);
  case ParameterType::Numbers:
    return "a list of numbers";
  case ParameterType::Shape:
    return "a list of one to eight sizes: integers from 1, or names such as \"batch\"";
  case ParameterType::ValueNames:
    return "a list of names of inputs or blocks";
  case ParameterType::Patterns:
    return "a list of patterns of parameters' names, as \"bias\" or \"*.norm.*\"";
  case ParameterType::Object:
    return "an object";
  case ParameterType::Body:
    return "a block (an object with a \"kind\") or a list of blocks";
  case ParameterType::Gate:
    return "a gate (an object with a \"kind\")";
  case ParameterType::Expert:
    return "an expert (an object with a \"kind\")";
  case ParameterType::Experts:
    return "an expert (an object with a \"kind\") or a list of experts";
  case ParameterType::ExpertBody:
    return "a block that may stand in an expert (an object with a \"kind\"), or a list of such blocks";
  }
  llvm_unreachable("every type has an expectation");
}

bool fits(const Parameter& parameter, const Json& value) {
  switch (parameter.type) {
  case ParameterType::Integer:
    return isInteger(parameter, value);
  case ParameterType::Number:
    return isNumber(parameter, value);
  case ParameterType::Bool:
    return value.isBool();
  case ParameterType::Word:
    return isWord(parameter, value);
  case ParameterType::WordByMode:
    return byMode(value, [&](const Json& word) { return isWord(parameter, word); });
  case ParameterType::Integers:
    return all(value, [&](const Json& item) { return isInteger(parameter, item); });
  case ParameterType::IntegerOrPair:
    return isInteger(parameter, value) ||
           (value.isList() && value.list().size() == 2 && isInteger(parameter, value.list()[0]) && isInteger(parameter, value.list()[1]));
  case ParameterType::Capacity:
    return byMode(value, [&](const Json& rate) { return isNumber(parameter, rate); });
  case ParameterType::NumbersByMode:
    return byMode(value, [&](const Json& one) { return isNumberOrList(parameter, one); });
  case ParameterType::Inits:
    return isInits(value);
  case ParameterType::Text:
    return isText(value);
  case ParameterType::ValueName:
    return value.isString();
  case ParameterType::Numbers:
    return all(value, [&](const Json& item) { return isNumber(parameter, item); });
  case ParameterType::Shape:
    return value.isList() && value.list().size() <= 8 && all(value, isExtent);
  case ParameterType::ValueNames:
    return all(value, [](const Json& item) { return item.isString(); });
  case ParameterType::Patterns:
    return all(value, isText);
  case ParameterType::Object:
    return value.isObject();
  case ParameterType::Body:
  case ParameterType::ExpertBody:
    return value.isObject() || value.isList();
  case ParameterType::Experts:
    return value.isObject() || all(value, [](const Json& item) { return item.isObject(); });
  case ParameterType::Gate:
  case ParameterType::Expert:
    return value.isObject();
  }
  llvm_unreachable("every type has a check");
}

Misfit misfit(const Parameter& parameter, const Json& value) {
  auto entry = [](Position position, std::string what) { return Misfit{position, std::move(what), true}; };
  auto firstItem = [&](auto good) -> std::optional<Misfit> {
    if (value.isList())
      for (const Json& item : value.list())
        if (!good(item))
          return entry(item.position(), item.describe());
    return std::nullopt;
  };
  auto firstMember = [&](std::span<const std::string_view> keys, auto good) -> std::optional<Misfit> {
    if (value.isObject())
      for (const Json::Member& member : value.object()) {
        if (std::count(keys.begin(), keys.end(), member.key) == 0)
          return entry(member.keyPosition, "the key " + inQuotes(member.key));
        if (!good(member.value))
          return entry(member.value.position(), member.value.describe());
      }
    return std::nullopt;
  };
  std::optional<Misfit> found;
  switch (parameter.type) {
  case ParameterType::Integers:
    found = firstItem([&](const Json& item) { return isInteger(parameter, item); });
    break;
  case ParameterType::IntegerOrPair:
    if (value.isList() && value.list().size() == 2)
      found = firstItem([&](const Json& item) { return isInteger(parameter, item); });
    break;
  case ParameterType::Numbers:
    found = firstItem([&](const Json& item) { return isNumber(parameter, item); });
    break;
  case ParameterType::Shape:
    found = firstItem(isExtent);
    break;
  case ParameterType::ValueNames:
    found = firstItem([](const Json& item) { return item.isString(); });
    break;
  case ParameterType::Patterns:
    found = firstItem(isText);
    break;
  case ParameterType::Inits:
    found = firstMember(kInitKeys, isInit);
    break;
  case ParameterType::WordByMode:
    found = firstMember(kModes, [&](const Json& item) { return isWord(parameter, item); });
    break;
  case ParameterType::Capacity:
    found = firstMember(kModes, [&](const Json& item) { return isNumber(parameter, item); });
    break;
  case ParameterType::NumbersByMode:
    found = firstItem([&](const Json& item) { return isNumber(parameter, item); });
    if (!found)
      found = firstMember(kModes, [&](const Json& item) { return isNumberOrList(parameter, item); });
    break;
  default:
    break;
  }
  return found ? *found : Misfit{value.position(), value.describe(), false};
}

} // namespace moec::models
