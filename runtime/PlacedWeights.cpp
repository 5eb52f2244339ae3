#include "runtime/PlacedWeights.h"

#include "runtime/core/Error.h"
#include "runtime/device/HostMemory.h"
#include "runtime/io/MappedFile.h"
#include "runtime/io/SafeTensors.h"

#include <algorithm>
#include <map>

namespace moec {

/// Checked weights go to the device, one after the other, and are packed. `weightOf` gives a parameter's.
template <class WeightOf> void PlacedWeights::place(WeightOf weightOf) {
  Trace::Span span(loaded_.trace(), "place the weights", "run");
  hasWeights_ = false;
  seed_.reset();
  unplaced_.clear();
  for (const ParameterInfo& parameter : plan().parameters) {
    Tensor tensor = asParameter(parameter, weightOf(parameter));
    if (parameter.buffer < 0)
      unplaced_.emplace(parameter.name, clone(allocator_, tensor, parameter.name));
    else
      executable().write(parameter.buffer, tensor);
  }
  for (size_t i = 0; i < plan().prepare.size(); ++i)
    loaded_.launch(LaunchList::Prepare, i, {}, {});
  hasWeights_ = true;
  released_ = false;
}

void PlacedWeights::placeDrawn() {
  if (!seed_)
    return;
  uint64_t drawn = *seed_;
  try {
    place([&](const ParameterInfo& parameter) { return initialWeight(parameter, drawn); });
  } catch (...) { // out of memory: they are still to be drawn
    hasWeights_ = true;
    seed_ = drawn;
    throw;
  }
}

/// For calls, after which plain weights that they do not read are gone: each is asked for, packed and freed before the next. One that several launches pack is
/// asked for again. `placed` is called when the last one was copied.
template <class WeightOf, class Placed> void PlacedWeights::placeForCalls(WeightOf weightOf, Placed placed) {
  unplaced_.clear();
  std::map<int, const ParameterInfo*> missing; // by buffer
  for (const ParameterInfo& parameter : plan().parameters)
    if (parameter.buffer >= 0)
      missing[parameter.buffer] = &parameter;
  const auto all = missing;
  for (size_t i = 0; i < plan().prepare.size(); ++i) {
    for (int input : plan().prepare[i].inputs)
      if (auto found = missing.find(input); found != missing.end()) {
        executable().write(input, asParameter(*found->second, weightOf(*found->second)));
        placed();
        missing.erase(found);
      }
    loaded_.launch(LaunchList::Prepare, i, {}, {});
    executable().releaseUnusedParameters();
    for (int input : plan().prepare[i].inputs) // what another launch packs too
      if (auto found = all.find(input); found != all.end() && !readByForward(input))
        missing.insert(*found);
  }
  for (const auto& [buffer, parameter] : missing)
    if (readByForward(buffer)) {
      executable().write(buffer, asParameter(*parameter, weightOf(*parameter)));
      placed();
    }
  for (const ParameterInfo& parameter : plan().parameters)
    if (parameter.buffer < 0)
      unplaced_.emplace(parameter.name, clone(allocator_, asParameter(parameter, weightOf(parameter)), parameter.name));
  released_ = true;
}

void PlacedWeights::placeDrawnForCalls() {
  if (!seed_)
    return;
  if (!executable().preparesOneByOne())
    return placeDrawn();
  Trace::Span span(loaded_.trace(), "draw and pack the weights", "run");
  uint64_t drawn = *seed_;
  placeForCalls([&](const ParameterInfo& parameter) { return initialWeight(parameter, drawn); }, [] {});
  seed_.reset(); // not before: what failed begins anew
}

/// Is the plain form needed by calls?
bool PlacedWeights::readByForward(int buffer) const {
  return std::any_of(plan().forward.begin(), plan().forward.end(),
                     [&](const LaunchInfo& launch) { return std::find(launch.inputs.begin(), launch.inputs.end(), buffer) != launch.inputs.end(); }) ||
         std::any_of(plan().outputs.begin(), plan().outputs.end(), [&](const OutputInfo& output) { return output.buffer == buffer; });
}

void PlacedWeights::require() const {
  if (!hasWeights_)
    throw Error(Fault::Usage, "the " + owner_ + " has no weights: load or init them first");
}

/// What does not fit the program is said of the file.
static void checkWeightsOf(const std::filesystem::path& file, const Plan& plan, const TensorMap& weights, bool allowNonFinite,
                           const std::function<void(const Tensor&)>& behindEach = {}) {
  try {
    checkWeights(plan, weights, allowNonFinite, behindEach);
  } catch (const Error& error) {
    throw Error(error.fault(), file.string() + ": " + error.what());
  }
}

void PlacedWeights::load(const std::filesystem::path& safetensors, bool allowNonFinite) {
  TensorMap weights = readSafeTensors(safetensors);
  checkWeightsOf(safetensors, plan(), weights, allowNonFinite);
  place([&](const ParameterInfo& parameter) -> const Tensor& { return weights.find(parameter.name)->second; });
}

void PlacedWeights::loadForCalls(const std::filesystem::path& safetensors, bool allowNonFinite) {
  MappedFile file = MappedFile::open(safetensors);
  TensorMap weights = readSafeTensors(file, safetensors);
  auto forget = [&](const Tensor& tensor) { file.forget({static_cast<const uint8_t*>(tensor.data()), tensor.bytes()}); };
  checkWeightsOf(safetensors, plan(), weights, allowNonFinite, forget);
  const Tensor* last = nullptr;
  auto weightOf = [&](const ParameterInfo& parameter) -> const Tensor& { return *(last = &weights.find(parameter.name)->second); };
  if (!executable().preparesOneByOne())
    return place(weightOf);
  Trace::Span span(loaded_.trace(), "pack the weights", "run");
  hasWeights_ = false;
  seed_.reset();
  placeForCalls(weightOf, [&] { forget(*last); });
  hasWeights_ = true;
}

void PlacedWeights::load(const TensorMap& weights, bool allowNonFinite) {
  checkWeights(plan(), weights, allowNonFinite);
  place([&](const ParameterInfo& parameter) -> const Tensor& { return weights.find(parameter.name)->second; });
}

void PlacedWeights::init(uint64_t seed) {
  hasWeights_ = true;
  seed_ = seed;
}

TensorMap PlacedWeights::weights() {
  require();
  placeDrawn();
  TensorMap weights = unplaced_;
  for (const ParameterInfo& parameter : plan().parameters) {
    if (parameter.buffer < 0)
      continue;
    if (released_ && !readByForward(parameter.buffer))
      throw Error(Fault::Usage, "parameter '" + parameter.name + "' is kept in packed form only since the first run: ask for weights before it");
    weights.emplace(parameter.name, executable().read(parameter.buffer));
  }
  return weights;
}

void PlacedWeights::prepareForCall() {
  if (!plan().parameters.empty())
    require();
  placeDrawnForCalls();
  if (released_)
    return;
  executable().releaseUnusedParameters();
  released_ = true;
}

} // namespace moec
