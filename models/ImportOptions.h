#pragma once
// What a caller may change about a model file as it is read.

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace moec::models {

/// A model that continues texts: so many sequences at once, each of so many tokens at most.
struct Generation {
  int64_t batch = 1, context = 0;
};

struct ImportOptions {
  std::map<std::string, int64_t> let; // overrides of `let` values, after those of "check"
  std::string moefy;                  // "experts=4,top_k=2,gate=gshard,hidden=32"; empty: as the file says
  bool useCheck = false;              // apply the overrides of `let` values under "check"
  bool drawsAsInputs = false;         // random draws become inputs named by their path
  bool train = false;                 // the model as it trains: @loss in the place of @forward
  bool evaluate = false;              // the model as it infers, with its loss: @evaluate in the place of @forward
  bool statistics = false;            // of @loss and @evaluate: gates give what they chose, as results
  bool finiteLogits = false;          // a call in which a gate's logit is no finite number is to be an error: gates count them, as results
  bool record = false;                // gates give their choices, weights and drops, as results (models/Choices.h)
  bool replay = false;                // gates take their choices from inputs
  std::optional<Generation> generate; // the model as it continues texts: @generate in the place of @forward
  std::optional<double> ema;          // of @loss: the optimizer's, in the place of what the file says
};

} // namespace moec::models
