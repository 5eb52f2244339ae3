#include "models/ModelBuilder.h"

#include "models/Check.h"
#include "models/Choices.h"
#include "models/Statistics.h"
#include "models/json/Words.h"

#include <fmt/format.h>

#include <set>

using mlir::Value;

namespace moec::models {

Value ValueScope::find(std::string_view name) const {
  if (auto found = values.find(name); found != values.end())
    return found->second;
  return outer ? outer->find(name) : Value();
}

std::vector<std::string> ValueScope::names() const {
  std::set<std::string> all;
  for (const ValueScope* scope = this; scope; scope = scope->outer)
    for (const auto& [name, value] : scope->values)
      all.insert(name);
  return {all.begin(), all.end()};
}

Value ModelBuilder::body(const Json& json, const Environment& environment, Value x, Surroundings surroundings) {
  ValueScope values{.values = {}, .outer = surroundings.values};
  surroundings.values = &values;
  std::string last;
  return items(json, environment, x, surroundings, last);
}

Value ModelBuilder::model(Value x, Surroundings surroundings, std::string& last) { return items(*file_.model, file_.let, x, surroundings, last); }

Value ModelBuilder::items(const Json& json, const Environment& environment, Value x, Surroundings surroundings, std::string& last) {
  if (!json.isList())
    return block(json, environment, x, surroundings, last);
  for (const Json& item : json.list()) {
    if (!x)
      return {};
    last.clear();
    x = item.isList() ? body(item, environment, x, surroundings) : block(item, environment, x, surroundings, last);
  }
  return x;
}

Value ModelBuilder::block(const Json& json, const Environment& environment, Value x, Surroundings surroundings, std::string& name) {
  if (++built_ > kMostBlocks) {
    diagnostics_.error(json.position(), fmt::format("the model has more than {} blocks", kMostBlocks));
    return {};
  }
  std::optional<Use> use = vocabulary_.look(json, Family::Block, environment, surroundings.experts != nullptr);
  std::optional<Naming> naming = use ? vocabulary_.naming(*use) : std::nullopt;
  if (!naming)
    return {};
  std::optional<std::vector<Value>> inputs = inputsOf(*use, *naming, x, *surroundings.values);
  if (!inputs)
    return {};
  Value result = use->own ? own(*use, *naming, inputs->front(), surroundings) : builtin(*use, *naming, *inputs, surroundings);
  name = naming->name.value_or("");
  if (result && naming->name && !surroundings.values->values.emplace(*naming->name, result).second) {
    diagnostics_.error(naming->position, fmt::format("the name {} is taken in this list", inQuotes(*naming->name)));
    return {};
  }
  return result;
}

std::optional<std::vector<Value>> ModelBuilder::inputsOf(const Use& use, const Naming& naming, Value x, const ValueScope& values) {
  const std::string& word = use.kind ? use.kind->name : use.own->name;
  size_t least = use.kind ? static_cast<size_t>(use.kind->inputs) : 1;
  size_t most = least + (use.kind ? static_cast<size_t>(use.kind->optionalInputs) : 0);
  if (naming.from.empty() && least == 1)
    return std::vector<Value>{x};
  if (naming.from.size() < least || naming.from.size() > most) {
    std::string count = least == most ? std::to_string(least) : fmt::format("{} to {}", least, most);
    diagnostics_.error(use.object->position(),
                       fmt::format("{} takes {} value{}; \"from\" names {}", inQuotes(word), count, most == 1 ? "" : "s", naming.from.size()));
    return std::nullopt;
  }
  std::vector<Value> inputs;
  for (const auto& [name, position] : naming.from) {
    inputs.push_back(values.find(name));
    if (!inputs.back()) {
      diagnostics_.error(position, unknownValue(name, values.names()));
      return std::nullopt;
    }
  }
  return inputs;
}

std::optional<std::string> ModelBuilder::takeName(NameScope& scope, const std::string& word, const Naming& naming) {
  if (naming.name) {
    auto [place, isNew] = scope.taken.emplace(*naming.name, naming.position);
    if (isNew)
      return scope.join(*naming.name);
    diagnostics_.error(naming.position, fmt::format("the name {} is taken by the block at {}:{}; a name is used once in a scope of names",
                                                    inQuotes(*naming.name), place->second.line, place->second.column));
    return std::nullopt;
  }
  std::string name = word;
  for (int number = 2; !scope.taken.emplace(name, naming.position).second; ++number)
    name = fmt::format("{}_{}", word, number);
  return scope.join(name);
}

Value ModelBuilder::builtin(const Use& use, const Naming& naming, llvm::ArrayRef<Value> inputs, Surroundings surroundings) {
  std::optional<Arguments> arguments = vocabulary_.arguments(use);
  std::optional<std::string> path = use.kind->container ? std::optional(surroundings.names->path) : takeName(*surroundings.names, use.kind->name, naming);
  if (!arguments || !path)
    return {};
  if (file_.generation && !use.kind->byToken) {
    diagnostics_.error(use.object->position(), fmt::format("a model with {} cannot continue texts: it does not make each token of itself and those before it",
                                                           inQuotes(use.kind->name)));
    return {};
  }
  Site site(*this, *path, use.object->position(), surroundings);
  return use.kind->block(site, *arguments, inputs);
}

Value ModelBuilder::own(const Use& use, const Naming& naming, Value x, Surroundings surroundings) {
  std::optional<std::string> path = takeName(*surroundings.names, use.own->name, naming);
  if (!path)
    return {};
  NameScope names{.path = *path, .taken = {}};
  surroundings.names = &names;
  return body(*use.own->body, *use.environment, x, surroundings);
}

void ModelBuilder::markRouters(const std::string& path) {
  for (auto parameter : module_.getOps<ir::ParameterOp>())
    if (parameter.getSymName().starts_with(path + "."))
      parameter->setAttr(ir::kRouterName, mlir::UnitAttr::get(module_.getContext()));
}

std::optional<GateResult> ModelBuilder::gate(const Json& json, const Environment& environment, Value tokens, const Size& groups, int64_t experts,
                                             const std::string& path, const ValueScope* values) {
  std::optional<Use> use = vocabulary_.look(json, Family::Gate, environment, false);
  std::optional<Arguments> arguments = use ? vocabulary_.arguments(*use) : std::nullopt;
  if (!arguments)
    return std::nullopt;
  ValueScope inside{.values = {}, .outer = values};
  Site site(*this, path, json.position(), {.values = &inside, .groups = groups});
  std::optional<GateResult> result = use->kind->gate(site, *arguments, tokens, experts);
  if (result) {
    markRouters(path);
    addStatistics(site, *result);
    addWeightsAndDrops(site, *result);
  }
  return result;
}

void ModelBuilder::addPooledLoss(Ops& ops, Position position, const std::string& path, llvm::ArrayRef<Value> values, double coefficient, Site::Finish finish) {
  auto pool = llvm::find_if(pools_, [&](const PooledLoss& known) { return known.path == path; });
  if (pool == pools_.end()) {
    pools_.push_back({path, position, values.vec(), coefficient, finish});
    return;
  }
  auto shape = [](Value value) { return ir::describe(ir::sizesOf(value)); };
  if (pool->finish != finish || pool->sums.size() != values.size()) {
    diagnostics_.error(position, fmt::format("the loss {} is another one than that of the gate at {}:{}; give the pools other names", inQuotes(path),
                                             pool->position.line, pool->position.column));
    return;
  }
  if (pool->coefficient != coefficient) {
    diagnostics_.error(position, fmt::format("the loss {} has the coefficient {} here and {} at {}:{}; the gates of a pool have one", inQuotes(path),
                                             coefficient, pool->coefficient, pool->position.line, pool->position.column));
    return;
  }
  for (auto [sum, value] : llvm::zip(pool->sums, values)) {
    if (ir::sizesOf(sum) != ir::sizesOf(value)) {
      diagnostics_.error(position, fmt::format("the loss {} is of {} here and of {} at {}:{}; the gates of a pool have as many experts and rows of the batch",
                                               inQuotes(path), shape(value), shape(sum), pool->position.line, pool->position.column));
      return;
    }
    sum = ops.add(sum, value);
  }
}

void ModelBuilder::finishPools() {
  for (PooledLoss& pool : pools_) {
    ops_.moveTo(pool.path, pool.position);
    if (Value loss = pool.finish(ops_, pool.sums))
      losses_.push_back({pool.path, ops_.reshape(loss, {}), pool.coefficient});
  }
  pools_.clear();
}

std::optional<int64_t> ModelBuilder::expertCount(const Json& json, const Environment& environment) {
  std::optional<Use> use = vocabulary_.look(json, Family::Expert, environment, false);
  return use ? vocabulary_.expertCount(*use) : std::nullopt;
}

Value ModelBuilder::expert(const Json& json, const Environment& environment, Value rows, const ExpertSpace& space, const std::string& path) {
  std::optional<Use> use = vocabulary_.look(json, Family::Expert, environment, false);
  if (!use)
    return {};
  NameScope names{.path = path, .taken = {}};
  ValueScope values;
  Surroundings inside{.names = &names, .values = &values, .experts = &space};
  if (use->own)
    return body(*use->own->body, *use->environment, rows, inside);
  std::optional<Arguments> arguments = vocabulary_.arguments(*use);
  if (!arguments)
    return {};
  Site site(*this, path, use->object->position(), inside);
  return use->kind->expert(site, *arguments, rows);
}

Value ModelBuilder::plainExpert(const Json& json, const Environment& environment, Value x, Surroundings surroundings, const std::string& path) {
  NameScope names{.path = path, .taken = {}};
  surroundings.names = &names;
  if (json.isList())
    return body(json, environment, x, surroundings);
  std::optional<Use> use = vocabulary_.look(json, Family::Block, environment, true);
  if (!use || (use->kind && use->kind->inputs != 1))
    return {};
  if (use->own)
    return body(*use->own->body, *use->environment, x, surroundings);
  std::optional<Arguments> arguments = vocabulary_.arguments(*use);
  if (!arguments)
    return {};
  Site site(*this, path, use->object->position(), surroundings);
  return use->kind->block(site, *arguments, {x});
}

std::string unknownValue(const std::string& name, const std::vector<std::string>& known) {
  return unknownWord("value", name, known) + (findKind(Family::Block, name) ? R"(; a block is known here by its "name", not by its kind)" : "");
}

} // namespace moec::models
