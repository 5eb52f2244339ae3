#include "models/Vocabulary.h"

#include "models/ForeignWords.h"
#include "models/json/Words.h"
#include "runtime/core/NearestName.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace moec::models {

namespace {

/// "a block", "an expert".
std::string withArticle(Family family) { return fmt::format("{} {}", family == Family::Expert || family == Family::Optimizer ? "an" : "a", word(family)); }

/// Keys of an own block's use that are not its parameters.
std::vector<std::string> useKeys(Family family) {
  std::vector<std::string> keys = commonKeys(family);
  if (family == Family::Expert)
    keys.push_back("count");
  return keys;
}

} // namespace

std::optional<Use> Vocabulary::look(const Json& object, Family family, const Environment& environment, bool insideExpert) {
  std::vector<std::string> aliases;
  return lookAt(object, object, family, environment, insideExpert, aliases);
}

std::optional<Use> Vocabulary::lookAt(const Json& object, const Json& written, Family family, const Environment& environment, bool insideExpert,
                                      std::vector<std::string>& aliases) {
  const Json* word = object.find("kind");
  if (!object.isObject() || !word) {
    diagnostics_.error(object.position(), object.isObject()
                                              ? fmt::format("this object has no \"kind\"; expected {}", withArticle(family))
                                              : fmt::format("expected {} (an object with a \"kind\"), not {}", withArticle(family), object.describe()));
    return std::nullopt;
  }
  std::optional<Json> name = resolve(*word, environment, diagnostics_);
  if (!name)
    return std::nullopt;
  if (!name->isString()) {
    diagnostics_.error(name->position(), fmt::format("\"kind\" is a word, not {}", name->describe()));
    return std::nullopt;
  }
  if (auto own = file_.blocks.find(name->string()); own != file_.blocks.end() && (family == Family::Block || family == Family::Expert))
    return lookAtOwn(own->second, object, written, family, environment, insideExpert, aliases);
  const Kind* kind = findKind(family, name->string());
  if (!kind) {
    reportUnknown(name->string(), name->position(), family);
    return std::nullopt;
  }
  if (family == Family::Block && insideExpert && !kind->inExperts) {
    std::vector<std::string> known;
    for (const Kind* candidate : blockKinds())
      if (candidate->inExperts)
        known.push_back(candidate->name);
    diagnostics_.error(name->position(), fmt::format("{} cannot stand inside an expert; these can: {}", inQuotes(kind->name), joined(known)));
    return std::nullopt;
  }
  if (file_.moefy && family == Family::Block && !insideExpert && kind->name == "mlp")
    return Use{findKind(Family::Block, "moe"), nullptr, moefied(object), &written, &environment, &environment};
  return Use{kind, nullptr, &object, &written, &environment, &environment};
}

std::optional<Use> Vocabulary::lookAtOwn(const OwnBlock& own, const Json& object, const Json& written, Family family, const Environment& environment,
                                         bool insideExpert, std::vector<std::string>& aliases) {
  if (std::find(aliases.begin(), aliases.end(), own.name) != aliases.end() || aliases.size() > 256) {
    diagnostics_.error(own.position, fmt::format("the block {} is defined by itself: {} -> {}", inQuotes(own.name), fmt::join(aliases, " -> "), own.name));
    return std::nullopt;
  }
  const Environment* inner = bind(own, object, family, environment);
  if (!inner)
    return std::nullopt;
  if (!own.isAlias())
    return Use{nullptr, &own, &object, &written, inner, &environment};

  // The definition's object, standing where it is used and named as its use names it.
  Json merged(Json::Object{}, object.position());
  std::vector<std::string> keys = useKeys(family);
  for (const Json::Member& member : own.definition->object()) {
    bool overridden = member.key != "kind" && std::count(keys.begin(), keys.end(), member.key) && object.find(member.key);
    if (member.key != "parameters" && !overridden)
      merged.object().push_back(member);
  }
  bool complete = true;
  for (const Json::Member& member : object.object()) {
    if (member.key == "kind" || member.key == "note" || !std::count(keys.begin(), keys.end(), member.key))
      continue;
    std::optional<Json> value = resolve(member.value, environment, diagnostics_);
    complete = complete && value;
    if (value)
      merged.object().push_back({member.key, member.keyPosition, std::move(*value)});
  }
  // A definition's own "name" and "from" are names even where the use has others.
  if (family == Family::Block && !namingIn(*own.definition, *inner))
    complete = false;
  if (!complete)
    return std::nullopt;
  objects_.push_back(std::move(merged));
  aliases.push_back(own.name);
  return lookAt(objects_.back(), *own.definition, family, *inner, insideExpert, aliases);
}

