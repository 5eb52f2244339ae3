#pragma once
// The tokenizer.json of Hugging Face's tokenizers: normalizer, pre-tokenizer, model, decoder, added tokens.

#include "runtime/data/Tokenizer.h"

#include <string>

namespace moec::data {

/// Its post-processor, truncation and padding are left out: a text's tokens are its own, without marks of beginning or end. Error(Data) that names `name` and
/// the place.
TokenizerPtr parseTokenizerJson(std::string bytes, const std::string& name);

} // namespace moec::data
