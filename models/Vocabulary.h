#pragma once
// What an object with a "kind" stands for in one model: a built-in kind, an own block, an alias of either, or the moe
// that moefy puts in an mlp's place. Knows no IR.

#include "models/ModelFile.h"

#include <deque>

namespace moec::models {

/// One use of a word.
struct Use {
  const Kind* kind = nullptr;    // a built-in kind, whose arguments are the members of `object` ...
  const OwnBlock* own = nullptr; // ... or an own block with a body
  const Json* object = nullptr;
  const Json* written = nullptr;                 // where the file has the object's members: an alias's definition, or the object
  const Environment* environment = nullptr;      // for those arguments, or for the own block's body
  const Environment* outerEnvironment = nullptr; // for "name", "from" and "count" of an own block's use
};

/// "name" and "from" of a block.
struct Naming {
  std::optional<std::string> name;
  Position position;
  std::vector<std::pair<std::string, Position>> from;
};

class Vocabulary {
public:
  Vocabulary(const ModelFile& file, Diagnostics& diagnostics) : file_(file), diagnostics_(diagnostics) {}

  /// `insideExpert`: the object stands in the body of an expert. Nothing after an error.
  std::optional<Use> look(const Json& object, Family family, const Environment& environment, bool insideExpert);
  std::optional<Naming> naming(const Use& use);
  /// The arguments of a use of a built-in kind.
  std::optional<Arguments> arguments(const Use& use);
  /// How many experts a use in the family of experts asks for.
  std::optional<int64_t> expertCount(const Use& use);
  /// Has moefy put a moe in some mlp's place?
  bool hasMoefied() const { return hasMoefied_; }

private:
  std::optional<Use> lookAt(const Json& object, const Json& written, Family family, const Environment& environment, bool insideExpert,
                            std::vector<std::string>& aliases);
  std::optional<Use> lookAtOwn(const OwnBlock& own, const Json& object, const Json& written, Family family, const Environment& environment, bool insideExpert,
                               std::vector<std::string>& aliases);
  std::optional<std::string> nameIn(const Json& written, std::string_view key, const Environment& environment);
  std::optional<Naming> namingIn(const Json& object, const Environment& environment);
  const Environment* bind(const OwnBlock& own, const Json& object, Family family, const Environment& environment);
  const Json* moefied(const Json& mlp);
  void reportUnknown(const std::string& kind, Position position, Family family);

  const ModelFile& file_;
  Diagnostics& diagnostics_;
  std::deque<Json> objects_;             // rewritten ones
  std::deque<Environment> environments_; // of own blocks' uses
  Meant meant_;
  bool hasMoefied_ = false;
};

} // namespace moec::models
