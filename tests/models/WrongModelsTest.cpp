// Every model of the zoo with one thing wrong in it, in many ways: one error each, at the place of the change. What to change follows from the kinds' tables,
// where it stands is read by JsonSpans.

#include "models/BuildModel.h"
#include "models/Kind.h"
#include "models/ModelFile.h"
#include "tests/models/JsonSpans.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

using namespace moec;
using namespace moec::models;
using test::JsonSpans;
using test::Node;
using test::Span;

namespace {

/// One wrong text and where its one error stands.
struct Wrong {
  std::string kind, text;
  size_t place = 0; // byte
};

Position positionAt(const std::string& text, size_t byte) {
  Position position{1, 1};
  for (size_t i = 0; i < byte; ++i)
    if (text[i] == '\n')
      position = {position.line + 1, 1};
    else if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80)
      ++position.column;
  return position;
}

class Changes {
public:
  explicit Changes(const std::string& text) : json_(text) {}

  std::vector<Wrong> make() {
    for (const Node* node : json_.all()) {
      if (node->parent)
        syntax(*node);
      if (const Kind* kind = tableOf(*node))
        arguments(*node, *kind);
      names(*node);
    }
    wholes();
    return std::move(list_);
  }

private:
  bool isOwnBlock(const std::string& name) {
    const Node* blocks = json_.root().find("blocks");
    return blocks && blocks->find(name);
  }

  void add(const std::string& kind, Span span, const std::string& with, size_t place) {
    std::string text = json_.text();
    list_.push_back({kind, text.replace(span.begin, span.end - span.begin, with), place});
  }
  /// `with` in the span's place, wrong at its beginning or `inside` bytes behind that.
  void replace(const std::string& kind, Span span, const std::string& with, size_t inside = 0) { add(kind, span, with, span.begin + inside); }

  bool is(const Node& node, char first) const { return json_.first(node) == first; }
  std::string word(const Node* node) const { return node && is(*node, '"') ? json_.of({node->value.begin + 1, node->value.end - 1}) : ""; }

  /// The table that an object is read by; null for lists, for own blocks' uses, and where names are the user's.
  const Kind* tableOf(const Node& node) const {
    if (!is(node, '{'))
      return nullptr;
    const Node* parent = node.parent;
    if (!parent)
      return &modelTable();
    for (Family family : {Family::Loss, Family::Optimizer})
      if (!parent->parent && node.name == moec::models::word(family))
        return findKind(family, word(node.find("kind")));
    if (parent->parent && !parent->parent->parent && parent->name == "inputs")
      return &inputTable();
    if (node.name == "photo")
      return &photoTable();
    std::string kind = word(node.find("kind"));
    if (kind.empty())
      return nullptr;
    const Node* named = &node; // the item of a list is what the list is
    while (named->name.empty() && named->parent)
      named = named->parent;
    return findKind(named->name == "gate" ? Family::Gate : named->name == "experts" ? Family::Expert : Family::Block, kind);
  }

  void arguments(const Node& object, const Kind& kind) {
    add("unknown key", {object.value.begin + 1, object.value.begin + 1}, "\"nosuch\": 1, ", object.value.begin + 1);
    for (const Parameter& parameter : kind.parameters) {
      const Node* node = object.find(parameter.name);
      if (parameter.required && node)
        removed(object, *node);
      if (!node)
        continue;
      if (parameter.required) // one error, although the right key is missing then
        replace("misspelt key", node->key, "\"" + node->name.substr(0, 1) + "_" + node->name.substr(1) + "\"");
      for (const std::string& value : wrongValues(parameter))
        replace("value", node->value, value);
      inside(parameter, *node);
    }
    if (const Node* word = object.find("kind")) {
      for (const char* value : {"null", "5", "true", "[]", "{}", "\"nosuch\"", "\"\"", "\"$nosuch\"", "\"$(1+)\""})
        replace("kind", word->value, value);
      for (Family family : kFamilies)
        if (family != kind.family)
          for (const Kind* other : kindsOf(family))
            if (!findKind(kind.family, other->name) && !isOwnBlock(other->name))
              replace("kind of another family", word->value, "\"" + other->name + "\"");
      removed(object, *word);
    }
    if (kind.family == Family::Block && object.find("kind") && &kind != &modelTable() && &kind != &inputTable() && &kind != &photoTable()) {
      size_t at = object.value.begin + 1;
      if (!object.find("from"))
        for (auto [text, inside] : {std::pair("\"from\": \"nosuch\", ", 8), std::pair("\"from\": [\"nosuch\"], ", 9), std::pair("\"from\": 5, ", 8),
                                    std::pair("\"from\": [5], ", 9), std::pair("\"from\": [], ", 8), std::pair("\"from\": null, ", 8)})
          add("from", {at, at}, text, at + static_cast<size_t>(inside));
      if (!object.find("name"))
        for (const char* name : {"5", "\"\"", "\"a b\"", "\"a/b\"", "\"..\"", "\"1a\"", "null", "\"\\u0000\"", "\"a\\u001b[31m\""})
          add("name", {at, at}, "\"name\": " + std::string(name) + ", ", at + 8);
    }
  }

