#pragma once
// The weights of a plan that changes none of them, on its device: loaded or drawn, packed, and without the plain form of what only packing reads from the first
// call on. Knows no inputs and no outputs.

#include "runtime/LoadedPlan.h"
#include "runtime/Weights.h"

#include <filesystem>
#include <optional>

namespace moec {

class PlacedWeights {
public:
  /// `owner` is the word of messages: "session". The plan outlives this.
  PlacedWeights(LoadedPlan& loaded, std::string owner) : loaded_(loaded), owner_(std::move(owner)) {}

  /// As Session has them.
  void load(const std::filesystem::path& safetensors, bool allowNonFinite);
  void load(const TensorMap& weights, bool allowNonFinite);
  void loadForCalls(const std::filesystem::path& safetensors, bool allowNonFinite);
  void init(uint64_t seed);
  TensorMap weights();

  /// Weights that are to be drawn are drawn and placed.
  void placeDrawn();
  /// Before a call. Error(Usage) where there are no weights.
  void prepareForCall();
  void setAllocator(Allocator allocator) { allocator_ = std::move(allocator); }

private:
  template <class WeightOf> void place(WeightOf weightOf);
  template <class WeightOf, class Placed> void placeForCalls(WeightOf weightOf, Placed placed);
  void placeDrawnForCalls();
  bool readByForward(int buffer) const;
  void require() const;
  const Plan& plan() const { return loaded_.plan(); }
  Executable& executable() const { return loaded_.executable(); }

  LoadedPlan& loaded_;
  std::string owner_;
  TensorMap unplaced_; // parameters that no launch reads
  bool hasWeights_ = false, released_ = false;
  std::optional<uint64_t> seed_ = {}; // of weights that are not drawn yet: whoever wants them first draws them
  Allocator allocator_ = {};
};

} // namespace moec
