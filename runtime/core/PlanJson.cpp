#include "runtime/core/PlanJson.h"

#include "runtime/core/Base64.h"
#include "runtime/core/CpuTarget.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <utility>

namespace moec {
namespace {

using Json = nlohmann::ordered_json;

template <class Enum> using Words = std::vector<std::pair<Enum, const char*>>;

const Words<Init::Kind> kInitWords = {{Init::Kind::Zeros, "zeros"},
                                      {Init::Kind::Ones, "ones"},
                                      {Init::Kind::Constant, "constant"},
                                      {Init::Kind::Uniform, "uniform"},
                                      {Init::Kind::Normal, "normal"},
                                      {Init::Kind::Orthogonal, "orthogonal"},
                                      {Init::Kind::TruncatedNormal, "truncated_normal"}};
const Words<PhotoRule::Resize> kResizeWords = {{PhotoRule::Resize::None, "none"}, {PhotoRule::Resize::Stretch, "stretch"}};
const Words<BufferKind> kBufferWords = {{BufferKind::Input, "input"},       {BufferKind::Parameter, "parameter"}, {BufferKind::State, "state"},
                                        {BufferKind::Prepared, "prepared"}, {BufferKind::Temporary, "temporary"}, {BufferKind::Output, "output"},
                                        {BufferKind::Constant, "constant"}};
const Words<Purpose> kPurposeWords = {
    {Purpose::Inference, "inference"}, {Purpose::Training, "training"}, {Purpose::Evaluation, "evaluation"}, {Purpose::Generation, "generation"}};
const Words<NonFiniteLogits> kNonFiniteWords = {{NonFiniteLogits::Count, "count"}, {NonFiniteLogits::Error, "error"}};
const Words<LaunchList> kCallWords = {{LaunchList::Forward, "forward"}, {LaunchList::Apply, "apply"}};

template <class Enum> const char* wordOf(const Words<Enum>& words, Enum value) {
  for (const auto& [candidate, word] : words)
    if (candidate == value)
      return word;
  throw Error(Fault::Internal, "a plan's enumeration has no word");
}

// ---- writing; what has its default value is left out

Json write(const Size& size) {
  if (auto value = size.constant())
    return *value;
  return size.str();
}

Json write(const std::vector<Size>& sizes) {
  Json list = Json::array();
  for (const Size& size : sizes)
    list.push_back(write(size));
  return list;
}

template <class T> void writeUnlessEmpty(Json& json, const char* key, const std::vector<T>& list) {
  if (!list.empty())
    json[key] = list;
}

Json write(const InputInfo& input) {
  Json json = {{"name", input.name}, {"dtype", name(input.dtype)}, {"shape", write(input.shape)}, {"buffer", input.buffer}};
  if (input.photo)
    json["photo"] = {{"resize", wordOf(kResizeWords, input.photo->resize)}, {"mean", input.photo->mean}, {"std", input.photo->std}};
  if (input.below)
    json["below"] = *input.below;
  if (input.except)
    json["except"] = *input.except;
  if (input.forLoss)
    json["for_loss"] = true;
  if (input.isDraw)
    json["draw"] = true;
  if (input.list != LaunchList::Forward)
    json["list"] = wordOf(kCallWords, input.list);
  return json;
}

Json write(const ParameterInfo& parameter) {
  return {{"name", parameter.name},
          {"dtype", name(parameter.dtype)},
          {"shape", parameter.shape},
          {"init", {{"kind", wordOf(kInitWords, parameter.init.kind)}, {"a", parameter.init.a}, {"b", parameter.init.b}}},
          {"buffer", parameter.buffer}};
}

Json write(const StateInfo& state) {
  Json json = write(static_cast<const ParameterInfo&>(state));
  if (state.from)
    json["from"] = *state.from;
  return json;
}

Json write(const OutputInfo& output) {
  Json json = {{"name", output.name}, {"dtype", name(output.dtype)}, {"shape", write(output.shape)}, {"buffer", output.buffer}};
  if (output.list != LaunchList::Forward)
    json["list"] = wordOf(kCallWords, output.list);
  return json;
}

Json write(const RowCoupling& coupling) { return {{"label", coupling.label}, {"why", coupling.why}}; }

Json write(const SizeRule& rule) {
  Json json = {{"what", rule.what}, {"size", rule.size.str()}};
  if (rule.atLeast)
    json["at_least"] = *rule.atLeast;
  if (rule.atMost)
    json["at_most"] = *rule.atMost;
  return json;
}

Json write(const BufferInfo& buffer) {
  Json json = {{"name", buffer.name}, {"kind", wordOf(kBufferWords, buffer.kind)}, {"dtype", name(buffer.dtype)}, {"shape", write(buffer.shape)}};
  if (buffer.firstLaunch >= 0 || buffer.lastLaunch >= 0)
    json["life"] = {buffer.firstLaunch, buffer.lastLaunch};
  if (buffer.raggedBy)
    json["ragged_by"] = *buffer.raggedBy;
  if (buffer.isRouting)
    json["routing"] = {{"experts", buffer.experts}, {"choices", buffer.choices}};
  if (!buffer.data.empty())
    json["data"] = encodeBase64(buffer.data);
  return json;
}

Json write(const StageInfo& stage) {
  Json json = {{"items", write(stage.items)}, {"scratch", write(stage.scratchBytes)}, {"operations", write(stage.operations)}};
  if (const auto& grid = stage.grid)
    json["grid"] = {{"function", grid->function},   {"threads", grid->threads},
                    {"shared", grid->sharedBytes},  {"dynamic_shared", grid->dynamicSharedBytes},
                    {"registers", grid->registers}, {"spill", grid->spillBytes},
                    {"stack", grid->stackBytes},    {"blocks_per_multiprocessor", grid->blocksPerMultiprocessor}};
  return json;
}

Json write(const LaunchInfo& launch) {
  Json json = {{"kernel", launch.kernel}, {"label", launch.label}, {"kind", launch.kind}, {"inputs", launch.inputs}, {"outputs", launch.outputs}};
  if (!launch.sizes.empty())
    json["sizes"] = write(launch.sizes);
  writeUnlessEmpty(json, "streams", launch.streams);
  json["stages"] = Json::array();
  for (const StageInfo& stage : launch.stages)
    json["stages"].push_back(write(stage));
  writeUnlessEmpty(json, "workspaces", launch.workspaces);
  writeUnlessEmpty(json, "ops", launch.ops);
  json["reason"] = launch.reason;
  json["schedule"] = launch.schedule;
  if (launch.isTuned)
    json["tuned"] = true;
  json["flops"] = write(launch.flops);
  json["bytes"] = write(launch.bytes);
  return json;
}

template <class T> Json writeAll(const std::vector<T>& list) {
  Json json = Json::array();
  for (const T& item : list)
    json.push_back(write(item));
  return json;
}

// ---- reading

/// A JSON value and its place, for messages.
class Reader {
public:
  Reader(const nlohmann::json& json, std::string where) : json_(json), where_(std::move(where)) {}

