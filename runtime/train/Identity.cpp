#include "runtime/train/Identity.h"

#include "runtime/GateRecord.h"
#include "runtime/core/Digest.h"
#include "runtime/core/Error.h"
#include "runtime/io/MappedFile.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <set>

namespace moec::train {
namespace {

using SortedJson = nlohmann::json; // sorts its keys

SortedJson readModel(const std::filesystem::path& path) {
  MappedFile file = MappedFile::open(path);
  SortedJson model = SortedJson::parse(file.bytes().begin(), file.bytes().end(), nullptr, false);
  if (!model.is_object())
    throw Error(Fault::Data, fmt::format("{}: no model: it is no JSON object", path.string()));
  return model;
}

template <class Info> void describe(std::string& text, const Info& info) {
  std::vector<std::string> sizes;
  for (const auto& size : info.shape)
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(size)>, Size>)
      sizes.push_back(size.str());
    else
      sizes.push_back(std::to_string(size));
  text += fmt::format("{} {}[{}]\n", info.name, moec::name(info.dtype), fmt::join(sizes, ", "));
}

/// Parameters with their init rules, and inputs.
std::string formOf(const Plan& plan) {
  std::string text;
  for (const ParameterInfo& parameter : plan.parameters) {
    describe(text, parameter);
    text += fmt::format("{} {} {}\n", static_cast<int>(parameter.init.kind), parameter.init.a, parameter.init.b);
  }
  for (const InputInfo& input : plan.inputs)
    if (!input.name.starts_with("train.") && !isChoices(input.name)) // a replay is of the same model
      describe(text, input);
  return text;
}

/// "exp_avg, exp_avg_sq": what the optimizer keeps for a parameter; not the gradients that add up, which follow from how a step is cut.
std::set<std::string> stateKinds(const Plan& plan) {
  std::set<std::string> kinds;
  for (const StateInfo& state : plan.states)
    for (const ParameterInfo& parameter : plan.parameters)
      if (state.name.starts_with(parameter.name + "."))
        if (std::string kind = state.name.substr(parameter.name.size() + 1); kind.find('.') == std::string::npos && kind != "gradient")
          kinds.insert(kind);
  return kinds;
}

} // namespace

Identity identityOf(const Plan& plan, const std::string& name, const Config& config, const data::OpenedData& data) {
  SortedJson model = config.model.empty() ? SortedJson::object() : readModel(config.model);
  std::string optimizer = model.contains("optimizer") ? model["optimizer"].dump() : "the usual one";
  model.erase("optimizer");
  if (config.ema)
    optimizer += fmt::format(", averages that decay by {}", *config.ema);
  std::set<std::string> kinds = stateKinds(plan);
  optimizer += fmt::format(", states: {}", kinds.empty() ? "none" : fmt::format("{}", fmt::join(kinds, ", ")));
  std::string built = formOf(plan) + model.dump() + SortedJson(config.let).dump() + config.moefy;
  std::string read = data.train->digest();
  if (data.validation)
    read += ", validated with " + data.validation->digest();
  return {fmt::format("{} ({})", name, digestOf(built).hex()), optimizer, read, config.seed};
}

void checkSame(const std::filesystem::path& folder, const Identity& checkpoint, const Identity& training) {
  auto check = [&](const char* what, const auto& its, const auto& ours, const char* advice) {
    if (its != ours)
      throw Error(Fault::Data, fmt::format("{} is of another {}: {}; this training's is {}. {}", folder.string(), what, its, ours, advice));
  };
  const char* other = "A training goes on with what it began with; to train something else, give another folder";
  check("model", checkpoint.model, training.model, other);
  check("optimizer", checkpoint.optimizer, training.optimizer, other);
  check("seed", checkpoint.seed, training.seed, "Give the first, or another folder");
  check("data", checkpoint.data, training.data, "Give the data that it began with, or another folder");
}

} // namespace moec::train
