#include "compiler/cli/CommandInputs.h"

#include "compiler/cli/Table.h"
#include "runtime/CallInputs.h"
#include "runtime/GateRecord.h"
#include "runtime/core/Error.h"
#include "runtime/core/Generation.h"
#include "runtime/core/NearestName.h"
#include "runtime/core/Philox.h"
#include "runtime/io/FileKind.h"
#include "runtime/io/InputFile.h"
#include "runtime/io/MappedFile.h"
#include "runtime/io/SafeTensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace moec::cli {

void checkSourceFiles(const CommonOptions& options) {
  for (const std::string& text : options.inputs) {
    auto [name, file] = splitAssignment(text, "--input");
    requireInputKind(MappedFile::open(file).bytes(), name, file);
  }
  for (const auto& file : {options.weights, options.draws, options.replay})
    if (file)
      readSafeTensors(*file);
}

void loadWeights(Session& session, const CommonOptions& options) {
  if (options.weights)
    session.loadForCalls(*options.weights, options.allowNonFinite);
  else if (options.init || session.plan().parameters.empty())
    session.init(options.init.value_or(0));
  else
    throw Error(Fault::Usage, fmt::format("{} has {} and no weights: give --weights FILE, or --init SEED to "
                                          "draw them by the model's rules",
                                          options.file.string(), counted(std::ssize(session.plan().parameters), "parameter")));
}

void saveInitialWeights(const Plan& plan, const CommonOptions& options) {
  if (options.saveWeights)
    writeSafeTensors(*options.saveWeights, initialWeights(plan, options.init.value()));
}

namespace {

const InputInfo* findInput(const Plan& plan, const std::string& name) {
  auto found = std::ranges::find(plan.inputs, name, &InputInfo::name);
  return found == plan.inputs.end() ? nullptr : &*found;
}

std::vector<std::string> inputNames(const Plan& plan, bool draws) {
  std::vector<std::string> names;
  for (const InputInfo& input : plan.inputs)
    if (input.isDraw == draws && !isTrainingInput(input.name) && !isChoices(input.name))
      names.push_back(input.name);
  return names;
}

/// A file or a draw must give it: the loss's inputs too, where there is a loss.
bool isNeeded(const Plan& plan, const InputInfo& input) {
  return input.buffer >= 0 && !isTrainingInput(input.name) && (!input.forLoss || plan.purpose == Purpose::Training);
}

/// For the checks of a call: the training's own inputs stand among them.
TensorMap withTrainingInputs(const Plan& plan, const TensorMap& inputs) {
  TensorMap all = trainingInputs(plan, LaunchList::Forward, 0, 1, 1);
  all.insert(inputs.begin(), inputs.end());
  return all;
}

void readDraws(const Plan& plan, const CommonOptions& options, TensorMap& result) {
  std::vector<std::string> known = inputNames(plan, true);
  if (!options.draws) {
    if (!known.empty())
      throw Error(Fault::Usage,
                  fmt::format("{} was compiled with its random draws as inputs: give --draws FILE with {}", options.file.string(), fmt::join(known, ", ")));
    return;
  }
  TensorMap draws = readSafeTensors(*options.draws);
  if (known.empty())
    throw Error(Fault::Usage, fmt::format("--draws {}: {} takes no draws from a file: it has none, or was compiled without --draws-as-inputs",
                                          options.draws->string(), options.file.string()));
  for (const auto& [name, tensor] : draws)
    if (std::ranges::find(known, name) == known.end())
      throw Error(Fault::Data, fmt::format("{}: \"{}\" is no draw of the model{}", options.draws->string(), name, didYouMean(name, known)));
  for (const std::string& name : known)
    if (!draws.contains(name))
      throw Error(Fault::Data, fmt::format("{}: lacks the draw \"{}\"", options.draws->string(), name));
  result.merge(draws);
}

/// The choices of --replay; what else a record holds is left alone.
void readChoices(const Plan& plan, const CommonOptions& options, TensorMap& result) {
  std::vector<std::string> known;
  for (const InputInfo& input : plan.inputs)
    if (isChoices(input.name))
      known.push_back(input.name);
  if (!options.replay) {
    if (!known.empty())
      throw Error(Fault::Usage, fmt::format("{} was compiled with the choices of its gates as inputs: give --replay FILE with {}", options.file.string(),
                                            fmt::join(known, ", ")));
    return;
  }
  TensorMap record = readSafeTensors(*options.replay);
  if (known.empty())
    throw Error(Fault::Usage, fmt::format("--replay {}: {} takes no choices from a file: no gate of it chooses, or it was compiled without --replay",
                                          options.replay->string(), options.file.string()));
  for (const auto& [name, tensor] : record)
    if (!isRecord(name) || (isChoices(name) && std::ranges::find(known, name) == known.end()))
      throw Error(Fault::Data, fmt::format("{}: \"{}\" is no gate's choices{}", options.replay->string(), name, didYouMean(name, known)));
  for (const std::string& name : known) {
    auto found = record.find(name);
    if (found == record.end())
      throw Error(Fault::Data, fmt::format("{}: lacks \"{}\"", options.replay->string(), name));
    result.insert(*found);
  }
}

} // namespace