const Environment* Vocabulary::bind(const OwnBlock& own, const Json& object, Family family, const Environment& environment) {
  static const Json none(Json::Object{}, Position{});
  const Json& parameters = own.parameters ? *own.parameters : none;
  std::vector<std::string> known, keys = useKeys(family);
  for (const Json::Member& parameter : parameters.object())
    known.push_back(parameter.key);
  known.insert(known.end(), keys.begin(), keys.end());

  Environment bound{.values = {}, .outer = &file_.let};
  bool complete = true;
  std::set<std::string> meant; // by keys that are misspelt
  for (const Json::Member& member : object.object()) {
    if (std::count(keys.begin(), keys.end(), member.key))
      continue;
    if (!parameters.find(member.key)) {
      diagnostics_.error(member.keyPosition, fmt::format("{} has no parameter {}{}", inQuotes(own.name), inQuotes(member.key), suggestion(member.key, known)));
      if (std::optional<std::string> nearest = nearestName(member.key, known))
        meant.insert(*nearest);
      complete = false;
    } else if (std::optional<Json> value = resolve(member.value, environment, diagnostics_)) {
      bound.values.emplace(member.key, std::move(*value));
    } else {
      complete = false;
    }
  }
  for (const Json::Member& parameter : parameters.object()) {
    if (object.find(parameter.key))
      continue;
    if (parameter.value.isNull()) {
      if (!meant.contains(parameter.key))
        diagnostics_.error(object.position(), fmt::format("{} needs {}, a parameter without a default", inQuotes(own.name), inQuotes(parameter.key)));
      complete = false;
    } else if (std::optional<Json> value = resolve(parameter.value, file_.let, diagnostics_)) {
      bound.values.emplace(parameter.key, std::move(*value));
    } else {
      complete = false;
    }
  }
  return complete ? &environments_.emplace_back(std::move(bound)) : nullptr;
}

const Json* Vocabulary::moefied(const Json& mlp) {
  hasMoefied_ = true;
  const Json& moefy = *file_.moefy;
  Json moe(Json::Object{}, mlp.position()), experts(Json::Object{}, mlp.position());
  moe.object().push_back({"kind", mlp.position(), Json(std::string("moe"), mlp.position())});
  const Json* hidden = moefy.find("hidden");
  for (const Json::Member& member : mlp.object()) {
    bool replaced = hidden && (member.key == "hidden" || member.key == "widths");
    if (member.key == "name" || member.key == "from")
      moe.object().push_back(member);
    else if (!replaced)
      experts.object().push_back(member);
  }
  experts.object().push_back({"count", mlp.position(), *moefy.find("count")});
  if (hidden)
    experts.object().push_back({"hidden", mlp.position(), *hidden});
  moe.object().push_back({"gate", mlp.position(), *moefy.find("gate")});
  moe.object().push_back({"experts", mlp.position(), std::move(experts)});
  return &objects_.emplace_back(std::move(moe));
}

void Vocabulary::reportUnknown(const std::string& kind, Position position, Family family) {
  for (Family other : kFamilies)
    if (other != family && findKind(other, kind))
      return diagnostics_.error(position, fmt::format("{} is a kind of {}; expected {}", inQuotes(kind), word(other), withArticle(family)));
  std::vector<std::string> known;
  for (const Kind* candidate : kindsOf(family))
    known.push_back(candidate->name);
  if (family == Family::Block || family == Family::Expert)
    for (const auto& [name, block] : file_.blocks)
      known.push_back(name);
  std::optional<std::string> meant = kindMeantBy(kind, known);
  diagnostics_.error(position, meant ? fmt::format("unknown {} {}; did you mean {}? known: {}", word(family), inQuotes(kind), inQuotes(*meant), joined(known))
                                     : unknownWord(word(family), kind, known));
}

std::optional<std::string> Vocabulary::nameIn(const Json& written, std::string_view key, const Environment& environment) {
  std::optional<Json> value = resolve(written, environment, diagnostics_);
  if (value && value->isString() && isName(value->string()))
    return value->string();
  if (value)
    diagnostics_.error(value->position(), fmt::format("\"{}\" is a name (letters, digits and underscores), not {}", key, value->describe()));
  return std::nullopt;
}

std::optional<Naming> Vocabulary::namingIn(const Json& object, const Environment& environment) {
  Naming naming{.name = {}, .position = object.position(), .from = {}};
  bool good = true;
  if (const Json* name = object.find("name")) {
    naming.name = nameIn(*name, "name", environment);
    naming.position = name->position();
    good = naming.name.has_value();
  }
  if (const Json* from = object.find("from")) {
    std::vector<Json> names = from->isList() ? from->list() : std::vector<Json>{*from};
    if (names.empty()) {
      diagnostics_.error(from->position(), "\"from\" names no value; leave it out for the block before");
      good = false;
    }
    for (const Json& name : names)
      if (std::optional<std::string> value = nameIn(name, "from", environment))
        naming.from.emplace_back(*value, name.position());
      else
        good = false;
  }
  return good ? std::optional(std::move(naming)) : std::nullopt;
}

std::optional<Naming> Vocabulary::naming(const Use& use) { return namingIn(*use.object, *use.outerEnvironment); }

std::optional<Arguments> Vocabulary::arguments(const Use& use) {
  std::optional<Arguments> arguments =
      Arguments::read(*use.kind, *use.object, *use.environment, commonKeys(use.kind->family), diagnostics_, use.written, &meant_);
  if (arguments)
    arguments->setTraining(file_.trains);
  return arguments;
}

std::optional<int64_t> Vocabulary::expertCount(const Use& use) {
  const Parameter& parameter = countParameter();
  const Json* written = use.object->find("count");
  if (!written) {
    if (!meant_.contains({use.object, parameter.name}))
      diagnostics_.error(use.object->position(), fmt::format("experts need \"count\": {}", expectation(parameter)));
    return std::nullopt;
  }
  std::optional<Json> count = resolve(*written, *use.outerEnvironment, diagnostics_);
  if (count && !fits(parameter, *count)) {
    diagnostics_.error(count->position(), fmt::format("\"count\" is {}; expected {}", count->describe(), expectation(parameter)));
    count.reset();
  }
  return count ? std::optional(count->integer()) : std::nullopt;
}

} // namespace moec::models
