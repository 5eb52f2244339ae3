#include "runtime/PlacedWeights.h"

#include "runtime/core/Error.h"
#include "runtime/device/HostMemory.h"
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
    const Tensor& tensor = weightOf(parameter);
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

/// placeDrawn for a call, after which plain weights that it does not read are gone: each is drawn, packed and freed before the next.
void PlacedWeights::placeDrawnForCalls() {
  if (!seed_)
    return;
  if (!executable().preparesOneByOne())
    return placeDrawn();
  Trace::Span span(loaded_.trace(), "draw and pack the weights", "run");
  uint64_t drawn = *seed_;
  unplaced_.clear();
  std::map<int, const ParameterInfo*> missing; // by buffer
  for (const ParameterInfo& parameter : plan().parameters)
    if (parameter.buffer >= 0)
      missing[parameter.buffer] = &parameter;
  const auto all = missing;
  for (size_t i = 0; i < plan().prepare.size(); ++i) {
    for (int input : plan().prepare[i].inputs)
      if (auto found = missing.find(input); found != missing.end()) {
        executable().write(input, initialWeight(*found->second, drawn));
        missing.erase(found);
      }
    loaded_.launch(LaunchList::Prepare, i, {}, {});
    executable().releaseUnusedParameters();
    for (int input : plan().prepare[i].inputs) // what another launch packs too is drawn again
      if (auto found = all.find(input); found != all.end() && !readByForward(input))
        missing.insert(*found);
  }
  for (const auto& [buffer, parameter] : missing)
    if (readByForward(buffer))
      executable().write(buffer, initialWeight(*parameter, drawn));
  for (const ParameterInfo& parameter : plan().parameters)
    if (parameter.buffer < 0)
      unplaced_.emplace(parameter.name, clone(allocator_, initialWeight(parameter, drawn), parameter.name));
  seed_.reset(); // not before: what failed begins anew
  released_ = true;
}

bool PlacedWeights::readByForward(int buffer) const {
  return std::any_of(plan().forward.begin(), plan().forward.end(), [&](const LaunchInfo& launch) {
    return std::find(launch.inputs.begin(), launch.inputs.end(), buffer) != launch.inputs.end();
  });
}

void PlacedWeights::require() const {
  if (!hasWeights_)
    throw Error(Fault::Usage, "the " + owner_ + " has no weights: load or init them first");
}

void PlacedWeights::load(const std::filesystem::path& safetensors, bool allowNonFinite) {
  TensorMap weights = readSafeTensors(safetensors);
  try {
    load(weights, allowNonFinite);
  } catch (const Error& error) {
    if (error.fault() != Fault::Data)
      throw;
    throw Error(Fault::Data, safetensors.string() + ": " + error.what());
  }
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