TensorMap readInputs(const Plan& plan, const CommonOptions& options) {
  std::vector<std::string> known = inputNames(plan, false);
  std::map<std::string, std::string> files;
  for (const std::string& text : options.inputs) {
    auto [name, file] = splitAssignment(text, "--input");
    if (std::ranges::find(known, name) == known.end())
      throw Error(Fault::Usage, fmt::format("--input {}: the model has no input \"{}\"{}", text, name, didYouMean(name, known)));
    if (!files.emplace(name, file).second)
      throw Error(Fault::Usage, fmt::format("--input {}: {} is given twice", text, name));
  }
  for (const InputInfo& input : plan.inputs)
    if (isNeeded(plan, input) && !input.isDraw && !isChoices(input.name) && !files.contains(input.name))
      throw Error(Fault::Usage, fmt::format("input \"{}\" is missing: give --input {}=FILE", input.name, input.name));
  TensorMap result;
  readDraws(plan, options, result);
  readChoices(plan, options, result);
  for (const auto& [name, file] : files)
    result.emplace(name, readInput(*findInput(plan, name), file));
  checkInputs(plan, result);
  return result;
}

void checkInputs(const Plan& plan, const TensorMap& inputs) {
  try {
    bindInputs(plan, withTrainingInputs(plan, inputs));
  } catch (const Error& error) {
    // The call of the library is the caller's; here it is the files'.
    throw Error(error.fault() == Fault::Usage ? Fault::Data : error.fault(), error.what());
  }
}

/// Of each text, in a call of generation; at most the context.
static int64_t tokensOf(const Plan& plan, const Bindings& sizes) {
  int64_t count = 0, context = 0;
  for (const InputInfo& input : plan.inputs)
    if (input.name == kPositionInput)
      context = *input.below;
    else
      count = input.shape.back().evaluate(sizes);
  return std::min(count, context);
}

/// "batch=3, tokens=18".
static std::string textOf(const Bindings& sizes) {
  std::string text;
  for (const auto& [name, value] : sizes)
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", name, value);
  return text;
}

static TensorMap drawnInputs(const Plan& plan, const Bindings& sizes, uint64_t seed) {
  TensorMap result;
  for (const InputInfo& input : plan.inputs) {
    if (!isNeeded(plan, input))
      continue;
    Shape shape;
    for (const Size& size : input.shape)
      shape.push_back(size.evaluate(sizes));
    if (input.name == kPositionInput) { // in the middle of what is left
      result.emplace(input.name, Tensor::of<int64_t>({(*input.below - tokensOf(plan, sizes)) / 2}, {}));
      continue;
    }
    Tensor tensor(DType::F64, shape);
    uint32_t stream = streamOf("check." + input.name);
    uint64_t element = 0;
    for (double& value : tensor.as<double>()) {
      auto words = draw(seed, stream, 0, element++);
      if (!isFloat(input.dtype))
        value = static_cast<double>(static_cast<int64_t>(uniformDouble(words) * static_cast<double>(input.below.value_or(2))));
      else
        value = input.isDraw ? uniformFloat(words) : normal(words);
    }
    result.emplace(input.name, tensor.cast(input.dtype));
  }
  return result;
}

TensorMap generatedInputs(const Plan& plan, const Bindings& sizes, uint64_t seed) {
  TensorMap result;
  try {
    result = drawnInputs(plan, sizes, seed);
  } catch (const Error& error) { // sizes of the caller, which no memory holds
    throw Error(error.fault() == Fault::Data ? Fault::Usage : error.fault(),
                fmt::format("{}; the inputs are generated at {}: give smaller sizes", error.what(), textOf(sizes)));
  }
  try {
    bindInputs(plan, withTrainingInputs(plan, result));
  } catch (const Error& error) {
    std::string example;
    for (const auto& [name, value] : sizes)
      example += fmt::format(" --size {}={}", name, 2 * value);
    throw Error(error.fault(), fmt::format("{}; the inputs were generated at {}: give others, as{}", error.what(), textOf(sizes), example));
  }
  return result;
}

Bindings checkSizes(const Plan& plan, const Bindings& given) {
  std::set<std::string> symbols;
  for (const InputInfo& input : plan.inputs)
    for (const Size& size : input.shape)
      for (const std::string& symbol : size.symbols())
        symbols.insert(symbol);
  for (const auto& [name, value] : given)
    if (!symbols.contains(name))
      throw Error(Fault::Usage,
                  fmt::format("--size {}={}: the model has no size \"{}\"{}", name, value, name, didYouMean(name, {symbols.begin(), symbols.end()})));
  Bindings result;
  for (const std::string& symbol : symbols) {
    auto byUser = given.find(symbol);
    auto byModel = plan.checkSizes.find(symbol);
    result[symbol] = byUser != given.end() ? byUser->second : byModel != plan.checkSizes.end() ? byModel->second : 2;
  }
  return result;
}

} // namespace moec::cli
