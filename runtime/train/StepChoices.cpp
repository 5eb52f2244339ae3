#include "runtime/train/StepChoices.h"

#include "runtime/GateRecord.h"
#include "runtime/core/Error.h"
#include "runtime/core/NearestName.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace moec::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kChoices = ".choices";

std::string gateOf(std::string_view name) { return std::string(name.substr(0, name.size() - kChoices.size())); }

/// As the size of what each of them took tells; 0: nothing does. A gate's inner level chooses among all its experts.
int64_t expertsOf(const Plan& plan, const std::string& gate) {
  constexpr std::string_view inner = ".inner";
  std::string all = gate.ends_with(inner) ? gate.substr(0, gate.size() - inner.size()) : gate;
  auto load = std::ranges::find(plan.outputs, all + ".load", &OutputInfo::name);
  return load == plan.outputs.end() || load->shape.size() != 1 ? 0 : load->shape[0].constant().value_or(0);
}

template <class Info> std::vector<ChoosingGate> gatesAmong(const Plan& plan, const std::vector<Info>& infos) {
  std::vector<ChoosingGate> gates;
  for (const Info& info : infos)
    if (isChoices(info.name) && info.list == LaunchList::Forward && info.shape.size() == 2)
      gates.push_back({gateOf(info.name), info.shape[1].constant().value_or(0), expertsOf(plan, gateOf(info.name))});
  return gates;
}

const InputInfo& inputOf(const Plan& plan, const std::string& gate) { return *std::ranges::find(plan.inputs, gate + std::string(kChoices), &InputInfo::name); }

/// The sizes that the fields of a batch give the symbols.
Bindings symbolsOf(const Plan& plan, const TensorMap& fields) {
  Bindings symbols;
  for (const InputInfo& info : plan.inputs)
    if (auto field = fields.find(info.name); field != fields.end() && field->second.shape().size() == info.shape.size())
      for (size_t axis = 0; axis < info.shape.size(); ++axis)
        if (std::optional<std::string> symbol = info.shape[axis].asSymbol())
          symbols.emplace(*symbol, field->second.shape()[axis]);
  return symbols;
}

std::string text(const ChoosingGate& gate) {
  return gate.experts ? fmt::format("{} of {} experts", gate.choices, gate.experts) : fmt::format("{} experts", gate.choices);
}

std::string text(const BatchKey& key) { return fmt::format("{} records from record {} of epoch {} on", key.records, key.record, key.epoch); }