  [[noreturn]] void fail(const std::string& what) const { throw Error(Fault::Data, fmt::format("{}: {}", where_, what)); }

  std::optional<Reader> find(const char* key) const {
    if (!json_.is_object())
      fail("expected an object");
    auto found = json_.find(key);
    return found == json_.end() ? std::nullopt : std::optional(Reader(*found, where_ + "." + key));
  }
  Reader at(const char* key) const {
    auto found = find(key);
    return found ? *found : (fail(fmt::format("'{}' is missing", key)), *this);
  }

  template <class Item> auto list(Item item) const {
    if (!json_.is_array())
      fail("expected a list");
    std::vector<decltype(item(*this))> items;
    items.reserve(json_.size());
    for (size_t i = 0; i < json_.size(); ++i)
      items.push_back(item(Reader(json_[i], fmt::format("{}[{}]", where_, i))));
    return items;
  }

  std::string text() const {
    if (!json_.is_string())
      fail("expected text");
    return json_.get<std::string>();
  }
  int64_t integer() const {
    if (!json_.is_number_integer() || (json_.is_number_unsigned() && json_.get<uint64_t>() > INT64_MAX))
      fail("expected an integer of 64 bits");
    return json_.get<int64_t>();
  }
  int index() const {
    int64_t value = integer();
    if (value < -1 || value > INT32_MAX)
      fail(fmt::format("{} is no index", value));
    return static_cast<int>(value);
  }
  double number() const {
    if (!json_.is_number())
      fail("expected a number");
    return json_.get<double>();
  }
  bool truth() const {
    if (!json_.is_boolean())
      fail("expected true or false");
    return json_.get<bool>();
  }
  Size size() const {
    if (json_.is_number())
      return integer();
    try {
      return Size::parse(text());
    } catch (const Error& error) {
      fail(error.what());
    }
  }
  DType dtype() const {
    auto type = parseDType(text());
    return type ? *type : (fail(fmt::format("unknown dtype '{}'", text())), DType::F32);
  }
  template <class Enum> Enum word(const Words<Enum>& words) const {
    for (const auto& [value, candidate] : words)
      if (text() == candidate)
        return value;
    fail(fmt::format("unknown word '{}'", text()));
  }

