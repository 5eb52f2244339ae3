#include "models/Schema.h"

#include "models/ModelFile.h"

#include <nlohmann/json.hpp>

namespace moec::models {

namespace {

using Document = nlohmann::ordered_json;

const char* const kExpression = "#/$defs/expression";

Document reference(const std::string& name) { return {{"$ref", "#/$defs/" + name}}; }

/// `type`, or an expression that gives one.
Document orExpression(Document type) { return {{"anyOf", Document::array({std::move(type), {{"$ref", kExpression}}})}}; }

Document number(const Parameter& parameter, const char* type) {
  Document document{{"type", type}};
  if (std::string(type) == "integer")
    document.update({{"minimum", static_cast<int64_t>(parameter.least)}, {"maximum", static_cast<int64_t>(parameter.most)}});
  else
    document.update({{"minimum", parameter.least}, {"maximum", parameter.most}});
  return document;
}

Document list(Document items) { return {{"type", "array"}, {"minItems", 1}, {"items", std::move(items)}}; }

Document init() {
  Document rules = Document::object();
  for (const std::string& word : numberedInitWords())
    rules[word] = word == "orthogonal" ? Document{{"type", "number"}} : Document{{"type", "number"}, {"minimum", 0}};
  Document scaled{{"type", "object"}, {"additionalProperties", false}, {"minProperties", 1}, {"maxProperties", 1}, {"properties", std::move(rules)}};
  Document value{{"anyOf", Document::array({{{"enum", initWords()}}, {{"type", "number"}}, scaled})}};
  return {{"type", "object"}, {"additionalProperties", false}, {"properties", {{"weight", value}, {"bias", value}}}};
}

Document byMode(const Document& value) {
  return {{"type", "object"}, {"additionalProperties", false}, {"required", {"train", "eval"}}, {"properties", {{"train", value}, {"eval", value}}}};
}

Document typeOf(const Parameter& parameter) {
  switch (parameter.type) {
  case ParameterType::Integer:
    return orExpression(number(parameter, "integer"));
  case ParameterType::Number:
    return orExpression(number(parameter, "number"));
  case ParameterType::Bool:
    return orExpression({{"type", "boolean"}});
  case ParameterType::Word:
    return orExpression({{"enum", parameter.words}});
  case ParameterType::WordByMode: {
    Document word = orExpression({{"enum", parameter.words}});
    return {{"anyOf", Document::array({word, byMode(word)})}};
  }
  case ParameterType::Text:
  case ParameterType::ValueName:
    return {{"type", "string"}};
  case ParameterType::Integers:
    return orExpression(list(orExpression(number(parameter, "integer"))));
  case ParameterType::IntegerOrPair: {
    Document one = number(parameter, "integer"), two = list(orExpression(one));
    two.update({{"minItems", 2}, {"maxItems", 2}});
    return {{"anyOf", Document::array({one, two, {{"$ref", kExpression}}})}};
  }
  case ParameterType::Capacity: {
    Document rate = orExpression(number(parameter, "number"));
    return {{"anyOf", Document::array({rate, byMode(rate)})}};
  }
  case ParameterType::NumbersByMode: {
    Document one = orExpression(number(parameter, "number")), some = {{"anyOf", Document::array({one, list(one)})}};
    return {{"anyOf", Document::array({one, list(one), byMode(some)})}};
  }
  case ParameterType::Inits:
    return init();
  case ParameterType::Numbers:
    return list(number(parameter, "number"));
  case ParameterType::Shape: {
    Document shape = list({{"anyOf", Document::array({{{"type", "integer"}, {"minimum", 1}}, {{"type", "string"}}})}});
    shape["maxItems"] = 8;
    return shape;
  }
  case ParameterType::ValueNames:
  case ParameterType::Patterns:
    return list({{"type", "string"}});
  case ParameterType::Object:
    return {{"type", "object"}};
  case ParameterType::Body:
    return reference("body");
  case ParameterType::Gate:
    return reference("gate");
  case ParameterType::Expert:
    return reference("expert");
  case ParameterType::Experts:
    return {{"anyOf", Document::array({reference("expert"), list(reference("expert"))})}};
  case ParameterType::ExpertBody:
    return reference("body");
  }
  llvm_unreachable("every type has a schema");
}

Document objectOf(const Kind& kind, Document properties, std::vector<std::string> required) {
  for (const Parameter& parameter : kind.parameters) {
    Document type = typeOf(parameter);
    type["description"] = parameter.doc;
    if (!parameter.fallback.empty())
      type["default"] = Document::parse(parameter.fallback);
    properties[parameter.name] = std::move(type);
    if (parameter.required)
      required.push_back(parameter.name);
  }
  properties["note"] = {{"description", "Ignored."}};
  return {{"type", "object"},
          {"description", kind.doc + " Source: " + kind.source + "."},
          {"required", required},
          {"additionalProperties", false},
          {"properties", std::move(properties)}};
}

Document kindOf(const Kind& kind) {
  Document properties{{"kind", {{"const", kind.name}}}};
  if (kind.family == Family::Block) {
    properties["name"] = {{"type", "string"}, {"description", "What \"from\" and the parameters call it; default: its kind."}};
    properties["from"] = {{"anyOf", Document::array({{{"type", "string"}}, list({{"type", "string"}})})},
                          {"description", "The values that it takes; default: the one before it."}};
  }
  return objectOf(kind, std::move(properties), {"kind"});
}

Document familyOf(Family family) {
  Document choices = Document::array(), words = Document::array();
  for (const Kind* kind : kindsOf(family)) {
    choices.push_back(kindOf(*kind));
    words.push_back(kind->name);
  }
  // An own block: any other word, with parameters that its definition names.
  if (family == Family::Block || family == Family::Expert)
    choices.push_back({{"type", "object"}, {"required", {"kind"}}, {"properties", {{"kind", {{"type", "string"}, {"not", {{"enum", words}}}}}}}});
  return {{"anyOf", std::move(choices)}};
}

/// An object whose members, but for a note, are all of one type.
Document mapOf(Document values) { return {{"type", "object"}, {"properties", {{"note", true}}}, {"additionalProperties", std::move(values)}}; }

} // namespace

std::string modelSchema() {
  Document schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "moec model"}};
  schema.update(objectOf(modelTable(), Document::object(), {}));
  Document& properties = schema["properties"];
  properties["inputs"] = mapOf(reference("input"));
  properties["blocks"] = mapOf({{"anyOf", Document::array({reference("ownBlock"), reference("alias"), reference("body")})}});
  properties["loss"] = reference("loss");
  properties["optimizer"] = reference("optimizer");
  properties["moefy"] = reference("moefy");
  Document input = objectOf(inputTable(), Document::object(), {});
  input["properties"]["photo"] = reference("photo");
  schema["$defs"] = {
      {"expression", {{"type", "string"}, {"pattern", "^\\$"}, {"description", "\"$name\" or \"$(4*name)\""}}},
      {"body", {{"anyOf", Document::array({reference("block"), list(reference("body"))})}}},
      {"input", std::move(input)},
      {"photo", objectOf(photoTable(), Document::object(), {})},
      {"moefy", objectOf(moefyTable(), Document::object(), {})},
      {"ownBlock", objectOf(ownBlockTable(), Document::object(), {})},
      {"alias", {{"type", "object"}, {"required", {"kind"}}}},
      {"block", familyOf(Family::Block)},
      {"gate", familyOf(Family::Gate)},
      {"expert", familyOf(Family::Expert)},
      {"loss", familyOf(Family::Loss)},
      {"optimizer", familyOf(Family::Optimizer)},
  };
  return schema.dump(2) + "\n";
}

} // namespace moec::models
