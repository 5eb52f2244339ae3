#include "models/ModelFile.h"

#include "models/json/Parse.h"
#include "models/json/Words.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace moec::models {

namespace {

const std::vector<std::string> kNote{"note"};
bool isNote(const Json::Member& member) { return member.key == "note" && member.value.isString(); }

class Reader {
public:
  Reader(ModelFile& file, const ImportOptions& options, Diagnostics& diagnostics) : file_(file), options_(options), diagnostics_(diagnostics) {}

  void read() {
    if (!file_.root.isObject())
      return error(file_.root.position(), fmt::format("a model is an object, not {}", file_.root.describe()));
    if (!readLet())
      return; // whatever uses it would be an error too
    std::optional<Arguments> top = Arguments::read(modelTable(), file_.root, file_.let, kNote, diagnostics_);
    if (!top)
      return;
    file_.name = top->word("name");
    file_.dtype = *parseDType(top->word("dtype"));
    file_.model = file_.root.find("model");
    file_.loss = file_.root.find("loss");
    file_.optimizer = file_.root.find("optimizer");
    file_.trains = options_.train;
    file_.evaluates = options_.evaluate;
    file_.statistics = options_.statistics && (file_.trains || file_.evaluates);
    file_.countsNonFinite = file_.statistics || (options_.finiteLogits && !options_.generate);
    file_.records = options_.record;
    file_.replays = options_.replay;
    if ((file_.trains || file_.evaluates) && !file_.loss)
      error(file_.root.position(),
            fmt::format("a model is {} on its loss, and this one has none: \"model\" needs \"loss\"", file_.trains ? "trained" : "evaluated"));
    for (const Json::Member& input : file_.root.find("inputs")->object())
      readInput(input);
    bool knowsInputs = !diagnostics_.hasErrors();
    if (knowsInputs && std::all_of(file_.inputs.begin(), file_.inputs.end(), [](const auto& input) { return input.forLoss; }))
      error(top->at("inputs"), "a model needs an input that is not for the loss only");
    if (const Json* blocks = file_.root.find("blocks"))
      for (const Json::Member& block : blocks->object())
        readBlock(block);
    if (top->has("outputs"))
      for (const Json& output : top->get("outputs").list())
        readOutput(output);
    readMoefy();
    readCheckSizes(knowsInputs);
    file_.generation = options_.generate;
    if (file_.generation && !diagnostics_.hasErrors())
      readTokens();
  }

private:
  void error(Position position, std::string message) { diagnostics_.error(position, std::move(message)); }

  /// `let` with the overrides of "check" and of the caller in place.
  bool readLet() {
    const Json* written = file_.root.find("let");
    Json let = written && written->isObject() ? *written : Json(Json::Object{}, file_.root.position());
    std::vector<std::string> names;
    for (const Json::Member& member : let.object()) {
      names.push_back(member.key);
      if (!isName(member.key))
        error(member.keyPosition, fmt::format("{} is no name: letters, digits and underscores", inQuotes(member.key)));
    }
    auto override = [&](std::string_view name, const Json& value) {
      for (Json::Member& member : let.object())
        if (member.key == name)
          member.value = value;
    };
    const Json* check = file_.root.find("check");
    if (options_.useCheck && check && check->isObject())
      for (const Json::Member& member : check->object())
        if (member.value.isInteger())
          override(member.key, member.value);
    for (const auto& [name, value] : options_.let) {
      if (std::find(names.begin(), names.end(), name) == names.end())
        error({}, fmt::format("the model's \"let\" has no {}{}", inQuotes(name), suggestion(name, names)));
      override(name, Json(value, Position{}));
    }
    std::optional<Environment> values = evaluateLet(let, diagnostics_);
    if (values)
      file_.let = std::move(*values);
    return values.has_value();
  }

  void readInput(const Json::Member& member) {
    if (isNote(member))
      return;
    if (!isName(member.key))
      error(member.keyPosition, fmt::format("{} is no name: letters, digits and underscores", inQuotes(member.key)));
    if (!member.value.isObject())
      return error(member.value.position(), fmt::format("an input is an object with a \"shape\", not {}", member.value.describe()));
    std::optional<Arguments> arguments = Arguments::read(inputTable(), member.value, file_.let, kNote, diagnostics_);
    if (!arguments)
      return;
    InputDeclaration input{.name = member.key, .position = member.keyPosition, .dtype = file_.dtype, .shape = {}, .photo = {}};
    if (arguments->has("dtype"))
      input.dtype = *parseDType(arguments->word("dtype"));
    double elements = 1;
    for (const Json& extent : arguments->get("shape").list()) {
      input.shape.push_back(extent.isInteger() ? Size(extent.integer()) : Size::symbol(extent.string()));
      elements *= extent.isInteger() ? static_cast<double>(extent.integer()) : 1.0;
    }
    if (elements > 0x1p40)
      return error(arguments->at("shape"), fmt::format("the input {} is larger than 2^40 elements", inQuotes(member.key)));
    input.forLoss = arguments->has("for");
    if (const Json* photo = member.value.find("photo"))
      input.photo = readPhoto(*photo, input);
    file_.inputs.push_back(std::move(input));
  }

