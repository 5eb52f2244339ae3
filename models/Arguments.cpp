#include "models/Arguments.h"

#include "models/ForeignWords.h"
#include "models/json/Parse.h"
#include "models/json/Words.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>

namespace moec::models {

namespace {

bool isRaw(ParameterType type) {
  return type == ParameterType::Object || type == ParameterType::Body || type == ParameterType::Gate || type == ParameterType::Expert ||
         type == ParameterType::Experts || type == ParameterType::ExpertBody;
}

void reportMismatch(const Kind& kind, const Parameter& parameter, const Json& value, Diagnostics& diagnostics) {
  bool isWord = parameter.type == ParameterType::Word || parameter.type == ParameterType::WordByMode;
  if (isWord && value.isString())
    return diagnostics.error(value.position(), unknownWord(parameter.name, value.string(), parameter.words));
  Misfit wrong = misfit(parameter, value);
  diagnostics.error(wrong.position,
                    fmt::format("{} of {} {} {}{}; expected {}{}{}", inQuotes(parameter.name), inQuotes(kind.name), wrong.isEntry ? "has" : "is", wrong.what,
                                wrong.isEntry ? " in it" : "", expectation(parameter), parameter.hint.empty() ? "" : "; ", parameter.hint));
}

void noteMeant(const Json& object, const Meaning& meaning, Meant& meant) {
  const Json* holder = meaning.inside ? object.find(meaning.inside->name) : &object;
  if (!holder || meaning.parameter.empty())
    return;
  if (holder->isList())
    for (const Json& item : holder->list())
      meant.emplace(&item, meaning.parameter);
  else
    meant.emplace(holder, meaning.parameter);
}

/// Each text of the tables is parsed once: a model asks for the same few again with every block.
Json defaultOf(const Parameter& parameter, Position position) {
  static std::mutex mutex;
  static std::map<std::string, Json> parsed; // by text
  std::lock_guard lock(mutex);
  auto known = parsed.find(parameter.fallback);
  if (known == parsed.end()) {
    Diagnostics ignored;
    std::optional<Json> value = parseJson(parameter.fallback, ignored);
    assert(value && "a default is JSON");
    known = parsed.emplace(parameter.fallback, std::move(*value)).first;
  }
  return known->second.at(position);
}

} // namespace

std::optional<Arguments> Arguments::read(const Kind& kind, const Json& object, const Environment& environment, std::span<const std::string> common,
                                         Diagnostics& diagnostics, const Json* written, Meant* meant) {
  Arguments result;
  result.kind_ = &kind;
  result.object_ = &object;
  result.environment_ = &environment;
  bool good = true;
  Meant here;
  if (!meant)
    meant = &here;
  for (const Json::Member& member : object.object()) {
    if (std::find(common.begin(), common.end(), member.key) != common.end())
      continue;
    const Parameter* parameter = kind.find(member.key);
    if (!parameter && diagnostics.isFull())
      return std::nullopt; // looking for what each may have meant takes its time
    if (!parameter) {
      std::vector<std::string> known;
      for (const Parameter& candidate : kind.parameters)
        known.push_back(candidate.name);
      known.insert(known.end(), common.begin(), common.end());
      Meaning meaning = meaningOf(member.key, kind, known);
      diagnostics.error(member.keyPosition, fmt::format("{} has no parameter {}{}{} known: {}", inQuotes(kind.name), inQuotes(member.key), meaning.words,
                                                        meaning.words.ends_with('?') ? "" : ";", joined(known)));
      noteMeant(object, meaning, *meant);
      good = false;
      continue;
    }
    std::optional<Json> value = isRaw(parameter->type) ? member.value : resolve(member.value, environment, diagnostics);
    if (value && !fits(*parameter, *value)) {
      reportMismatch(kind, *parameter, *value, diagnostics);
      value.reset();
    }
    good = good && value;
    if (value)
      result.values_.emplace(member.key, std::move(*value));
  }
  for (const Parameter& parameter : kind.parameters) {
    if (object.find(parameter.name))
      continue;
    if (parameter.required) {
      if (!meant->contains({&object, parameter.name}))
        diagnostics.error((written ? written : &object)->position(),
                          fmt::format("{} needs {}: {}", inQuotes(kind.name), inQuotes(parameter.name), expectation(parameter)));
      good = false;
    } else if (!parameter.fallback.empty()) {
      result.values_.emplace(parameter.name, defaultOf(parameter, object.position()));
    }
  }
  return good ? std::optional(std::move(result)) : std::nullopt;
}

const Json* Arguments::find(std::string_view name) const {
  assert(kind_->find(name) && "a build function asks for what its table declares");
  auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

const Json& Arguments::get(std::string_view name) const {
  const Json* value = find(name);
  assert(value && "an optional parameter without a default is asked for with has() first");
  return *value;
}

Position Arguments::at(std::string_view name) const {
  const Json* value = find(name);
  return value ? value->position() : position();
}

std::vector<int64_t> Arguments::integers(std::string_view name) const {
  std::vector<int64_t> result;
  for (const Json& item : get(name).list())
    result.push_back(item.integer());
  return result;
}

std::pair<int64_t, int64_t> Arguments::pair(std::string_view name) const {
  const Json& value = get(name);
  if (value.isInteger())
    return {value.integer(), value.integer()};
  return {value.list()[0].integer(), value.list()[1].integer()};
}

double Arguments::numberByMode(std::string_view name) const {
  const Json& value = get(name);
  return value.isNumber() ? value.number() : value.find(mode_)->number();
}

const std::string& Arguments::wordByMode(std::string_view name) const {
  const Json& value = get(name);
  return value.isString() ? value.string() : value.find(mode_)->string();
}

std::vector<double> Arguments::numbersByMode(std::string_view name, int64_t count) const {
  const Json& all = get(name);
  const Json& value = all.isObject() ? *all.find(mode_) : all;
  if (value.isNumber())
    return std::vector<double>(static_cast<size_t>(count), value.number());
  std::vector<double> result;
  for (const Json& item : value.list())
    result.push_back(item.number());
  return result;
}

std::vector<double> Arguments::numbers(std::string_view name) const {
  std::vector<double> result;
  for (const Json& item : get(name).list())
    result.push_back(item.number());
  return result;
}

} // namespace moec::models
