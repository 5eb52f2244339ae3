#pragma once
// What a tokenizer.json does to a text before it is split.

#include "runtime/data/tokenizers/JsonPlace.h"

#include <functional>
#include <string>
#include <string_view>

namespace moec::data {

/// A text and whether its first character stems from the first of the text that a user gave.
struct Normalized {
  std::string text;
  bool atStart = true;
};

using Normalizer = std::function<void(Normalized&)>;

/// Error(Data) that names a kind, a key or a value that is not known.
Normalizer readNormalizer(const JsonPlace& json);

} // namespace moec::data
