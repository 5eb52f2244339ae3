#pragma once
// A sign that stands for spaces inside of tokens, as SentencePiece has it: a pre-tokenizer and a decoder share its options.

#include "runtime/data/tokenizers/JsonPlace.h"

#include <string>

namespace moec::data {

struct Metaspace {
  enum Prepend { Always, First, Never };
  std::string replacement;  // one character
  Prepend prepend = Always; // one more in front: of every text, of one at the beginning alone, never
  bool split = true;
};

Metaspace readMetaspace(const JsonPlace& json);

} // namespace moec::data