  void removed(const Node& object, const Node& member) {
    // With the comma behind it, or the one before.
    const std::string& text = json_.text();
    size_t begin = member.member.begin, end = member.member.end;
    size_t next = text.find_first_not_of(" \n", end);
    if (text[next] == ',')
      end = text.find_first_not_of(" \n", next + 1);
    else if (&member != object.children.front().get())
      begin = text.find_last_of(',', begin);
    add("removed key", {begin, end}, "", object.value.begin);
  }

  static std::string digits(double value) {
    std::ostringstream out;
    out << std::fixed;
    out.precision(value == std::floor(value) ? 0 : 4);
    out << value;
    return out.str();
  }

  /// Values that no parameter of this sort takes.
  std::vector<std::string> wrongValues(const Parameter& parameter) {
    std::string below = digits(parameter.least - 1), above = digits(parameter.most + 1);
    switch (parameter.type) {
    case ParameterType::Integer:
      return {"null", "true", "\"zz\"", "[]", "[4]", "{}", "1.5", below, above, "99999999999999999999", "1e999", "\"$nosuch\"", "\"$(1/0)\"", "\"$(2*)\""};
    case ParameterType::Number:
      return {"null", "true", "\"zz\"", "[]", "{}", below, above, "1e999", "\"$nosuch\""};
    case ParameterType::Bool:
      return {"null", "0", "1", "\"true\"", "[]", "{}"};
    case ParameterType::Word:
      return {"null", "5", "true", "\"nosuch\"", "\"\"", "[]", "{}", "[\"" + parameter.words.front() + "\"]"};
    case ParameterType::WordByMode:
      return {"null", "5", "\"nosuch\"", "[]", "{}", "{\"train\": \"" + parameter.words.front() + "\"}"};
    case ParameterType::Integers:
      return {"null", "4", "\"zz\"", "[]", "{}"};
    case ParameterType::IntegerOrPair:
      return {"null", "\"zz\"", "[]", "[4]", "[4, 4, 4]", "{}", below, above, "1.5"};
    case ParameterType::Capacity:
    case ParameterType::NumbersByMode:
      return {"null", "\"zz\"", "[]", "{}", "{\"train\": 1}", below, above};
    case ParameterType::Inits:
      return {"null", "5", "\"zeros\"", "[]"};
    case ParameterType::ValueName:
      return {"null", "5", "[]", "{}", "\"nosuch\"", "\"\""};
    case ParameterType::Text:
      return {"null", "5", "[]", "{}"};
    case ParameterType::Numbers:
      return {"null", "5", "\"zz\"", "[]", "{}"};
    case ParameterType::Shape:
      return {"null", "5", "\"batch\"", "[]", "{}", "[1, 1, 1, 1, 1, 1, 1, 1, 1]"};
    case ParameterType::ValueNames:
    case ParameterType::Patterns:
      return {"null", "5", "\"y\"", "[]", "{}"};
    case ParameterType::Object:
      return {"null", "5", "\"zz\"", "[]"};
    case ParameterType::Body:
    case ParameterType::ExpertBody:
      return {"null", "5", "\"zz\"", "[]", "{}"};
    case ParameterType::Gate:
    case ParameterType::Experts:
    case ParameterType::Expert:
      return {"null", "5", "\"zz\"", "[]", "{}"};
    }
    return {};
  }