  std::map<std::string, int64_t> integersByName() const {
    if (!json_.is_object())
      fail("expected an object");
    std::map<std::string, int64_t> values;
    for (auto& [key, value] : json_.items())
      values[key] = Reader(value, where_ + "." + key).integer();
    return values;
  }
  std::vector<Size> sizes() const {
    return list([](const Reader& r) { return r.size(); });
  }
  std::vector<int> indices() const {
    return list([](const Reader& r) { return r.index(); });
  }
  std::vector<double> numbers() const {
    return list([](const Reader& r) { return r.number(); });
  }
  std::vector<std::string> texts() const {
    return list([](const Reader& r) { return r.text(); });
  }

private:
  const nlohmann::json& json_;
  std::string where_;
};

InputInfo readInput(const Reader& json) {
  InputInfo input{json.at("name").text(), json.at("dtype").dtype(), json.at("shape").sizes(), json.at("buffer").index(), {}, {}, {}};
  if (auto photo = json.find("photo"))
    input.photo = PhotoRule{photo->at("resize").word(kResizeWords), photo->at("mean").numbers(), photo->at("std").numbers()};
  if (auto below = json.find("below"))
    input.below = below->integer();
  if (auto except = json.find("except"))
    input.except = except->integer();
  if (auto loss = json.find("for_loss"))
    input.forLoss = loss->truth();
  if (auto draw = json.find("draw"))
    input.isDraw = draw->truth();
  if (auto list = json.find("list"))
    input.list = list->word(kCallWords);
  return input;
}

ParameterInfo readParameter(const Reader& json) {
  Reader init = json.at("init");
  return {json.at("name").text(),
          json.at("dtype").dtype(),
          json.at("shape").list([](const Reader& r) { return r.integer(); }),
          {init.at("kind").word(kInitWords), init.at("a").number(), init.at("b").number()},
          json.at("buffer").index()};
}

StateInfo readState(const Reader& json) {
  StateInfo state{readParameter(json), {}};
  if (auto from = json.find("from"))
    state.from = from->text();
  return state;
}

OutputInfo readOutput(const Reader& json) {
  OutputInfo output{json.at("name").text(), json.at("dtype").dtype(), json.at("shape").sizes(), json.at("buffer").index()};
  if (auto list = json.find("list"))
    output.list = list->word(kCallWords);
  return output;
}

RowCoupling readCoupling(const Reader& json) { return {json.at("label").text(), json.at("why").text()}; }

SizeRule readRule(const Reader& json) {
  SizeRule rule{json.at("what").text(), json.at("size").size(), {}, {}};
  if (auto least = json.find("at_least"))
    rule.atLeast = least->integer();
  if (auto most = json.find("at_most"))
    rule.atMost = most->integer();
  return rule;
}

BufferInfo readBuffer(const Reader& json) {
  BufferInfo buffer;
  buffer.name = json.at("name").text();
  buffer.kind = json.at("kind").word(kBufferWords);
  buffer.dtype = json.at("dtype").dtype();
  buffer.shape = json.at("shape").sizes();
  if (auto life = json.find("life")) {
    std::vector<int> ends = life->indices();
    if (ends.size() != 2)
      life->fail("expected the first and the last launch");
    buffer.firstLaunch = ends[0];
    buffer.lastLaunch = ends[1];
  }
  if (auto ragged = json.find("ragged_by"))
    buffer.raggedBy = ragged->index();
  if (auto routing = json.find("routing")) {
    buffer.isRouting = true;
    buffer.experts = routing->at("experts").integer();
    buffer.choices = routing->at("choices").integer();
  }
  if (auto data = json.find("data")) {
    auto bytes = decodeBase64(data->text());
    buffer.data = bytes ? std::move(*bytes) : (data->fail("expected base64"), std::vector<uint8_t>());
  }
  return buffer;
}

StageInfo readStage(const Reader& json) {
  StageInfo stage{json.at("items").size(), json.at("scratch").size(), json.at("operations").size(), {}};
  if (auto grid = json.find("grid")) {
    auto count = [&](const char* key, int64_t most) {
      int64_t value = grid->at(key).integer();
      if (value < 0 || value > most)
        grid->at(key).fail("is out of range");
      return value;
    };
    constexpr int64_t kMostBytes = int64_t{1} << 40;
    stage.grid = GridInfo{grid->at("function").text(),
                          static_cast<int>(count("threads", 1024)),
                          count("shared", kMostBytes),
                          count("dynamic_shared", kMostBytes),
                          static_cast<int>(count("registers", 255)),
                          count("spill", kMostBytes),
                          count("stack", kMostBytes),
                          static_cast<int>(count("blocks_per_multiprocessor", 64))};
  }
  return stage;
}

LaunchInfo readLaunch(const Reader& json) {
  LaunchInfo launch;
  launch.kernel = json.at("kernel").text();
  launch.label = json.at("label").text();
  launch.kind = json.at("kind").text();
  launch.inputs = json.at("inputs").indices();
  launch.outputs = json.at("outputs").indices();
  if (auto sizes = json.find("sizes"))
    launch.sizes = sizes->sizes();
  if (auto streams = json.find("streams"))
    launch.streams = streams->texts();
  launch.stages = json.at("stages").list(readStage);
  if (auto workspaces = json.find("workspaces"))
    launch.workspaces = workspaces->indices();
  if (auto ops = json.find("ops"))
    launch.ops = ops->texts();
  launch.reason = json.at("reason").text();
  launch.schedule = json.at("schedule").text();
  if (auto tuned = json.find("tuned"))
    launch.isTuned = tuned->truth();
  launch.flops = json.at("flops").size();
  launch.bytes = json.at("bytes").size();
  return launch;
}

} // namespace

Json sizesToJson(const std::vector<Size>& sizes) { return write(sizes); }
std::vector<Size> sizesFromJson(const nlohmann::json& json, const std::string& where) { return Reader(json, where).sizes(); }
Json stagesToJson(const std::vector<StageInfo>& stages) { return writeAll(stages); }
std::vector<StageInfo> stagesFromJson(const nlohmann::json& json, const std::string& where) { return Reader(json, where).list(readStage); }

Json planToJson(const Plan& plan) {
  Json json = {{"target", plan.target},
               {"invariant", plan.invariant},
               {"check_sizes", plan.checkSizes},
               {"rules", writeAll(plan.rules)},
               {"inputs", writeAll(plan.inputs)},
               {"parameters", writeAll(plan.parameters)},
               {"outputs", writeAll(plan.outputs)},
               {"buffers", writeAll(plan.buffers)},
               {"prepare", writeAll(plan.prepare)},
               {"forward", writeAll(plan.forward)}};
  if (!plan.weightsAs.empty())
    json["weights_as"] = plan.weightsAs;
  if (plan.usesTiles || hasTileRegisters(plan.target))
    json["uses_tiles"] = plan.usesTiles;
  if (plan.nonFinite != NonFiniteLogits::Count)
    json["non_finite"] = wordOf(kNonFiniteWords, plan.nonFinite);
  if (!plan.couplings.empty())
    json["couplings"] = writeAll(plan.couplings);
  if (plan.purpose == Purpose::Inference)
    return json;
  json["purpose"] = wordOf(kPurposeWords, plan.purpose);
  json["states"] = writeAll(plan.states);
  json["apply"] = writeAll(plan.apply);
  return json;
}

Plan planFromJson(const nlohmann::json& json, const std::string& where) {
  Reader reader(json, where);
  Plan plan;
  plan.target = reader.at("target").text();
  plan.invariant = reader.at("invariant").truth();
  if (auto couplings = reader.find("couplings"))
    plan.couplings = couplings->list(readCoupling);
  plan.checkSizes = reader.at("check_sizes").integersByName();
  if (auto words = reader.find("weights_as"))
    plan.weightsAs = words->text();
  auto tiles = reader.find("uses_tiles"); // older programs do not say: then where the target has tiles, they may
  plan.usesTiles = tiles ? tiles->truth() : hasTileRegisters(plan.target);
  if (auto what = reader.find("non_finite"))
    plan.nonFinite = what->word(kNonFiniteWords);
  plan.rules = reader.at("rules").list(readRule);
  plan.inputs = reader.at("inputs").list(readInput);
  plan.parameters = reader.at("parameters").list(readParameter);
  plan.outputs = reader.at("outputs").list(readOutput);
  plan.buffers = reader.at("buffers").list(readBuffer);
  plan.prepare = reader.at("prepare").list(readLaunch);
  plan.forward = reader.at("forward").list(readLaunch);
  if (auto purpose = reader.find("purpose"))
    plan.purpose = purpose->word(kPurposeWords);
  if (auto states = reader.find("states"))
    plan.states = states->list(readState);
  if (auto apply = reader.find("apply"))
    plan.apply = apply->list(readLaunch);
  return plan;
}

const char* name(Purpose purpose) { return wordOf(kPurposeWords, purpose); }

std::string toJson(const Plan& plan) {
  try {
    return planToJson(plan).dump(1);
  } catch (const nlohmann::json::exception& error) {
    throw Error(Fault::Internal, fmt::format("plan of {}: {}", plan.target, error.what()));
  }
}

Plan parsePlan(const std::string& text) {
  nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded())
    throw Error(Fault::Data, "plan: not JSON");
  Plan plan = planFromJson(json, "plan");
  checkPlan(plan);
  return plan;
}

} // namespace moec
