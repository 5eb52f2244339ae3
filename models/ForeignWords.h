#pragma once
// Words that other packages (PyTorch, transformers, FastMoE, Tutel ...) have for what is called otherwise here, for the suggestions in messages. Never
// accepted in a model.

#include "models/Kind.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace moec::models {

/// What a key that a kind does not know was perhaps meant to be.
struct Meaning {
  std::string words;                 // the end of a message: `; did you mean "count" inside "experts"?`
  std::string parameter;             // meant; empty when there is no guess
  const Parameter* inside = nullptr; // whose value has it, where it is not the kind's own
};

/// `known`: the keys that stand to choose.
Meaning meaningOf(std::string_view key, const Kind& kind, std::span<const std::string> known);
/// The word for a kind of the family that has another name elsewhere: "mlp" for "FeedForward".
std::optional<std::string> kindMeantBy(std::string_view word, std::span<const std::string> known);

} // namespace moec::models
