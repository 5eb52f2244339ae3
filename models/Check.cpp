#include "models/Check.h"

#include "models/json/Words.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace moec::models {

namespace {

class Checker {
public:
  Checker(const ModelFile& file, Vocabulary& vocabulary, Diagnostics& diagnostics) : file_(file), vocabulary_(vocabulary), diagnostics_(diagnostics) {}

  void check() {
    body(*file_.model, file_.let, false);
    if (file_.loss)
      object(*file_.loss, Family::Loss, file_.let, false);
    if (file_.optimizer)
      object(*file_.optimizer, Family::Optimizer, file_.let, false);
  }

private:
  void body(const Json& json, const Environment& environment, bool insideExpert) {
    if (!json.isList())
      return object(json, Family::Block, environment, insideExpert);
    if (json.list().empty())
      diagnostics_.error(json.position(), "a list of blocks is not empty");
    for (const Json& item : json.list())
      body(item, environment, insideExpert);
  }

  void object(const Json& json, Family family, const Environment& environment, bool insideExpert) {
    if (tooMany_)
      return;
    if (++seen_ > kMostBlocks || depth_ == kDeepestBlocks) {
      tooMany_ = true;
      return diagnostics_.error(json.position(), depth_ == kDeepestBlocks ? fmt::format("blocks are more than {} levels deep", kDeepestBlocks)
                                                                          : fmt::format("the model has more than {} blocks", kMostBlocks));
    }
    ++depth_;
    inside(json, family, environment, insideExpert);
    --depth_;
  }

  void inside(const Json& json, Family family, const Environment& environment, bool insideExpert) {
    std::optional<Use> use = vocabulary_.look(json, family, environment, insideExpert);
    if (!use)
      return;
    if (family == Family::Block)
      vocabulary_.naming(*use);
    if (family == Family::Expert && use->own) // a kind has it in its table
      vocabulary_.expertCount(*use);
    if (use->own)
      return own(*use, insideExpert || family == Family::Expert);
    std::optional<Arguments> arguments = vocabulary_.arguments(*use);
    // What stands inside is checked even when a parameter beside it is wrong.
    for (const Parameter& parameter : use->kind->parameters)
      if (const Json* inner = use->object->find(parameter.name); inner && fits(parameter, *inner))
        nested(parameter, *inner, *use->environment, insideExpert);
  }

  void nested(const Parameter& parameter, const Json& json, const Environment& environment, bool insideExpert) {
    if (parameter.type == ParameterType::Body)
      body(json, environment, insideExpert);
    else if (parameter.type == ParameterType::Gate)
      object(json, Family::Gate, environment, insideExpert);
    else if (parameter.type == ParameterType::Expert || (parameter.type == ParameterType::Experts && json.isObject()))
      object(json, Family::Expert, environment, insideExpert);
    else if (parameter.type == ParameterType::Experts)
      for (const Json& item : json.list())
        object(item, Family::Expert, environment, insideExpert);
    else if (parameter.type == ParameterType::ExpertBody)
      body(json, environment, true);
  }

  void own(const Use& use, bool insideExpert) {
    const std::string& name = use.own->name;
    if (std::find(open_.begin(), open_.end(), name) != open_.end()) {
      if (circular_.insert(name).second) // once, whoever uses it
        diagnostics_.error(use.own->position, fmt::format("the block {} is defined by itself: {} -> {}", inQuotes(name), fmt::join(open_, " -> "), name));
      return;
    }
    open_.push_back(name);
    body(*use.own->body, *use.environment, insideExpert);
    open_.pop_back();
  }

  const ModelFile& file_;
  Vocabulary& vocabulary_;
  Diagnostics& diagnostics_;
  std::vector<std::string> open_;  // own blocks whose bodies are being checked
  std::set<std::string> circular_; // reported
  int64_t seen_ = 0;
  int depth_ = 0;
  bool tooMany_ = false;
};

} // namespace

void checkWords(const ModelFile& file, Vocabulary& vocabulary, Diagnostics& diagnostics) { Checker(file, vocabulary, diagnostics).check(); }

} // namespace moec::models
