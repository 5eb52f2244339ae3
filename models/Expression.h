#pragma once
// What "$dim" and "$(4*dim)" mean: names for values, and integer arithmetic over them. Knows JSON, no kinds.

#include "models/json/Diagnostics.h"
#include "models/json/Json.h"

#include <map>
#include <optional>
#include <string>

namespace moec::models {

/// Names for values: an own block's parameters, around them the model's `let`.
struct Environment {
  std::map<std::string, Json, std::less<>> values;
  const Environment* outer = nullptr;

  const Json* find(std::string_view name) const;
  std::vector<std::string> names() const; // sorted
};

/// The value with every "$..." in it computed, also inside lists and objects, standing where the "$..." stands. Integer
/// arithmetic is checked; a division must come out even. Nothing after an error.
std::optional<Json> resolve(const Json& value, const Environment& environment, Diagnostics& diagnostics);

/// The `let` object as an environment; its values may use each other in any order, but not in a circle.
std::optional<Environment> evaluateLet(const Json& let, Diagnostics& diagnostics);

} // namespace moec::models
