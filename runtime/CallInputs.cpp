#include "runtime/CallInputs.h"

#include "runtime/core/Error.h"
#include "runtime/core/Generation.h"
#include "runtime/core/NearestName.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace moec {
namespace {

[[noreturn]] void fail(const std::string& what) { throw Error(Fault::Usage, what); }

std::string describeShape(const InputInfo& info) {
  std::string text;
  for (const Size& size : info.shape)
    text += (text.empty() ? "" : ", ") + size.str();
  return fmt::format("{}[{}]", name(info.dtype), text);
}

/// Of a plan for generation: tokens and their position each fit the context; both together do, too.
void checkContext(const Plan& plan, const TensorMap& inputs) {
  auto position = inputs.find(std::string_view(kPositionInput));
  auto rule = std::find_if(plan.inputs.begin(), plan.inputs.end(), [](const InputInfo& info) { return info.name == kPositionInput; });
  if (plan.purpose != Purpose::Generation || position == inputs.end() || rule == plan.inputs.end() || !rule->below)
    return;
  int64_t before = position->second.as<const int64_t>()[0];
  for (const InputInfo& info : plan.inputs)
    if (auto tokens = inputs.find(info.name); &info != &*rule && info.shape.size() == 2 && tokens != inputs.end())
      if (int64_t count = tokens->second.shape()[1]; count > *rule->below - before)
        fail(fmt::format("input '{}' has {} tokens behind the {} before them, and the context has room for {}", info.name, count, before, *rule->below));
}

void checkNames(const Plan& plan, const TensorMap& inputs) {
  std::vector<std::string> known;
  for (const InputInfo& info : plan.inputs)
    if (info.list == LaunchList::Forward)
      known.push_back(info.name);
  for (const auto& [name, tensor] : inputs)
    if (std::find(known.begin(), known.end(), name) == known.end())
      fail(fmt::format("'{}' is no input of this program{}{}", name, didYouMean(name, known),
                       known.empty() ? "" : fmt::format("; its inputs: {}", fmt::join(known, ", "))));
  for (const InputInfo& info : plan.inputs)
    if (info.list == LaunchList::Forward && !inputs.contains(info.name) && !(info.forLoss && info.buffer == -1))
      fail(fmt::format("input '{}' is missing: expected {}", info.name, describeShape(info)));
}

/// Elements of an integer input are in [0, below), or the one exception.
void checkRange(const InputInfo& info, const Tensor& tensor) {
  auto check = [&](auto values) {
    for (size_t i = 0; i < values.size(); ++i) {
      auto value = static_cast<int64_t>(values[i]);
      if ((value < 0 || value >= *info.below) && value != info.except)
        fail(fmt::format("input '{}': element {} is {}, expected 0 to {}{}", info.name, i, value, *info.below - 1,
                         info.except ? fmt::format(" (or {} where there is none)", *info.except) : ""));
    }
  };
  switch (tensor.dtype()) {
  case DType::I64:
    return check(tensor.as<int64_t>());
  case DType::I32:
    return check(tensor.as<int32_t>());
  case DType::U8:
    return check(tensor.as<uint8_t>());
  default:
    return;
  }
}

} // namespace

Bindings bindInputs(const Plan& plan, const TensorMap& inputs) {
  checkNames(plan, inputs);
  Bindings bindings;
  std::map<std::string, std::string> origin; // symbol -> the input that gave it its value
  for (const InputInfo& info : plan.inputs) {
    auto found = inputs.find(info.name);
    if (found == inputs.end())
      continue;
    const Tensor& tensor = found->second;
    if (tensor.dtype() != info.dtype || tensor.shape().size() != info.shape.size() || (!tensor.data() && tensor.elements() != 0))
      fail(fmt::format("input '{}' is {}, expected {}", info.name, describe(tensor), describeShape(info)));
    for (size_t axis = 0; axis < info.shape.size(); ++axis) {
      int64_t size = tensor.shape()[axis];
      if (size == 0)
        fail(fmt::format("input '{}' is {}: a size of zero", info.name, describe(tensor)));
      if (!info.shape[axis].asSymbol())
        continue;
      std::string symbol = info.shape[axis].str();
      auto [place, isNew] = bindings.emplace(symbol, size);
      if (isNew)
        origin[symbol] = info.name;
      else if (place->second != size)
        fail(fmt::format("'{}' is {} in input '{}' but {} in input '{}'", symbol, place->second, origin[symbol], size, info.name));
    }
  }
  for (const InputInfo& info : plan.inputs) {
    auto found = inputs.find(info.name);
    if (found == inputs.end())
      continue;
    for (size_t axis = 0; axis < info.shape.size(); ++axis)
      if (int64_t expected = info.shape[axis].evaluate(bindings); expected != found->second.shape()[axis])
        fail(fmt::format("input '{}' is {}, expected {}: size {} must be {}", info.name, describe(found->second), describeShape(info), axis,
                         info.shape[axis].isConstant() ? std::to_string(expected) : fmt::format("{} = {}", info.shape[axis].str(), expected)));
    if (info.below)
      checkRange(info, found->second);
  }
  checkContext(plan, inputs);
  for (const SizeRule& rule : plan.rules) {
    int64_t size = rule.size.evaluate(bindings);
    if (rule.atMost && size > *rule.atMost)
      fail(fmt::format("{} ({}) is {} for these inputs, but at most {} are possible", rule.what, rule.size.str(), size, *rule.atMost));
    if (rule.atLeast && size < *rule.atLeast)
      fail(fmt::format("{} ({}) is {} for these inputs, but must be at least {}", rule.what, rule.size.str(), size, *rule.atLeast));
  }
  return bindings;
}

bool isTrainingInput(std::string_view name) { return name == kLearningRateInput || name == kStepInput || name == kCountInput; }

TensorMap trainingInputs(const Plan& plan, LaunchList list, double learningRate, int64_t step, int64_t count) {
  TensorMap inputs;
  for (const InputInfo& input : plan.inputs) {
    if (input.list != list)
      continue;
    if (input.name == kLearningRateInput)
      inputs.emplace(input.name, Tensor::of<double>({learningRate}, {}));
    else if (input.name == kStepInput)
      inputs.emplace(input.name, Tensor::of<int64_t>({step}, {}));
    else if (input.name == kCountInput)
      inputs.emplace(input.name, Tensor::of<int64_t>({count}, {}));
  }
  return inputs;
}

} // namespace moec
