#pragma once
// Text that grows by tokens: what can be shown of it so far.

#include "runtime/data/Tokenizer.h"

#include <string>
#include <vector>

namespace moec::data {

/// What add() and finish() give, one behind the other, is what the tokenizer decodes of all tokens; it is valid UTF-8 (U+FFFD in the place of what is none),
/// cut between characters alone.
class TextStream {
public:
  explicit TextStream(TokenizerPtr tokenizer) : tokenizer_(std::move(tokenizer)) {}

  /// The text that is certain now and was not before; often empty, where a token ends inside of a character.
  std::string add(int64_t token);
  /// The rest, as it stands.
  std::string finish();

private:
  TokenizerPtr tokenizer_;
  std::vector<int64_t> ids_; // from a token on whose text has been given in part or whole
  size_t shown_ = 0;         // of them, those whose text has been given
  std::string before_;       // the text of these

  std::string take(const std::string& text, size_t end);
};

} // namespace moec::data
