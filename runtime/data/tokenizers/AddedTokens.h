#pragma once
// Tokens that stand beside a model's: they are found in a text before the model sees it, as it was given or as it was normalized.

#include "runtime/data/tokenizers/ByteTrie.h"
#include "runtime/data/tokenizers/Normalizers.h"
#include "runtime/data/tokenizers/PieceModel.h"
#include "runtime/data/tokenizers/PreTokenizers.h"

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace moec::data {

class AddedTokens {
public:
  AddedTokens() = default;
  /// A list of {"id": .., "content": "<s>", ..}. Ids are those of the model where it has the token, else as listed. Error(Data) for one that differs from the
  /// model's, or that another token has.
  AddedTokens(const JsonPlace& json, const Vocabulary& model, const Normalizer& normalizer);

  /// The text in pieces: added tokens, and normalized texts between them.
  std::vector<Piece> split(std::string_view text, const Normalizer& normalizer) const;

  /// What a decoder sees of an added token; nothing for another id.
  const std::string* text(int64_t id) const;
  bool isSpecial(const std::string& text) const { return special_.contains(text); }
  std::optional<int64_t> id(const std::string& content) const;
  int64_t end() const { return end_; } // all ids lie below

private:
  struct Token {
    int64_t id = 0;
    std::string content, seen; // as it is written, and as it is after normalizing
    bool singleWord = false, leftSpace = false, rightSpace = false;
  };
  std::vector<Token> tokens_;
  TextMap<size_t> byContent_;
  std::unordered_map<int64_t, size_t> byId_;
  std::set<std::string> special_;
  std::optional<ByteTrie> raw_, normalized_; // their numbers are places in tokens_
  int64_t end_ = 0;

  std::vector<Piece> splitBy(const std::optional<ByteTrie>& trie, std::string_view text, bool atStart) const;
};

} // namespace moec::data