  std::optional<PhotoRule> readPhoto(const Json& json, const InputDeclaration& input) {
    std::optional<Arguments> arguments = Arguments::read(photoTable(), json, file_.let, kNote, diagnostics_);
    if (!arguments)
      return std::nullopt;
    size_t rank = input.shape.size();
    if (rank < 3 || !input.shape[rank - 3].isConstant()) {
      error(json.position(), "a photo is an input [.., channels, height, width] with a number of channels");
      return std::nullopt;
    }
    PhotoRule rule;
    rule.resize = arguments->word("resize") == "stretch" ? PhotoRule::Resize::Stretch : PhotoRule::Resize::None;
    int64_t channels = *input.shape[rank - 3].constant();
    for (auto [name, numbers] : {std::pair{"mean", &rule.mean}, std::pair{"std", &rule.std}}) {
      if (!arguments->has(name))
        continue;
      for (const Json& number : arguments->get(name).list())
        numbers->push_back(number.number());
      if (static_cast<int64_t>(numbers->size()) != channels) {
        error(arguments->at(name), fmt::format("{} has {} numbers for {} channels", inQuotes(name), numbers->size(), channels));
        break; // the channels may be what is wrong: once is enough
      }
      if (numbers == &rule.std && std::count(numbers->begin(), numbers->end(), 0.0))
        error(arguments->at(name), "\"std\" divides the pixels and is not 0");
    }
    return rule;
  }

  void readBlock(const Json::Member& member) {
    if (isNote(member))
      return;
    OwnBlock block{.name = member.key, .position = member.keyPosition};
    if (!isName(member.key))
      error(member.keyPosition, fmt::format("{} is no name: letters, digits and underscores", inQuotes(member.key)));
    for (Family family : {Family::Block, Family::Expert})
      if (findKind(family, member.key))
        return error(member.keyPosition, fmt::format("{} is a kind of {} already; choose another name", inQuotes(member.key), word(family)));
    const Json& definition = member.value;
    if (definition.isList()) {
      block.body = &definition;
    } else if (!definition.isObject()) {
      return error(definition.position(), fmt::format("a block is an object or a list, not {}", definition.describe()));
    } else if (definition.find("kind")) {
      block.definition = &definition;
    } else if (!definition.find("body") && !definition.find("parameters")) {
      return error(definition.position(),
                   fmt::format("the block {} needs a \"kind\" with its parameters, or \"parameters\" and a \"body\"", inQuotes(member.key)));
    } else {
      if (!Arguments::read(ownBlockTable(), definition, file_.let, kNote, diagnostics_))
        return;
      block.body = definition.find("body");
    }
    if (definition.isObject())
      block.parameters = definition.find("parameters");
    if (block.parameters && !block.parameters->isObject())
      return error(block.parameters->position(), fmt::format("\"parameters\" is an object of names and defaults, not {}", block.parameters->describe()));
    if (block.parameters)
      for (const Json::Member& parameter : block.parameters->object())
        if (const auto& common = commonKeys(Family::Block); !isName(parameter.key) || std::count(common.begin(), common.end(), parameter.key))
          error(parameter.keyPosition, fmt::format("{} cannot be the name of a parameter", inQuotes(parameter.key)));
    file_.blocks.emplace(member.key, block);
  }

  /// What generation takes: one input of tokens (batch, sequence), whose batch is a number from here on. What is for the
  /// loss is no input.
  void readTokens() {
    std::erase_if(file_.inputs, [](const InputDeclaration& input) { return input.forLoss; });
    for (const InputDeclaration& other : llvm::ArrayRef(file_.inputs).drop_front())
      error(other.position, fmt::format("a model continues texts from its tokens alone, and {} is a second input", inQuotes(other.name)));
    InputDeclaration& tokens = file_.inputs.front();
    bool isIds = tokens.dtype == DType::I64 && tokens.shape.size() == 2;
    if (!isIds || tokens.shape[1].isConstant() || tokens.shape[0] == tokens.shape[1])
      return error(tokens.position, fmt::format("a model continues texts from tokens, i64[batch, sequence] where the sequence is any; {} is {}{}",
                                                inQuotes(tokens.name), name(tokens.dtype), ir::describe(tokens.shape)));
    if (tokens.shape[0].isConstant() && tokens.shape[0] != Size(file_.generation->batch))
      error(tokens.position,
            fmt::format("{} has {} sequences, and {} are to be continued", inQuotes(tokens.name), tokens.shape[0].str(), file_.generation->batch));
    tokens.shape[0] = Size(file_.generation->batch);
  }