std::string namesOf(const std::vector<ChoosingGate>& gates) {
  std::vector<std::string> names;
  for (const ChoosingGate& gate : gates)
    names.push_back(gate.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

} // namespace

StepChoices::StepChoices(const Plan& plan, const Config& config)
    : plan_(plan), record_(config.record), replay_(config.replay), seed_(config.seed), told_(gatesAmong(plan, plan.outputs)),
      taken_(gatesAmong(plan, plan.inputs)) {
  if (!record_.empty() && told_.empty())
    throw Error(Fault::Usage,
                fmt::format("\"record\" is {}, but no gate of the model chooses, or the program was compiled without recording", record_.string()));
  if (!replay_.empty() && taken_.empty())
    throw Error(Fault::Usage,
                fmt::format("\"replay\" is {}, but no gate of the model chooses, or the program was compiled without replaying", replay_.string()));
  if (replay_.empty() && !taken_.empty())
    throw Error(Fault::Usage, fmt::format("the program takes the choices of its gates ({}) as inputs: give \"replay\" a record of them", namesOf(taken_)));
}

TensorMap StepChoices::withAnyChoices(const TensorMap& fields) const {
  TensorMap all = fields;
  if (taken_.empty())
    return all;
  Bindings symbols = symbolsOf(plan_, fields);
  for (const ChoosingGate& gate : taken_)
    all.emplace(gate.name + std::string(kChoices), Tensor(DType::I32, {inputOf(plan_, gate.name).shape[0].evaluate(symbols), gate.choices}));
  return all;
}

void StepChoices::checkGates(const ChoiceReader& record) const {
  const ChoiceHeader& header = record.header();
  auto fail = [&](const std::string& what) {
    throw Error(Fault::Data, fmt::format("{}: step {}, {}; it was recorded of \"{}\", whose gates are {}", record.path().string(), record.first(), what,
                                         header.model, namesOf(header.gates)));
  };
  std::vector<std::string> known;
  for (const ChoosingGate& gate : header.gates)
    known.push_back(gate.name);
  for (const ChoosingGate& gate : taken_) {
    auto its = std::ranges::find(header.gates, gate.name, &ChoosingGate::name);
    if (its == header.gates.end())
      fail(fmt::format("gate '{}' has no choices there{}", gate.name, didYouMean(gate.name, known)));
    if (its->choices != gate.choices || (its->experts && gate.experts && its->experts != gate.experts))
      fail(fmt::format("gate '{}' chose {}, and chooses {} in this model", gate.name, text(*its), text(gate)));
  }
  for (const ChoosingGate& gate : header.gates)
    if (std::ranges::find(taken_, gate.name, &ChoosingGate::name) == taken_.end())
      fail(fmt::format("gate '{}' is none of this model's, which are {}", gate.name, namesOf(taken_)));
}

std::string StepChoices::begin(const std::string& model, const std::function<std::string()>& data, int64_t from, std::optional<int64_t> to,
                               const std::optional<std::string>& recorded) {
  std::string notice;
  if (record_.empty() && replay_.empty())
    return notice;
  ChoiceHeader own{model, data(), seed_, told_, from};
  if (!replay_.empty()) {
    reader_.emplace(replay_);
    checkGates(*reader_);
    const ChoiceHeader& its = reader_->header();
    std::string where = replay_.string(), gate = taken_.front().name;
    if (its.data != own.data)
      throw Error(Fault::Data,
                  fmt::format("{}: the choices of gate '{}', from step {} on, are of other data than this training's: give those that they were recorded with",
                              where, gate, reader_->first()));
    if (its.seed != own.seed)
      throw Error(
          Fault::Data,
          fmt::format("{}: the choices of gate '{}', from step {} on, were recorded with seed {}, and this training has {}: its records come in another order",
                      where, gate, reader_->first(), its.seed, own.seed));
    if (reader_->first() > from + 1 && (!to || from < *to))
      throw Error(Fault::Data, fmt::format("{}: it begins with step {}, and has no choices of gate '{}' in step {}, which is the next", where, reader_->first(),
                                           gate, from + 1));
    if (to && reader_->last() < *to)
      throw Error(Fault::Data, fmt::format("{}: it ends behind step {}, and has no choices of gate '{}' in step {}; this training has {} steps", where,
                                           reader_->last(), gate, std::max(reader_->last(), from) + 1, *to));
    places_.clear();
    for (const ChoosingGate& one : taken_)
      places_.push_back(static_cast<size_t>(std::ranges::find(its.gates, one.name, &ChoosingGate::name) - its.gates.begin()));
  }
  if (!record_.empty()) {
    std::error_code code;
    bool exists = fs::exists(record_, code);
    if (exists && !replay_.empty() && fs::equivalent(record_, replay_, code))
      throw Error(Fault::Usage, fmt::format("{} cannot be replayed and recorded at once: give \"record\" another file", record_.string()));
    writer_.emplace(record_, own, recorded && exists ? std::optional(EarlierRecord{from, *recorded}) : std::nullopt);
    if (recorded && from > 0 && writer_->behind() == from)
      notice = fmt::format("the record {} begins with step {}: what was chosen before stands in no file of this name", record_.string(), from + 1);
  }
  return notice;
}

TensorMap StepChoices::inputs(const BatchKey& key, const TensorMap& fields) const {
  TensorMap choices;
  if (!reader_)
    return choices;
  auto fail = [&](const std::string& gate, const std::string& what) {
    throw Error(Fault::Data, fmt::format("{}: step {}, gate '{}': {}", replay_.string(), key.step, gate, what));
  };
  const BatchKey* recorded = reader_->find(key.step, key.batch);
  const std::string& first = taken_.front().name;
  if (key.step > reader_->last()) // of a step that was never finished some batches may be there
    fail(first, fmt::format("it ends behind step {}", reader_->last()));
  if (!recorded)
    fail(first, fmt::format("it has no batch {} of this step; give the \"accumulate\" that it was recorded with", key.batch + 1));
  BatchKey sameEnd = key;
  sameEnd.endsStep = recorded->endsStep;
  if (*recorded != sameEnd)
    fail(first, fmt::format("it was recorded of {}, and this training's batch is of {}; give the \"batch\" and \"accumulate\" that it was recorded with",
                            text(*recorded), text(key)));
  if (recorded->endsStep != key.endsStep)
    fail(first, fmt::format("batch {} {}; give the \"accumulate\" that it was recorded with", key.batch + 1,
                            key.endsStep ? "is the last one of this step, and the record has more"
                                         : "of this step is the record's last one, and this training has more"));
  std::vector<Tensor> all = reader_->read(key.step, key.batch);
  Bindings symbols = symbolsOf(plan_, fields);
  for (size_t i = 0; i < taken_.size(); ++i) {
    const ChoosingGate& gate = taken_[i];
    const InputInfo& info = inputOf(plan_, gate.name);
    Tensor& mine = all[places_[i]];
    if (int64_t tokens = info.shape[0].evaluate(symbols); tokens != mine.shape()[0])
      fail(gate.name, fmt::format("it has the choices of {} tokens, and this training's batch has {}", mine.shape()[0], tokens));
    for (int32_t choice : mine.as<int32_t>())
      if (choice < -1 || (info.below && choice >= *info.below))
        fail(gate.name, fmt::format("it chose expert {}, and this model has experts 0 to {}", choice, info.below.value_or(1) - 1));
    choices.emplace(info.name, std::move(mine));
  }
  return choices;
}

void StepChoices::add(const BatchKey& key, const TensorMap& results) {
  if (!writer_)
    return;
  std::vector<Tensor> choices;
  for (const ChoosingGate& gate : told_)
    choices.push_back(results.find(gate.name + std::string(kChoices))->second);
  writer_->add(key, choices);
}

void StepChoices::sync() {
  if (writer_)
    writer_->sync();
}

} // namespace moec::train
