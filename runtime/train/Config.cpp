#include "runtime/train/Config.h"

#include "runtime/core/Error.h"
#include "runtime/core/NearestName.h"
#include "runtime/core/Utf8.h"
#include "runtime/io/MappedFile.h"
#include "runtime/train/PlacedJson.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>

namespace moec::train {
namespace {

using Json = nlohmann::ordered_json;

enum class Type { Integer, Number, Boolean, Word, Text, Path, Texts, Integers };
constexpr const char* kTypeNames[] = {"integer", "number", "boolean", "word", "text", "path", "object of texts", "object of integers"};

struct Range {
  std::optional<double> least, most; // inclusive
  bool openBelow = false, openAbove = false;
  bool all64 = false; // integers past 2^63 too
};

struct Entry {
  ConfigKey key;
  Type type;
  Range range;
  bool maybeNull = false;
  std::function<Json(const Config&)> read;
  std::function<void(Config&, const Json&)> write; // of a value that was checked
};

std::string describe(const Range& range) {
  std::string least = range.least ? fmt::format("{} {}", range.openBelow ? "above" : "at least", *range.least) : "";
  std::string most = range.most ? fmt::format("{} {}", range.openAbove ? "below" : "at most", *range.most) : "";
  return least + (least.empty() || most.empty() ? "" : ", ") + most;
}

template <class T> Json toValue(const T& value) {
  if constexpr (std::is_same_v<T, std::filesystem::path>)
    return value.string();
  else
    return value;
}

/// A field of the configuration as an entry. `at` gives it.
template <class At> Entry field(std::string name, Type type, std::string doc, At at, Range range = {}) {
  using T = std::remove_cvref_t<decltype(at(std::declval<Config&>()))>;
  Entry entry{{std::move(name), kTypeNames[static_cast<int>(type)], describe(range), {}, {}, std::move(doc)}, type, range, false, {}, {}};
  entry.read = [at](const Config& config) { return toValue(at(const_cast<Config&>(config))); };
  entry.write = [at](Config& config, const Json& value) {
    if constexpr (std::is_same_v<T, std::filesystem::path>)
      at(config) = value.get<std::string>();
    else
      at(config) = value.get<T>();
  };
  return entry;
}

Entry word(std::string name, std::vector<std::string> words, std::string doc, std::function<std::string(const Config&)> read,
           std::function<void(Config&, const std::string&)> write) {
  Entry entry{{std::move(name), kTypeNames[static_cast<int>(Type::Word)], "", std::move(words), {}, std::move(doc)}, Type::Word, {}, false, {}, {}};
  entry.read = [read](const Config& config) { return Json(read(config)); };
  entry.write = [write](Config& config, const Json& value) { write(config, value.get<std::string>()); };
  return entry;
}

/// A number in [0, 1) that nobody need say.
template <class At> Entry share(std::string name, std::string doc, At at) {
  Range range{0, 1, false, true};
  Entry entry{{std::move(name), kTypeNames[static_cast<int>(Type::Number)], describe(range), {}, {}, std::move(doc)}, Type::Number, range, true, {}, {}};
  entry.read = [at](const Config& config) {
    const std::optional<double>& value = at(const_cast<Config&>(config));
    return value ? Json(*value) : Json(nullptr);
  };
  entry.write = [at](Config& config, const Json& value) { at(config) = value.is_null() ? std::nullopt : std::optional(value.get<double>()); };
  return entry;
}

#define FIELD(place) [](Config& config) -> auto& { return config.place; }

std::vector<Entry> makeEntries() {
  constexpr Range positive{1, {}}, notNegative{0, {}};
  std::vector<Entry> entries;
  auto add = [&](Entry entry) { entries.push_back(std::move(entry)); };

  add(field("data", Type::Path, "a file or folder to learn from; empty: what ships with moec for a model of this form", FIELD(data.path)));
  add(field("validation_data", Type::Path, "a file or folder to validate with; empty: a part of the data is held out", FIELD(data.validationPath)));
  add(word(
      "data_kind", {"", "text", "images", "idx", "cifar", "arrays", "csv"}, "what the data are; empty: by what the path holds",
      [](const Config& c) { return c.data.kind; }, [](Config& c, const std::string& value) { c.data.kind = value; }));
  add(share("validation", "the share of records held out; null: 0.1 of text, 0.2 of other data; 0: none", FIELD(data.validation)));
  add(field("tokenizer", Type::Text,
            "of text: \"bytes\", \"sentencepiece\", \"sentencepiece:N\" or a file; empty: \"sentencepiece\" with the model's vocabulary",
            FIELD(data.tokenizer)));
  add(field("window", Type::Integer, "of text: tokens of a record; 0: as many as the model takes, at most 256", FIELD(data.window), notNegative));
  add(field("stride", Type::Integer, "of text: tokens from the beginning of a record to that of the next; 0: as many as a record has", FIELD(data.stride),
            notNegative));
  add(field("inputs", Type::Texts, "which field of the data an input of the model reads", FIELD(data.inputs)));
  add(word(
      "bad_records", {"fail", "skip"}, "what a record that cannot be read does",
      [](const Config& c) { return c.badRecords == data::BadRecords::Fail ? "fail" : "skip"; },
      [](Config& c, const std::string& value) { c.badRecords = value == "fail" ? data::BadRecords::Fail : data::BadRecords::Skip; }));
  add(field("batch", Type::Integer, "records of a batch", FIELD(batch), positive));
  add(field("drop_last", Type::Boolean, "leaves out the last batch of an epoch where it is not full", FIELD(dropLast)));
  add(field("accumulate", Type::Integer, "batches of a step, whose gradients are averaged; the last step of an epoch may have fewer", FIELD(accumulate),
            positive));
  add(field("steps", Type::Integer, "steps in all, also after a resume; 0: by epochs", FIELD(steps), notNegative));
  add(field("epochs", Type::Integer, "times that all records are read; 0, and steps 0 too: 1500 steps", FIELD(epochs), notNegative));
  add(field("learning_rate", Type::Number, "its largest value", FIELD(schedule.peak), {0, {}, true}));
  add(word(
      "schedule", scheduleNames(), "the way of the learning rate behind the warmup",
      [](const Config& c) { return scheduleNames()[static_cast<size_t>(c.schedule.kind)]; },
      [](Config& c, const std::string& value) { c.schedule.kind = parseSchedule(value); }));
  add(field("warmup", Type::Integer, "steps over which the learning rate grows from learning_rate/warmup", FIELD(schedule.warmup), notNegative));
  add(field("final_rate", Type::Number, "what a linear and a cosine schedule end with, as a share of learning_rate", FIELD(schedule.last), {0, 1}));
  add(field("seed", Type::Integer, "of weights, random draws, the order of records and what is held out", FIELD(seed), {0, {}, false, false, true}));
  add(field("weights", Type::Path, "a safetensors file, or a checkpoint's folder, to begin with its weights; empty: drawn by the seed", FIELD(weights)));
  add(field("evaluate_every", Type::Integer, "steps between evaluations; 0: at the end of every epoch", FIELD(evaluateEvery), notNegative));
  add(field("patience", Type::Integer, "evaluations without a better loss before the training stops; 0: it does not", FIELD(patience), notNegative));
  add(field("checkpoint_every", Type::Integer, "steps between checkpoints; 0: with every evaluation", FIELD(checkpointEvery), notNegative));
  add(field("keep", Type::Integer, "checkpoints that are kept, besides that of the best evaluation", FIELD(keep), positive));
  add(share("ema", "decay of an average of the weights, which is evaluated in their place; 0: none; null: as the model says", FIELD(ema)));
  add(field("tensorboard", Type::Boolean, "writes event files for TensorBoard too", FIELD(tensorboard)));
  add(field("record", Type::Path, "a file to write what gates choose in each step; empty: none", FIELD(record)));
  add(field("replay", Type::Path, "such a file, from which gates take their choices; weights are their scores at these", FIELD(replay)));
  add(word(
      "non_finite", {"count", "error"}, "what router logits that are no finite numbers do: they are counted, or the training ends",
      [](const Config& c) { return c.nonFinite == NonFiniteLogits::Count ? "count" : "error"; },
      [](Config& c, const std::string& value) { c.nonFinite = value == "count" ? NonFiniteLogits::Count : NonFiniteLogits::Error; }));
  add(field("let", Type::Integers, "values that take the place of the model's `let`", FIELD(let)));
  add(field("moefy", Type::Text, "makes dense mlp blocks moe blocks, as \"experts=4,top_k=2,gate=gshard\"", FIELD(moefy)));
  add(field("recompute", Type::Boolean, "what is cheap is computed again on the way back, not saved", FIELD(recompute)));
  add(field("device", Type::Text, "where the training runs", FIELD(device)));
  for (Entry& entry : entries)
    entry.key.standard = entry.read({}).dump();
  return entries;
}

#undef FIELD

const std::vector<Entry>& table() {
  static const std::vector<Entry> entries = makeEntries();
  return entries;
}

std::string quoted(const std::vector<std::string>& words) {
  std::vector<std::string> all;
  for (const std::string& word : words)
    all.push_back(Json(word).dump());
  return fmt::format("{}", fmt::join(all, ", "));
}

/// "an integer that is at least 1", "one of "fail", "skip"".
std::string expected(const Entry& entry) {
  std::string that = entry.key.range.empty() ? "" : " that is " + entry.key.range;
  switch (entry.type) {
  case Type::Integer:
    return "an integer" + that;
  case Type::Number:
    return "a number" + that + (entry.maybeNull ? ", or null" : "");
  case Type::Boolean:
    return "true or false";
  case Type::Word:
    return "one of " + quoted(entry.key.words);
  case Type::Text:
    return "a text";
  case Type::Path:
    return "a path";
  case Type::Texts:
    return "an object whose values are texts";
  case Type::Integers:
    return "an object whose values are integers";
  }
  return {};
}

bool isInside(const Json& value, const Range& range) {
  double number = value.get<double>();
  return (!range.least || number > *range.least || (number == *range.least && !range.openBelow)) &&
         (!range.most || number < *range.most || (number == *range.most && !range.openAbove));
}

bool isInteger64(const Json& value) {
  return value.is_number_integer() && !(value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
}

bool fits(const Entry& entry, const Json& value) {
  switch (entry.type) {
  case Type::Integer:
    return (entry.range.all64 ? value.is_number_integer() : isInteger64(value)) && isInside(value, entry.range);
  case Type::Number:
    return (entry.maybeNull && value.is_null()) || (value.is_number() && std::isfinite(value.get<double>()) && isInside(value, entry.range));
  case Type::Boolean:
    return value.is_boolean();
  case Type::Word:
    return value.is_string() && std::ranges::find(entry.key.words, value.get<std::string>()) != entry.key.words.end();
  case Type::Text:
  case Type::Path:
    return value.is_string() && firstInvalidByte(value.get_ref<const std::string&>()) == std::string::npos; // JSON holds it
  case Type::Texts:
    return value.is_object() && std::ranges::all_of(value, [](const Json& one) { return one.is_string(); });
  case Type::Integers:
    return value.is_object() && std::ranges::all_of(value, isInteger64);
  }
  return false;
}

std::string found(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() > 60 ? text.substr(0, 60) + "..." : text;
}

const Entry& entryOf(const std::string& key) {
  auto entry = std::ranges::find(table(), key, [](const Entry& e) { return e.key.name; });
  if (entry == table().end())
    throw Error(Fault::Internal, "no key of a training's configuration: " + key);
  return *entry;
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const Entry& entry : table())
    all.push_back(entry.key.name);
  return all;
}

std::string flagOf(const std::string& key) {
  std::string flag = "--" + key;
  std::ranges::replace(flag, '_', '-');
  return flag;
}

/// A flag's text as the value of its type; null when it is none.
Json valueOf(const Entry& entry, const std::string& text) {
  const char *begin = text.data(), *end = begin + text.size();
  auto number = [&](auto value) {
    auto [stop, error] = std::from_chars(begin, end, value);
    return error == std::errc() && stop == end ? Json(value) : Json(nullptr);
  };
  switch (entry.type) {
  case Type::Integer: {
    Json value = number(uint64_t{});
    return value.is_null() ? number(int64_t{}) : value;
  }
  case Type::Number:
    return number(double{});
  case Type::Boolean:
    return text == "true" ? Json(true) : text == "false" ? Json(false) : Json(nullptr);
  case Type::Word:
  case Type::Text:
  case Type::Path:
    return text;
  default:
    throw Error(Fault::Internal, entry.key.name + " is given by no one text");
  }
}

} // namespace

const std::vector<ConfigKey>& configKeys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> all;
    for (const Entry& entry : table())
      all.push_back(entry.key);
    return all;
  }();
  return keys;
}

