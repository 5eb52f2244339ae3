#pragma once
// SentencePiece's models, by its library.

#include "runtime/data/Tokenizer.h"

#include <string>
#include <string_view>

namespace moec::data {

/// Error(Data) that names `name` for what is no such model.
TokenizerPtr parseSentencePiece(std::string bytes, const std::string& name);

} // namespace moec::data