  /// Wrong entries of lists and objects: the error stands at the entry.
  void inside(const Parameter& parameter, const Node& node) {
    std::vector<std::string> wrong;
    switch (parameter.type) {
    case ParameterType::Integers:
      wrong = {"null", "\"zz\"", "1.5", "[]", digits(parameter.least - 1)};
      break;
    case ParameterType::Numbers:
      wrong = {"null", "\"zz\"", "[]", digits(parameter.most + 1)};
      break;
    case ParameterType::Shape:
      wrong = {"null", "0", "-1", "1.5", "\"a b\"", "\"min\"", "\"\"", "true", "[]", "4294967296"};
      break;
    case ParameterType::ValueNames:
    case ParameterType::Patterns:
      wrong = {"null", "5", "\"nosuch\"", "[]"};
      break;
    case ParameterType::WordByMode:
      if (is(node, '{'))
        wrong = {"null", "5", "\"nosuch\"", "[]"};
      break;
    case ParameterType::NumbersByMode:
      wrong = {"null", "\"zz\"", "-1", "[[0.1]]", "1e7"};
      break;
    case ParameterType::Capacity:
      wrong = {"null", "\"zz\"", "-1", "[]", "1e7"};
      break;
    case ParameterType::Inits:
      wrong = {"null", "\"nosuch\"", "[]", "{}", "true"};
      break;
    case ParameterType::ExpertBody:
    case ParameterType::Body:
      wrong = is(node, '[') ? std::vector<std::string>{"null", "5", "\"zz\"", "[]", "{}"} : std::vector<std::string>{};
      break;
    default:
      return;
    }
    for (const auto& child : node.children) {
      for (const std::string& value : wrong)
        replace("entry", child->value, value);
      if (parameter.type == ParameterType::Inits || parameter.type == ParameterType::Capacity || parameter.type == ParameterType::NumbersByMode)
        replace("entry's key", child->key, "\"nosuch\"");
    }
  }

  /// What is wrong for any JSON, whoever reads it.
  void syntax(const Node& node) {
    const std::string& text = json_.text();
    bool inObject = !node.name.empty();
    if (inObject) {
      add("key twice", {node.member.end, node.member.end}, ", " + json_.of(node.member), node.member.end + 2);
      replace("bare key", node.key, node.name);
      add("no colon", {node.key.end, node.value.begin}, " ", node.key.end + 1);
    }
    replace("no value", node.value, "", 0);
    bool empties = !inObject && node.parent->children.size() == 1 && node.parent->parent; // what remains is JSON: an empty list
    list_.back().place = empties ? node.parent->value.begin : text.find_first_not_of(" \n", node.value.end) - (node.value.end - node.value.begin);
    replace("word", node.value, "nosuch");
    replace("NaN", node.value, "NaN");
    replace("two values", node.value, json_.of(node.value) + " 1", node.value.end - node.value.begin + 1);
    if (&node == node.parent->children.back().get()) {
      size_t close = node.parent->value.end - 1;
      add("comma before the end", {node.member.end, node.member.end}, ",", close + 1);
    } else {
      size_t comma = text.find(',', node.member.end), next = text.find_first_not_of(" \n", comma + 1);
      add("no comma", {comma, comma + 1}, "", next - 1);
    }
  }

  /// Names that the model chooses, and what refers to them.
  void names(const Node& node) {
    const Node* parent = node.parent;
    std::string value = word(&node);
    if (value.starts_with("$") && !node.name.empty())
      for (const char* wrong : {"\"$nosuch\"", "\"$\"", "\"$a b\"", "\"$(\"", "\"$(nosuch+1)\"", "\"$(1 1)\"", "\"$(9223372036854775807+1)\"", "\"$((1)\""})
        replace("$", node.value, wrong);
    if (!parent || parent->parent != &json_.root())
      return;
    if (parent->name == "let") {
      replace("let refers to itself", node.value, "\"$" + node.name + "\"");
      replace("let refers to itself", node.value, "\"$(" + node.name + "+1)\"");
      replace("let of nothing", node.value, "\"$nosuch\"");
      add("let key", {node.member.begin, node.member.begin}, "\"a b\": 1, ", node.member.begin);
    }
    if (parent->name == "check") {
      replace("check key", node.key, "\"nosuch\"");
      for (const char* wrong : {"null", "0", "-1", "1.5", "\"zz\"", "1000001", "[]", "true"})
        replace("check value", node.value, wrong);
    }
    if (parent->name == "inputs") {
      for (const char* wrong : {"null", "5", "\"zz\"", "[]"})
        replace("input", node.value, wrong);
      add("input's name", {node.member.begin, node.member.begin}, "\"a/b\": {\"shape\": [1], \"for\": \"loss\"}, ", node.member.begin);
    }
    if (parent->name == "blocks") {
      for (const char* wrong : {"null", "5", "\"zz\""})
        replace("block", node.value, wrong);
      add("block's name", {node.member.begin, node.member.begin}, "\"../b\": {\"kind\": \"linear\", \"out\": 1}, ", node.member.begin);
      add("block's name", {node.member.begin, node.member.begin}, "\"linear\": {\"kind\": \"linear\", \"out\": 1}, ", node.member.begin);
      add("block's parameters", {node.member.begin, node.member.begin}, "\"aa\": {\"parameters\": [], \"body\": {\"kind\": \"softmax\"}}, ",
          node.member.begin + 21);
      add("block's parameters", {node.member.begin, node.member.begin}, "\"aa\": {\"parameters\": {\"name\": 1}, \"body\": {\"kind\": \"softmax\"}}, ",
          node.member.begin + 22);
      if (node.find("parameters"))
        return; // its uses would be wrong as well
      replace("block of itself", node.value, "{\"kind\": \"" + node.name + "\"}");
      list_.back().place = node.key.begin;
      replace("block of itself", node.value, "[{\"kind\": \"softmax\"}, {\"kind\": \"" + node.name + "\"}]");
      list_.back().place = node.key.begin;
    }
    if (parent->name == "outputs")
      add("output twice", {node.value.end, node.value.end}, ", " + json_.of(node.value), node.value.end + 2);
  }

