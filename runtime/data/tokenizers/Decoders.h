#pragma once
// What makes a text of tokens again.

#include "runtime/data/tokenizers/JsonPlace.h"

#include <functional>
#include <string>
#include <vector>

namespace moec::data {

/// Changes a list of texts, at first those of the tokens; joined in the end, they are the text.
using Decoder = std::function<void(std::vector<std::string>&)>;

/// Error(Data) that names a kind, a key or a value that is not known.
Decoder readDecoder(const JsonPlace& json);

} // namespace moec::data
