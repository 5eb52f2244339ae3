#pragma once
// A model file read and checked at its top level: everything but the blocks, which stay JSON. Makes no IR.

#include "models/Arguments.h"
#include "models/ImportOptions.h"
#include "runtime/core/Plan.h"

#include <memory>

namespace moec::models {

struct InputDeclaration {
  std::string name;
  Position position;
  DType dtype = DType::F32;
  std::vector<Size> shape;
  std::optional<PhotoRule> photo;
  bool forLoss = false;
};

/// An entry of "blocks". An alias (an object with a "kind") stands for that kind; otherwise it has a body.
struct OwnBlock {
  std::string name;
  Position position;
  const Json* definition = nullptr; // of an alias: its object
  const Json* body = nullptr;       // of others
  const Json* parameters = nullptr; // object of name -> default; null as a default: must be given
  bool isAlias() const { return !body; }
};

struct ModelFile {
  Json root;
  std::string name;
  DType dtype = DType::F32;
  Environment let;
  std::vector<InputDeclaration> inputs;
  std::map<std::string, OwnBlock, std::less<>> blocks;
  const Json* model = nullptr;
  std::vector<std::pair<std::string, Position>> outputs; // empty: the last value
  const Json* loss = nullptr;
  const Json* optimizer = nullptr;
  bool trains = false;                       // built as it trains: @loss in @forward's place
  bool evaluates = false;                    // built as it infers, with its loss: @evaluate in @forward's place
  bool statistics = false;                   // of either: gates give what they chose
  bool countsNonFinite = false;              // gates give how many of their logits are no finite numbers
  bool records = false, replays = false;     // gates give what they chose as results, or take it from inputs
  std::optional<Generation> generation;      // built as it continues texts: @generate in @forward's place
  std::optional<Json> moefy;                 // the gate and the expert's overrides: {"gate": .., "count": .., ["hidden": ..]}
  std::map<std::string, int64_t> checkSizes; // symbol -> small size

  /// Null when something is wrong; `diagnostics` then holds all that was found.
  static std::unique_ptr<ModelFile> read(std::string_view text, const ImportOptions& options, Diagnostics& diagnostics);
};

// The tables of the file itself, for the checks, the schema and the README.
const Kind& modelTable();
const Kind& inputTable();
const Kind& photoTable();
const Kind& moefyTable();
const Kind& ownBlockTable();

} // namespace moec::models
