#pragma once
// A kind: a word of the model language. Its parameter table is the one source of the checks, their messages, the JSON
// Schema and models/README.md; its build function emits the ops. Kinds know nothing of each other.

#include "ir/dialect/Moe.h"
#include "models/json/Diagnostics.h"
#include "models/json/Json.h"

#include <optional>
#include <string>
#include <vector>

namespace moec::models {

class Arguments;
class Site;
class Update;

enum class Family { Block, Gate, Expert, Loss, Optimizer };

enum class ParameterType {
  Integer,
  Number,
  Bool,
  Word,          // one of `words`
  WordByMode,    // the same, or {"train": "random", "eval": "all"}
  Integers,      // a list of integers, at least one
  IntegerOrPair, // 4 or [4, 8]
  Capacity,      // 1.2, or {"train": 1.2, "eval": 2.4}
  NumbersByMode, // 0.2, [0.2, 0.1], or {"train": 0.2, "eval": [0.2, 0.1]}
  Inits,         // {"weight": .., "bias": ..}: words of initWords(), one with a number as {"normal": 0.1}, or a number
  ValueName,     // the name of an input or of an earlier block
  Text,
  Numbers,    // a list of numbers
  Shape,      // a list of sizes: integers, or names of symbolic ones
  ValueNames, // a list of such names
  Patterns,   // a list of patterns of parameters' names: "bias", "*.norm.*"
  Object,     // an object with a table of its own
  Body,       // a block or a list of blocks
  Gate,       // an object of that family
  Expert,
  Experts,    // an expert, or a list of them
  ExpertBody, // a block or a list of blocks, of those that may stand in the body of an expert
};

struct Parameter {
  std::string name;
  ParameterType type = ParameterType::Integer;
  bool required = false;
  std::string fallback = {};         // the default, as JSON text; empty without one
  double least = 1, most = 16777216; // of integers and numbers
  std::vector<std::string> words = {};
  std::string doc = {};    // one line
  std::string source = {}; // where the meaning or the default comes from, when not from the kind's source
  std::string hint = {};   // behind the message of a value that does not fit: what else may have been meant
};

/// A choice of groups of experts that comes before the choice of experts.
struct OuterLevel {
  mlir::Value routing, weights; // to the groups: R rows
  mlir::Value rows;             // (R, D) the tokens as rows of it
  mlir::Value logits;           // (T, groups)
};

/// Who goes where, and what each choice counts.
struct GateResult {
  mlir::Value routing;                  // !moe.routing of E experts, T tokens, K choices; null: every token goes to every expert
  mlir::Value weights;                  // (T, K), or (T, E) without a routing; in the model's dtype but never below f32
  std::optional<OuterLevel> outer = {}; // the tokens of `routing` are then its rows
  mlir::Value tokens = {};              // what the experts take in the place of the tokens; null: those
  mlir::Value scales = {};              // (T, K): what the row of a choice is multiplied by in front of its expert; null: 1
  mlir::Value logits = {};              // (T, E) that it chooses by; null: it has no router
};

struct Kind {
  std::string name;
  Family family = Family::Block;
  std::string doc = {};    // one or a few sentences
  std::string source = {}; // paper, package + version, and the original's bug where ours differs
  std::vector<Parameter> parameters = {};
  int inputs = 1;         // values that a block takes
  int optionalInputs = 0; // and so many more that "from" may name behind them
  bool container = false; // a block that adds nothing to the names inside it
  bool inExperts = false; // a block that may stand in the body of an expert
  bool byToken = false;   // a block that makes each token of itself alone, or of itself and those before it: models that
                          // continue texts may have it

  // One of these, by family. A null value or nothing means that the error has been reported.
  mlir::Value (*block)(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) = nullptr;
  std::optional<GateResult> (*gate)(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) = nullptr;
  mlir::Value (*expert)(Site& site, const Arguments& arguments, mlir::Value rows) = nullptr;
  // A loss: are its values there, with shapes that fit? And the loss of values that do: [], never below f32.
  bool (*checkLoss)(Site& site, const Arguments& arguments) = nullptr;
  mlir::Value (*loss)(Site& site, const Arguments& arguments) = nullptr;
  // An optimizer: does what its parameters say go together (null: always)? And the update of one parameter.
  bool (*checkRule)(const Arguments& arguments, Diagnostics& diagnostics) = nullptr;
  void (*update)(Update& update) = nullptr;

  const Parameter* find(std::string_view parameter) const;
};

// The explicit lists, sorted by name; one per family (blocks/List.cpp ...).
const std::vector<const Kind*>& blockKinds();
const std::vector<const Kind*>& gateKinds();
const std::vector<const Kind*>& expertKinds();
const std::vector<const Kind*>& lossKinds();
const std::vector<const Kind*>& optimizerKinds();
/// Every family, in the order of the documents.
constexpr Family kFamilies[] = {Family::Block, Family::Gate, Family::Expert, Family::Loss, Family::Optimizer};
const std::vector<const Kind*>& kindsOf(Family family);
const Kind* findKind(Family family, std::string_view name);
std::string_view word(Family family); // "block"

/// Keys that the family's objects take beside their kind's parameters.
const std::vector<std::string>& commonKeys(Family family);
/// May this be a symbolic size's name? The words of size expressions (runtime/core/Size.h) may not.
bool isSymbol(std::string_view name);

/// The words of a parameter of type Inits; and those among them that take a number, as {"normal": 0.02}.
const std::vector<std::string>& initWords();
const std::vector<std::string>& numberedInitWords();
/// How many experts: a parameter of every kind of expert, and of own blocks used as one.
const Parameter& countParameter();

/// What a value must be for this parameter: "an integer from 1 to 8", "one of relu, gelu".
std::string expectation(const Parameter& parameter);
/// Is the value (with every "$..." computed) one that the parameter takes? Bodies, gates and experts only by their JSON
/// type.
bool fits(const Parameter& parameter, const Json& value);

/// What a value that does not fit is wrong by: an entry where that alone is at fault, otherwise the whole value.
struct Misfit {
  Position position;
  std::string what; // `0`, `the string "zz"`, `the key "nosuch"`
  bool isEntry = false;
};
Misfit misfit(const Parameter& parameter, const Json& value);

} // namespace moec::models