void setConfig(Config& config, const std::string& key, const std::string& text) {
  const Entry& entry = entryOf(key);
  Json value = valueOf(entry, text);
  if (value.is_null() || !fits(entry, value))
    throw Error(Fault::Usage,
                fmt::format("{} {}: expected {}{}", flagOf(key), text, expected(entry), entry.type == Type::Word ? didYouMean(text, entry.key.words) : ""));
  entry.write(config, value);
}

void checkConfig(const Config& config) {
  for (const Entry& entry : table())
    if (Json value = entry.read(config); !fits(entry, value))
      throw Error(Fault::Usage, fmt::format("\"{}\" of a training is {}, expected {}", entry.key.name, found(value), expected(entry)));
  if (config.steps > 0 && config.epochs > 0)
    throw Error(Fault::Usage, fmt::format("a training ends after {} steps or after {} epochs: give \"steps\" or \"epochs\", and 0 for the other", config.steps,
                                          config.epochs));
  if (config.patience > 0 && config.data.validation == 0.0 && config.data.validationPath.empty())
    throw Error(Fault::Usage,
                fmt::format("\"patience\" is {}, but no data are held out to evaluate with: give \"validation\" a share above 0, or \"validation_data\"",
                            config.patience));
}

void parseConfig(const std::string& text, const std::string& where, Config& config) {
  PlacedJson json(text, where);
  Config read = config;
  for (const PlacedJson::Member& member : json.members()) {
    auto entry = std::ranges::find(table(), member.key, [](const Entry& e) { return e.key.name; });
    if (entry == table().end())
      json.fail(member.keyAt, fmt::format("unknown key {}{}; known: {}", Json(member.key).dump(), didYouMean(member.key, names()), fmt::join(names(), ", ")));
    if (!fits(*entry, member.value)) {
      std::string hint = entry->type == Type::Word && member.value.is_string() ? didYouMean(member.value.get<std::string>(), entry->key.words) : "";
      json.fail(member.valueAt, fmt::format("\"{}\" is {}, expected {}{}", member.key, found(member.value), expected(*entry), hint));
    }
    entry->write(read, member.value);
  }
  config = std::move(read);
}

void readConfig(const std::filesystem::path& file, Config& config) {
  constexpr size_t most = size_t{1} << 20;
  MappedFile bytes = MappedFile::open(file);
  if (bytes.bytes().size() > most)
    throw Error(Fault::Data, fmt::format("{}: {} bytes, but a training's configuration has at most {}", file.string(), bytes.bytes().size(), most));
  parseConfig({reinterpret_cast<const char*>(bytes.bytes().data()), bytes.bytes().size()}, file.string(), config);
}

std::string toJson(const Config& config) {
  Json json = Json::object();
  for (const Entry& entry : table())
    json[entry.key.name] = entry.read(config);
  return json.dump(2) + "\n";
}

} // namespace moec::train
