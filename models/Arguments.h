#pragma once
// The parameters of one kind as a model file gives them: checked against the kind's table, computed, defaults filled
// in.

#include "models/Expression.h"
#include "models/Kind.h"

#include <set>

namespace moec::models {

/// Parameters of objects that misspelt keys were meant to be: they are not missing.
using Meant = std::set<std::pair<const Json*, std::string>>;

class Arguments {
public:
  /// Reads `object` (an object). Reports unknown keys, missing and ill-typed values, all of them. `common` are keys
  /// that every kind of the family takes beside its own ("kind", "name" ...).
  /// A missing key is reported at `written`: the object as the file has it, where that stands elsewhere than `object`;
  /// and not at all when `meant` has it, which takes up what keys here were meant to be.
  static std::optional<Arguments> read(const Kind& kind, const Json& object, const Environment& environment, std::span<const std::string> common,
                                       Diagnostics& diagnostics, const Json* written = nullptr, Meant* meant = nullptr);

  /// Is the model built as it trains? Before this is called, as it infers.
  void setTraining(bool training) { mode_ = training ? "train" : "eval"; }

  const Kind& kind() const { return *kind_; }
  const Environment& environment() const { return *environment_; }
  /// Where the object stands.
  Position position() const { return object_->position(); }
  /// Where a parameter's value stands; the object's place for a default.
  Position at(std::string_view name) const;

  /// Given, or with a default.
  bool has(std::string_view name) const { return find(name) != nullptr; }
  // The parameter must be there and of that type.
  int64_t integer(std::string_view name) const { return get(name).integer(); }
  double number(std::string_view name) const { return get(name).number(); }
  bool flag(std::string_view name) const { return get(name).boolean(); }
  const std::string& word(std::string_view name) const { return get(name).string(); }
  std::vector<int64_t> integers(std::string_view name) const;
  std::pair<int64_t, int64_t> pair(std::string_view name) const;
  /// Of a Capacity and a WordByMode: what holds in the mode that the model is built in.
  double numberByMode(std::string_view name) const;
  const std::string& wordByMode(std::string_view name) const;
  std::vector<double> numbers(std::string_view name) const;
  /// Of a NumbersByMode, in the mode that the model is built in: one number `count` times, or a list, whose length the caller checks.
  std::vector<double> numbersByMode(std::string_view name, int64_t count) const;
  /// Any value; bodies, gates and experts are as written, to be read with environment().
  const Json& get(std::string_view name) const;

private:
  const Json* find(std::string_view name) const;

  const Kind* kind_ = nullptr;
  const Json* object_ = nullptr;
  const Environment* environment_ = nullptr;
  std::string_view mode_ = "eval";
  std::map<std::string, Json, std::less<>> values_;
};

} // namespace moec::models