  void wholes() {
    const std::string& text = json_.text();
    for (const char* other : {"null", "5", "\"zz\"", "[]"})
      add("the whole", json_.root().value, other, 0);
    add("the whole", json_.root().value, "{}", 0);
    list_.pop_back(); // three keys are missing: not one change
    add("nothing", {0, text.size()}, "", 0);
    add("cut", {text.size() - 2, text.size()}, "", text.size() - 2);
    add("more behind", {text.size(), text.size()}, "{}", text.size());
  }

  JsonSpans json_;
  std::vector<Wrong> list_;
};

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::filesystem::path> zoo() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(MOEC_SOURCE_DIR) + "/models/zoo"))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

class WrongModels : public testing::TestWithParam<std::filesystem::path> {
protected:
  WrongModels() : context_(mlir::MLIRContext::Threading::DISABLED) {}

  /// What is not as it should be about this text's errors; empty when all is well.
  std::string judge(const Wrong& wrong) {
    Diagnostics diagnostics;
    mlir::OwningOpRef<mlir::ModuleOp> module = buildModel("model.json", wrong.text, {}, &context_, diagnostics);
    if (module)
      return "it passes";
    if (diagnostics.entries().size() != 1)
      return "not one error:\n" + diagnostics.text();
    Position expected = positionAt(wrong.text, wrong.place), found = diagnostics.entries()[0].position;
    if (found != expected)
      return "expected at " + std::to_string(expected.line) + ":" + std::to_string(expected.column) + ":\n" + diagnostics.text();
    for (char c : diagnostics.text())
      if (static_cast<unsigned char>(c) < 0x20 && c != '\n')
        return "a control character in the message";
    return diagnostics.text().find("internal") == std::string::npos ? "" : diagnostics.text();
  }

  mlir::MLIRContext context_;
};

TEST_P(WrongModels, OneChangeIsOneErrorAtItsPlace) {
  std::string text = read(GetParam());
  Diagnostics diagnostics;
  ASSERT_TRUE(buildModel("model.json", text, {}, &context_, diagnostics)) << diagnostics.text();
  std::map<std::string, int> count;
  int failures = 0;
  for (const Wrong& wrong : Changes(text).make()) {
    ++count[wrong.kind];
    if (std::string problem = judge(wrong); !problem.empty() && ++failures <= 400) {
      Position place = positionAt(wrong.text, wrong.place);
      std::istringstream lines(wrong.text);
      std::string line;
      for (int i = 0; i < place.line; ++i)
        std::getline(lines, line);
      ADD_FAILURE() << wrong.kind << ": " << line << "\n" << problem;
    }
  }
  int sum = 0;
  std::string kinds;
  for (const auto& [kind, number] : count) {
    sum += number;
    kinds += (kinds.empty() ? "" : ", ") + kind + " " + std::to_string(number);
  }
  std::cout << sum << " wrong models of " << GetParam().filename().string() << ": " << kinds << "\n";
  EXPECT_GE(sum, 300);
  EXPECT_EQ(failures, 0);
}

INSTANTIATE_TEST_SUITE_P(Zoo, WrongModels, testing::ValuesIn(zoo()), [](const auto& info) {
  std::string name = info.param.stem().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

} // namespace