  void readOutput(const Json& output) {
    for (const auto& [name, position] : file_.outputs)
      if (name == output.string())
        return error(output.position(), fmt::format("the output {} is named twice", inQuotes(name)));
    file_.outputs.emplace_back(output.string(), output.position());
  }

  void readMoefy() {
    const Json* written = file_.root.find("moefy");
    std::optional<Json> flag;
    if (!options_.moefy.empty() && !(flag = parseFlag(options_.moefy)))
      return;
    if (flag)
      written = &*flag;
    if (!written)
      return;
    std::optional<Arguments> arguments = Arguments::read(moefyTable(), *written, file_.let, kNote, diagnostics_);
    if (!arguments)
      return;
    Position at = written->position();
    Json gate(Json::Object{}, at);
    gate.object().push_back({"kind", at, Json(arguments->word("gate"), at)});
    gate.object().push_back({"top_k", at, arguments->get("top_k")});
    Json moefy(Json::Object{}, at);
    moefy.object().push_back({"gate", at, std::move(gate)});
    moefy.object().push_back({"count", at, arguments->get("experts")});
    if (arguments->has("hidden"))
      moefy.object().push_back({"hidden", at, arguments->get("hidden")});
    file_.moefy = std::move(moefy);
  }

  /// "experts=4,gate=gshard" as an object without a place.
  std::optional<Json> parseFlag(std::string_view text) {
    Json object(Json::Object{}, Position{});
    while (!text.empty()) {
      std::string_view item = text.substr(0, text.find(','));
      text.remove_prefix(std::min(text.size(), item.size() + 1));
      size_t equals = item.find('=');
      if (equals == std::string_view::npos || equals == 0 || equals + 1 == item.size()) {
        error({}, fmt::format("moefy: expected NAME=VALUE, not {}", inQuotes(item)));
        return std::nullopt;
      }
      std::string key(item.substr(0, equals)), value(item.substr(equals + 1));
      if (object.find(key)) {
        error({}, fmt::format("moefy: {} is given twice", inQuotes(key)));
        return std::nullopt;
      }
      bool isNumber = value.size() <= 9 && std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
      object.object().push_back({key, Position{}, isNumber ? Json(int64_t{std::stoi(value)}, Position{}) : Json(value, Position{})});
    }
    return object;
  }

  /// `knowsSymbols`: the inputs were read without an error, so that their shapes name all symbolic sizes.
  void readCheckSizes(bool knowsSymbols) {
    const Json* check = file_.root.find("check");
    if (!check)
      return;
    std::set<std::string> symbols;
    for (const InputDeclaration& input : file_.inputs)
      for (const Size& size : input.shape)
        for (const std::string& symbol : size.symbols())
          symbols.insert(symbol);
    std::vector<std::string> known = file_.let.names();
    known.insert(known.end(), symbols.begin(), symbols.end());
    for (const Json::Member& member : check->object()) {
      if (isNote(member))
        continue;
      bool isKnown = std::find(known.begin(), known.end(), member.key) != known.end();
      if (!isKnown && knowsSymbols)
        error(member.keyPosition,
              fmt::format("\"check\" overrides values of \"let\" and symbolic sizes, not {}{}", inQuotes(member.key), suggestion(member.key, known)));
      else if (!member.value.isInteger() || member.value.integer() < 1 || member.value.integer() > 1000000)
        error(member.value.position(),
              fmt::format("{} under \"check\" is an integer from 1 to 1000000, not {}", inQuotes(member.key), member.value.describe()));
      else if (symbols.contains(member.key))
        file_.checkSizes[member.key] = member.value.integer();
    }
  }

  ModelFile& file_;
  const ImportOptions& options_;
  Diagnostics& diagnostics_;
};

} // namespace

std::unique_ptr<ModelFile> ModelFile::read(std::string_view text, const ImportOptions& options, Diagnostics& diagnostics) {
  std::optional<Json> root = parseJson(text, diagnostics);
  if (!root)
    return nullptr;
  auto file = std::make_unique<ModelFile>();
  file->root = std::move(*root);
  Reader(*file, options, diagnostics).read();
  return diagnostics.hasErrors() ? nullptr : std::move(file);
}

} // namespace moec::models
